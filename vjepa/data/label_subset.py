"""Few labels: which videos a probe is allowed to know the class of. V videos."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def label_subset(labels_V: Tensor, share: float, seed: int) -> Tensor:
    """Rows of a stratified part of the labels, ascending: int64.

    Every class gives its share of videos, rounded up, so at least one. For one seed the splits are nested: 1 % lies
    in 5 %.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a share of the labels in (0, 1]")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels_V.unique().tolist():
        rows = (labels_V == label).nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[: math.ceil(share * len(rows))]])
    return torch.cat(chosen).sort().values
