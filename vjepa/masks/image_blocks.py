"""Masks of I-JEPA (arXiv 2301.08243, section 3): a large context block and several smaller target blocks."""

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
    """Sizes of the context block and of the target blocks, which all samples of a step share."""

    context: Grid
    target: Grid


class _Calibration(NamedTuple):
    """Length of the context that all samples share for given block sizes, and the placements that reach it.

    Attributes:
        num_context: Number of context tokens of every sample.
        placements_Bn3: Uniform numbers of the placements with this many context tokens or more.
    """

    num_context: int
    placements_Bn3: np.ndarray

    def refuses(self, placed_BnN: np.ndarray) -> np.ndarray:
        """Return whether each sample has too few context tokens, bool ``(B,)``."""
        return placed_BnN[:, 0].sum(axis=1) < self.num_context


@dataclass(frozen=True, kw_only=True)
class ImageBlocks:
    """Mask with a context block, and several target blocks that are each predicted by itself.

    The sizes of the blocks are drawn once per optimiser step, their places for each sample. Target blocks may
    overlap each other; their tokens are removed from the context block. All blocks span all time steps.

    Attributes:
        context_scale: Smallest and largest area of the context block, which is square, as a share of the
            token grid's ``h * w``.
        num_targets: Number of target blocks.
        target_scale: Smallest and largest area of a target block, as a share of the token grid's ``h * w``.
        target_aspect: Smallest and largest height of a target block divided by its width.
        min_keep: Number of context tokens that a sample must exceed, or else it is redrawn; ignored where the
            grid is too small for that.
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
        """Draw the sizes of the blocks, and return them with their calibration.

        Raises:
            ValueError: The target blocks of every size that was drawn leave no context.
        """
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
        """Return whether the context, and each target block, has each token, bool ``(B, n, N)``."""
        size = (len(uniform_Bn3), -1, grid.size)
        context_B1N = place_blocks(grid, blocks.context, uniform_Bn3[:, :1]).reshape(size)
        target_BnN = place_blocks(grid, blocks.target, uniform_Bn3[:, 1:]).reshape(size)
        return np.concatenate([context_B1N & ~target_BnN.any(axis=1, keepdims=True), target_BnN], axis=1)

    @lru_cache(maxsize=1024)  # noqa: B019  (self is a small frozen value; block sizes are few)
    def _calibrate(self, grid: Grid, blocks: _Blocks) -> _Calibration | None:
        """Measure the length of the context for given sizes; None if no placement leaves a context."""
        uniform_Bn3 = calibration_placements(1 + self.num_targets)
        num_seen_B = self._place(grid, blocks, uniform_Bn3)[:, 0].sum(axis=1)
        if not num_seen_B.any():
            return None
        least = self.min_keep if (num_seen_B > self.min_keep).any() else 0
        num_context = common_length(num_seen_B[num_seen_B > least])
        return _Calibration(num_context, uniform_Bn3[num_seen_B >= num_context])


def _inside(grid: Grid, block: Grid) -> Grid:
    """Limit a block to fewer rows and columns than the grid has, as the published code does."""
    return Grid(block.t, min(block.h, max(grid.h - 1, 1)), min(block.w, max(grid.w - 1, 1)))


def _choose(seen_BN: np.ndarray, count: int, sample_rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Choose `count` of the marked tokens of each sample at random.

    Return their indices ``(B, K)``, ascending.
    """
    key_BN = np.stack([rng.random(seen_BN.shape[1]) for rng in sample_rngs])
    return np.sort(np.argsort(key_BN + ~seen_BN, axis=1)[:, :count], axis=1)
