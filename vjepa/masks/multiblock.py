"""3-D multi-block masks (V-JEPA, arXiv 2404.08471, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import MaskIndices, split_tokens
from vjepa.masks.blocks import (
    Range,
    block_size,
    calibration_placements,
    check_range,
    common_length,
    draw_placements,
    draw_size,
    place_blocks,
)


class _Calibration(NamedTuple):
    """Lengths that all samples share for one block size, and the placements that reach them.

    Attributes:
        num_context: Number of context tokens of every sample.
        num_targets: Number of target tokens of every sample.
        least_hidden: Smallest number of hidden tokens of a sample; a sample with fewer is redrawn.
        most_hidden: Largest number of hidden tokens of a sample; a sample with more is redrawn.
        placements_Bn3: Uniform numbers of the placements within these bounds, ``(B, n, 3)``.
    """

    num_context: int
    num_targets: int
    least_hidden: int
    most_hidden: int
    placements_Bn3: np.ndarray

    def refuses(self, hidden_BN: np.ndarray) -> np.ndarray:
        """Return whether each sample shows or hides too little, bool ``(B,)``."""
        num_hidden_B = hidden_BN.sum(axis=1)
        return (num_hidden_B < self.least_hidden) | (num_hidden_B > self.most_hidden)


@dataclass(frozen=True, kw_only=True)
class MultiBlock:
    """Mask that hides the union of several blocks; the hidden tokens are predicted from the others.

    The size of the blocks is drawn once per optimiser step, their places for each sample. A sample in which
    everything or nothing is hidden is redrawn, and so is a block size with which every sample would be such.

    Attributes:
        num_blocks: Number of blocks in the union.
        spatial_scale: Smallest and largest area of a block, as a share of the token grid's ``h * w``.
        temporal_scale: Smallest and largest length of a block, as a share of the token grid's ``t``.
        aspect_ratio: Smallest and largest height of a block divided by its width.
        max_temporal_keep: Share of the time steps, from the first, that the context may span; all later
            tokens are hidden.
        max_keep: Largest number of context tokens; null sets no limit. Excludes `complement: context`.
        complement: `targets` makes every token that is not context a target, `context` makes every token that
            is not a target context; `none` drops the tokens by which a sample exceeds the common lengths.
        invert: Use the blocks as the context and predict all other tokens.
    """

    num_blocks: int = 8
    spatial_scale: Range = (0.15, 0.15)
    temporal_scale: Range = (1.0, 1.0)
    aspect_ratio: Range = (0.75, 1.5)
    max_temporal_keep: float = 1.0
    max_keep: int | None = None
    complement: Literal["none", "targets", "context"] = "none"
    invert: bool = False

    def __post_init__(self) -> None:
        if self.num_blocks < 1:
            raise ValueError(f"num_blocks is {self.num_blocks}: give 1 or more")
        check_range("spatial_scale", self.spatial_scale, 1)
        check_range("temporal_scale", self.temporal_scale, 1)
        check_range("aspect_ratio", self.aspect_ratio, math.inf)
        if not 0 < self.max_temporal_keep <= 1:
            raise ValueError(f"max_temporal_keep is {self.max_temporal_keep}: give a share in (0, 1]")
        if self.max_keep is not None and self.max_keep < 1:
            raise ValueError(f"max_keep is {self.max_keep}: give 1 or more, or null for no limit")
        if self.max_keep is not None and self.complement == "context":
            raise ValueError(
                f"max_keep is {self.max_keep} and complement context, which makes every token that is not a "
                "target context: leave out one of the two"
            )

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        if grid.size < 2:
            raise ValueError(f"a grid of {grid} has nothing to hide from anything: use smaller tubelets")
        block, calibration = self._draw_size(grid, step_rng)
        hidden_BN = draw_placements(
            partial(self._hidden, grid, block), calibration.refuses, calibration.placements_Bn3, sample_rngs
        )
        return split_tokens(hidden_BN, calibration.num_context, calibration.num_targets, sample_rngs)

    def _draw_size(self, grid: Grid, rng: np.random.Generator) -> tuple[Grid, _Calibration]:
        """Draw the size of a block in tokens, and return it with its calibration.

        Raises:
            ValueError: Blocks of every size that was drawn hide all tokens.
        """
        block, calibration = draw_size(partial(self._draw_block, grid, rng), partial(self._calibrate, grid))
        if calibration is None:
            raise ValueError(
                f"{self.num_blocks} blocks of {tuple(block)} tokens hide all of a grid of {tuple(grid)}: "
                "lower num_blocks or spatial_scale, or use smaller tubelets"
            )
        return block, calibration

    def _draw_block(self, grid: Grid, rng: np.random.Generator) -> Grid:
        """Draw the size of a block in tokens."""
        length, area, aspect = (
            rng.uniform(*bounds) for bounds in (self.temporal_scale, self.spatial_scale, self.aspect_ratio)
        )
        return block_size(grid, length, area, aspect)

    def _hidden(self, grid: Grid, block: Grid, uniform_Bn3: np.ndarray) -> np.ndarray:
        """Return whether each token is hidden, bool ``(B, N)``, for blocks placed by uniform numbers in
        [0, 1).
        """
        hidden_Bnthw = place_blocks(grid, block, uniform_Bn3)
        hidden_Bthw = np.logical_or.reduce(hidden_Bnthw, axis=1)
        if self.invert:
            hidden_Bthw = ~hidden_Bthw
        hidden_Bthw[:, self.longest_context(grid.t) :] = True
        return hidden_Bthw.reshape(len(hidden_Bthw), -1)

    def longest_context(self, steps: int) -> int:
        """Return the number of time steps that may be context, in clips of `steps` time steps."""
        return max(1, int(steps * self.max_temporal_keep))

    @lru_cache(maxsize=1024)  # noqa: B019  (self is a small frozen value; block sizes are few)
    def _calibrate(self, grid: Grid, block: Grid) -> _Calibration | None:
        """Measure the lengths that samples of a block size have.

        None if every sample hides all or nothing.
        """
        uniform_Bn3 = calibration_placements(self.num_blocks)
        num_hidden_B = self._hidden(grid, block, uniform_Bn3).sum(axis=1)
        drawable_B = (num_hidden_B > 0) & (num_hidden_B < grid.size)
        if not drawable_B.any():
            return None
        uniform_Bn3, num_hidden_B = uniform_Bn3[drawable_B], num_hidden_B[drawable_B]
        num_context = common_length(grid.size - num_hidden_B)
        num_context = min(num_context, self.max_keep or grid.size)
        num_targets = common_length(num_hidden_B)
        # With `complement`, one of the two has all tokens that the other does not have.
        least_hidden, most_hidden = num_targets, grid.size - num_context
        if self.complement == "targets":
            num_targets, least_hidden = grid.size - num_context, 1
        elif self.complement == "context":
            num_context, most_hidden = grid.size - num_targets, grid.size - 1
        within_B = (num_hidden_B >= least_hidden) & (num_hidden_B <= most_hidden)
        return _Calibration(num_context, num_targets, least_hidden, most_hidden, uniform_Bn3[within_B])
