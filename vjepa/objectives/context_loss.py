"""The context loss of V-JEPA 2.1 (arXiv 2603.14482): also predict the embeddings of visible tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vjepa.batch import TokenMask
from vjepa.grid import Grid
from vjepa.layers.positions import grid_coordinates
from vjepa.tokens import gather_tokens


class ContextLoss:
    """Loss on predictions at context tokens: ``weight * mean(|z_i - h_i| / sqrt(d_i))``.

    Here z_i is the prediction at context token i, h_i its target, and d_i the distance in tokens to the
    nearest target token. Near the target region, predicting the context helps to predict the targets; far
    from it, it is mere compression. Alone this loss costs much of what is learnt about motion; with targets
    of several levels it gives local features.

    Args:
        weight: Final weight lambda of the loss; 0.5 in the paper.
        warmup: First and last optimiser step of the linear rise of the weight from 0 to `weight`.
    """

    def __init__(self, weight: float, warmup: tuple[int, int]) -> None:
        self.weight = weight
        self.warmup = warmup

    def weight_at(self, step: int) -> float:
        """Weight lambda at the optimiser step that follows `step` steps."""
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
        """Compute the loss, a scalar.

        Args:
            seen_BKY: Predictions at the context tokens, ``(B, K, Y)``.
            target_BNY: Targets of all tokens of the clip, ``(B, N, Y)``.
            mask: Which tokens are context and which are targets.
            grid: Token grid of the clip.
            step: Number of optimiser steps taken so far.
            distance: Elementwise distance between predictions and targets.
        """
        error_BK = distance(seen_BKY.float(), gather_tokens(target_BNY, mask.context_BK).float()).mean(dim=-1)
        nearest_BK = distance_to_hidden(mask, grid)
        return self.weight_at(step) * (error_BK / nearest_BK.sqrt()).mean()


def distance_to_hidden(mask: TokenMask, grid: Grid) -> Tensor:
    """Euclidean distance from each context token to the nearest target, in tokens, 1 or more: ``(B, K)``."""
    place_N3 = grid_coordinates(grid, mask.context_BK.device)
    return torch.cdist(place_N3[mask.context_BK], place_N3[mask.target_BM]).amin(dim=-1)
