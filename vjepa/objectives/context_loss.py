"""Predict also what is seen: the context loss of V-JEPA 2.1 (arXiv 2603.14482). Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vjepa.batch import TokenMask
from vjepa.layers.positions import grid_coordinates
from vjepa.tokens import Grid, gather_tokens


class ContextLoss:
    """``weight * mean(|z_i - h_i| / sqrt(d_i))``, with d_i the distance of a visible token from the nearest hidden one.

    Near the hidden region, predicting what is seen helps to predict what is not; far from it, it is only
    compression. Alone it costs much of what is learnt about motion; together with targets of several levels it
    gives local features.

    Args:
        weight: lambda, once it is all there; published .5.
        warmup: optimiser steps between which the weight rises from 0, linearly.
    """

    def __init__(self, weight: float, warmup: tuple[int, int]) -> None:
        self.weight = weight
        self.warmup = warmup

    def weight_at(self, step: int) -> float:
        """Lambda at the step that comes after `step` steps."""
        first, last = self.warmup
        risen = 1.0 if step >= last else max(step - first, 0) / (last - first)
        return self.weight * risen

    def __call__(
        self,
        seen_BKY: Tensor,
        target_BNY: Tensor,
        mask: TokenMask,
        grid: Grid,
        step: int,
        distance: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """The loss of predictions at the context, ``(B, K, Y)``, against targets ``(B, N, Y)`` of all tokens."""
        error_BK = distance(seen_BKY.float(), gather_tokens(target_BNY, mask.context_BK).float()).mean(dim=-1)
        nearest_BK = distance_to_hidden(mask, grid)
        return self.weight_at(step) * (error_BK / nearest_BK.sqrt()).mean()


def distance_to_hidden(mask: TokenMask, grid: Grid) -> Tensor:
    """Distance of each context token from the nearest target, in tokens, 1 or more: ``(B, K)``."""
    place_N3 = grid_coordinates(grid, mask.context_BK.device)
    return torch.cdist(place_N3[mask.context_BK], place_N3[mask.target_BM]).amin(dim=-1)
