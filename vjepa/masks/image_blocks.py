"""Masks of I-JEPA (arXiv 2301.08243, section 3): one large block seen, several smaller ones predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import MaskIndices
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


class _Blocks(NamedTuple):
    """Sizes that a step shares."""

    context: Grid
    target: Grid


class _Calibration(NamedTuple):
    """What the placements of blocks of these sizes have in common.

    Attributes:
        num_context: Number of context tokens of every sample.
        placements_Bn3: Uniform numbers of the placements that show so many, ``(B, n, 3)``.
    """

    num_context: int
    placements_Bn3: np.ndarray

    def refuses(self, placed_BnN: np.ndarray) -> np.ndarray:
        """Samples that show too little: bool ``(B,)``."""
        return placed_BnN[:, 0].sum(axis=1) < self.num_context


@dataclass(frozen=True, kw_only=True)
class ImageBlocks:
    """The context is a block without what is predicted; each target block is predicted by itself.

    The sizes of the blocks are drawn once a step, their places for each sample. Target blocks may overlap
    each other, the context overlaps none. Blocks reach through all time steps.

    Attributes:
        context_scale: Range of the context block's area, as a share of ``h * w``; it is square.
        num_targets: Number of target blocks.
        target_scale: Range of the area of a target block, as a share of ``h * w``.
        target_aspect: Range of the height of a target block over its width.
        min_keep: A sample with this many context tokens or fewer is drawn again, if the grid has more tokens.
    """

    context_scale: Range = (0.85, 1.0)
    num_targets: int = 4
    target_scale: Range = (0.15, 0.2)
    target_aspect: Range = (0.75, 1.5)
    min_keep: int = 10

    def __post_init__(self) -> None:
        if self.num_targets < 1 or self.min_keep < 1:
            raise ValueError(
                f"num_targets is {self.num_targets} and min_keep {self.min_keep}: give 1 or more of each"
            )
        check_range("context_scale", self.context_scale, 1)
        check_range("target_scale", self.target_scale, 1)
        check_range("target_aspect", self.target_aspect, math.inf)

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        blocks, calibration = self._draw_size(grid, step_rng)
        placed_BnN = draw_placements(
            partial(self._place, grid, blocks), calibration.refuses, calibration.placements_Bn3, sample_rngs
        )
        target_BM = placed_BnN[:, 1:].nonzero()[2].reshape(len(sample_rngs), -1)
        context_BK = _choose(placed_BnN[:, 0], calibration.num_context, sample_rngs)
        return MaskIndices(context_BK, target_BM, self.num_targets)

    def _draw_size(self, grid: Grid, rng: np.random.Generator) -> tuple[_Blocks, _Calibration]:
        """Sizes of the blocks, and the context's length; ValueError where targets leave nothing to see."""
        blocks, calibration = draw_size(partial(self._draw_blocks, grid, rng), partial(self._calibrate, grid))
        if calibration is None:
            raise ValueError(
                f"{self.num_targets} target blocks of {blocks.target.h} x {blocks.target.w} tokens leave "
                "nothing to see of a grid "
                f"of {grid.h} x {grid.w}: use smaller patches, or lower num_targets or target_scale"
            )
        return blocks, calibration

    def _draw_blocks(self, grid: Grid, rng: np.random.Generator) -> _Blocks:
        context = _inside(grid, block_size(grid, 1.0, rng.uniform(*self.context_scale), 1.0))
        area, aspect = rng.uniform(*self.target_scale), rng.uniform(*self.target_aspect)
        return _Blocks(context, _inside(grid, block_size(grid, 1.0, area, aspect)))

    def _place(self, grid: Grid, blocks: _Blocks, uniform_Bn3: np.ndarray) -> np.ndarray:
        """Tokens of the context without the targets, and of each target, bool ``(B, n, N)``."""
        size = (len(uniform_Bn3), -1, grid.size)
        context_B1N = place_blocks(grid, blocks.context, uniform_Bn3[:, :1]).reshape(size)
        target_BnN = place_blocks(grid, blocks.target, uniform_Bn3[:, 1:]).reshape(size)
        return np.concatenate([context_B1N & ~target_BnN.any(axis=1, keepdims=True), target_BnN], axis=1)

    @lru_cache(maxsize=1024)  # noqa: B019  (self is a small frozen value; block sizes are few)
    def _calibrate(self, grid: Grid, blocks: _Blocks) -> _Calibration | None:
        """The context's length for these sizes, a function of the sizes alone.

        None where nothing is ever seen.
        """
        uniform_Bn3 = calibration_placements(1 + self.num_targets)
        num_seen_B = self._place(grid, blocks, uniform_Bn3)[:, 0].sum(axis=1)
        if not num_seen_B.any():
            return None
        least = self.min_keep if (num_seen_B > self.min_keep).any() else 0
        num_context = common_length(num_seen_B[num_seen_B > least])
        return _Calibration(num_context, uniform_Bn3[num_seen_B >= num_context])


def _inside(grid: Grid, block: Grid) -> Grid:
    """The block with fewer rows and columns than the grid, as in the published code.

    None covers a whole row or column.
    """
    return Grid(block.t, min(block.h, max(grid.h - 1, 1)), min(block.w, max(grid.w - 1, 1)))


def _choose(seen_BN: np.ndarray, count: int, sample_rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """`count` of the seen tokens of each sample, at random, ascending: ``(B, K)``."""
    key_BN = np.stack([rng.random(seen_BN.shape[1]) for rng in sample_rngs])
    return np.sort(np.argsort(key_BN + ~seen_BN, axis=1)[:, :count], axis=1)
