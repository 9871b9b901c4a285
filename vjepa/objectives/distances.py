"""Distances of predicted from target embeddings, value by value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

DistanceName = Literal["l1", "smooth_l1", "l2"]

DISTANCES: dict[DistanceName, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": partial(F.l1_loss, reduction="none"),  # V-JEPA
    "smooth_l1": partial(F.smooth_l1_loss, reduction="none"),  # I-JEPA, bend at 1
    "l2": partial(F.mse_loss, reduction="none"),
}
