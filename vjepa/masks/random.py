"""Random masks: single tokens (MAE) and tubes (VideoMAE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import MaskIndices, split_tokens


@dataclass(frozen=True, kw_only=True)
class RandomMask:
    """Mask that hides single tokens (MAE, arXiv 2111.06377).

    Attributes:
        ratio: Share of the tokens that is hidden, in (0, 1). The published share is 0.75, for images.
    """

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
    """Mask that hides the same positions at all times (VideoMAE, arXiv 2203.12602).

    Attributes:
        ratio: Share of the positions that is hidden, in (0, 1). The published share is 0.9.
        running_cell: Share of the hidden tokens that is not predicted (0.5 in VideoMAE v2, arXiv 2303.16727):
            in every cell of 2 x 2 positions, ``int(4 * running_cell)`` positions are left out, and move on by
            one position with each time step. Where the number of time steps is no multiple of 4, a few
            percent of the left-out tokens are predicted all the same, so that all samples predict equally
            many. Null predicts all hidden tokens.
    """

    ratio: float = 0.9
    running_cell: float | None = None

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)
        if self.running_cell is not None and not 1 <= int(4 * self.running_cell) <= 3:
            raise ValueError(
                f"running_cell is {self.running_cell}: give .25, .5 or .75 (1 to 3 of 4 places), or null"
            )

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        plane = Grid(1, grid.h, grid.w)
        first = RandomMask(ratio=self.ratio).sample(plane, sample_rngs, step_rng)
        offset = plane.size * np.arange(grid.t)[:, None]
        context_BK, target_BM = (
            (index[:, None, :] + offset).reshape(len(index), -1)
            for index in (first.context_BK, first.target_BM)
        )
        if self.running_cell is None:
            return MaskIndices(context_BK, target_BM)
        return MaskIndices(context_BK, self._decoded(grid, target_BM, sample_rngs))

    def _decoded(
        self, grid: Grid, hidden_BM: np.ndarray, sample_rngs: Sequence[np.random.Generator]
    ) -> np.ndarray:
        """Choose the hidden tokens that are predicted, equally many for each sample.

        If the number of time steps is a multiple of 4, every position is left out equally often, so all
        samples have equally many; otherwise the mean number is predicted: surplus tokens are dropped at
        random, and missing ones are taken from those left out.
        """
        left_out = int(4 * (self.running_cell or 0))
        time, row, column = np.unravel_index(hidden_BM, grid)
        phase_B1 = np.array([[rng.integers(4)] for rng in sample_rngs])
        kept_BM = (2 * (row % 2) + column % 2 - time - phase_B1) % 4 >= left_out
        # The mean over all phases; it depends on the grid and the ratio alone.
        places = hidden_BM.shape[1] // grid.t
        count = max(places * grid.t * (4 - left_out) // 4, 1)
        key_BM = np.stack([rng.random(hidden_BM.shape[1]) for rng in sample_rngs])
        order_BM = np.argsort(key_BM + ~kept_BM, axis=1)[:, :count]
        return np.sort(np.take_along_axis(hidden_BM, order_BM, axis=1), axis=1)


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"mask ratio is {ratio}: give a share in (0, 1)")


def _num_hidden(num_tokens: int, ratio: float) -> int:
    """Return the number of hidden tokens, such that at least one token is hidden and one is not."""
    if num_tokens < 2:
        raise ValueError("one token cannot be both context and target: use smaller tubelets or larger clips")
    return min(max(int(num_tokens * ratio), 1), num_tokens - 1)
