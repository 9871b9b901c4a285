"""Random masks: single tokens (MAE) and tubes (VideoMAE). Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vjepa.masks.base import MaskIndices, split_tokens
from vjepa.tokens import Grid


@dataclass(frozen=True, kw_only=True)
class RandomMask:
    """Hide a share of the tokens, each on its own (MAE, arXiv 2111.06377; ratio .75 for images)."""

    ratio: float = 0.75

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        num_hidden = _num_hidden(grid.size, self.ratio)
        hidden_BN = np.zeros((len(sample_rngs), grid.size), dtype=bool)
        return split_tokens(hidden_BN, grid.size - num_hidden, num_hidden, sample_rngs)


@dataclass(frozen=True, kw_only=True)
class TubeMask:
    """Hide a share of the places on the image plane, at all times (VideoMAE, arXiv 2203.12602; .9)."""

    ratio: float = 0.9

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        plane = Grid(1, grid.h, grid.w)
        first = RandomMask(ratio=self.ratio).sample(plane, sample_rngs, step_rng)
        offset = plane.size * np.arange(grid.t)[:, None]
        return MaskIndices(
            *(
                (index[:, None, :] + offset).reshape(len(index), -1)
                for index in (first.context_BK, first.target_BM)
            )
        )


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"mask ratio is {ratio}: give a share in (0, 1)")


def _num_hidden(num_tokens: int, ratio: float) -> int:
    """Both kinds get at least one token, whatever the grid."""
    if num_tokens < 2:
        raise ValueError("one token cannot be both context and target: use smaller tubelets or larger clips")
    return min(max(int(num_tokens * ratio), 1), num_tokens - 1)
