"""Elementwise distances between predicted and target embeddings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from vjepa.choices import DistanceName

DISTANCES: dict[DistanceName, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": partial(F.l1_loss, reduction="none"),  # V-JEPA
    "smooth_l1": partial(F.smooth_l1_loss, reduction="none"),  # I-JEPA; quadratic below a difference of 1
    "l2": partial(F.mse_loss, reduction="none"),
}
