"""3-D multi-block masks (V-JEPA, arXiv 2404.08471, section 3.2). Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from vjepa.masks.base import MaskIndices, split_tokens
from vjepa.masks.blocks import Range, block_size, check_range, place_blocks
from vjepa.tokens import Grid

# Lengths are the 4 % quantile of what a block size gives: about the minimum over 24 clips, the published
# batch of one GPU, to which the published code cuts. Samples below it are drawn again.
_QUANTILE = 0.04
_CALIBRATION_DRAWS = 512
_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class MultiBlock:
    """Hide the union of several blocks; what is hidden is predicted from the rest.

    The size of the blocks is drawn once a step, their places for each sample.

    Attributes:
        num_blocks: blocks in the union.
        spatial_scale: range of a block's area, as a share of ``h * w``.
        temporal_scale: range of its length, as a share of ``t``.
        aspect_ratio: range of height over width.
        max_temporal_keep: the context ends after this share of the time steps; later ones are hidden.
        max_keep: at most so many context tokens; None for no limit.
        complement: `targets` makes every token that is not context a target, `context` makes every token
            that is not a target context; `none` lets the tokens that equal lengths cost go.
        invert: the blocks are the context and the rest is predicted.
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

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        if grid.size < 2:
            raise ValueError(f"a grid of {grid} has nothing to hide from anything: use smaller tubelets")
        block = self._draw_block(grid, step_rng)
        num_context, num_targets = self._lengths(grid, block)
        hidden_BN = self._draw_hidden(grid, block, sample_rngs, num_context, num_targets)
        return split_tokens(hidden_BN, num_context, num_targets, sample_rngs)

    def _draw_block(self, grid: Grid, rng: np.random.Generator) -> Grid:
        """The size of a block in tokens."""
        length, area, aspect = (
            rng.uniform(*bounds) for bounds in (self.temporal_scale, self.spatial_scale, self.aspect_ratio)
        )
        return block_size(grid, length, area, aspect)

    def _hidden(self, grid: Grid, block: Grid, uniform_BX3: np.ndarray) -> np.ndarray:
        """Union of blocks placed by uniform numbers in [0, 1): bool ``(B, N)``."""
        hidden_BXthw = place_blocks(grid, block, uniform_BX3)
        hidden_Bthw = np.logical_or.reduce(hidden_BXthw, axis=1)
        hidden_Bthw[:, max(1, int(grid.t * self.max_temporal_keep)) :] = True
        hidden_BN = hidden_Bthw.reshape(len(hidden_Bthw), -1)
        return ~hidden_BN if self.invert else hidden_BN

    @lru_cache(maxsize=1024)  # noqa: B019  (self is a small frozen value; block sizes are few)
    def _lengths(self, grid: Grid, block: Grid) -> tuple[int, int]:
        """Numbers of context and target tokens for this size of block: a function of the sizes alone."""
        rng = np.random.default_rng(0)
        num_hidden = self._hidden(grid, block, rng.random((_CALIBRATION_DRAWS, self.num_blocks, 3))).sum(
            axis=1
        )
        num_context = int(np.quantile(grid.size - num_hidden, _QUANTILE))
        num_context = min(max(num_context, 1), grid.size - 1, self.max_keep or grid.size)
        num_targets = min(max(int(np.quantile(num_hidden, _QUANTILE)), 1), grid.size - num_context)
        if self.complement == "targets":
            num_targets = grid.size - num_context
        elif self.complement == "context":
            num_context = grid.size - num_targets
        return num_context, num_targets

    def _draw_hidden(
        self,
        grid: Grid,
        block: Grid,
        sample_rngs: Sequence[np.random.Generator],
        num_context: int,
        num_targets: int,
    ) -> np.ndarray:
        """Place the blocks of each sample, again where too little stays visible or gets hidden."""
        uniform_BAX3 = np.stack([rng.random((_ATTEMPTS, self.num_blocks, 3)) for rng in sample_rngs])
        hidden_BN = self._hidden(grid, block, uniform_BAX3[:, 0])
        for attempt in range(1, _ATTEMPTS):
            num_hidden = hidden_BN.sum(axis=1)
            short = (grid.size - num_hidden < num_context) | (num_hidden < num_targets)
            if not short.any():
                break
            hidden_BN[short] = self._hidden(grid, block, uniform_BAX3[short, attempt])
        return hidden_BN
