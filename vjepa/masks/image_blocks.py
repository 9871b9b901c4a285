"""Masks of I-JEPA (arXiv 2301.08243, section 3): one large block seen, several smaller ones predicted.

Shape letters as in `vjepa.tokens`; G target blocks of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from vjepa.masks.base import MaskIndices
from vjepa.masks.blocks import Range, block_size, check_range, place_blocks
from vjepa.tokens import Grid

# As for `vjepa.masks.multiblock`: a length that nearly all draws reach; the others are drawn again.
_QUANTILE = 0.04
_CALIBRATION_DRAWS = 512
_ATTEMPTS = 8


class _Blocks(NamedTuple):
    """Sizes that a step shares."""

    context: Grid
    target: Grid


@dataclass(frozen=True, kw_only=True)
class ImageBlocks:
    """The context is a block without what is predicted; each target block is predicted by itself.

    The sizes of the blocks are drawn once a step, their places for each sample. Target blocks may overlap each
    other, the context overlaps none. Blocks reach through all time steps.

    Attributes:
        context_scale: range of the context block's area, as a share of ``h * w``; it is square.
        num_targets: target blocks.
        target_scale: range of their area.
        target_aspect: range of their height over width.
        min_keep: context tokens at least, where the grid has them.
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
        blocks = self._draw_blocks(grid, step_rng)
        num_context = self._num_context(grid, blocks)
        seen_BN, target_BGN = self._draw(grid, blocks, sample_rngs, num_context)
        target_BM = target_BGN.nonzero()[2].reshape(len(sample_rngs), -1)
        return MaskIndices(_choose(seen_BN, num_context, sample_rngs), target_BM, self.num_targets)

    def _draw_blocks(self, grid: Grid, rng: np.random.Generator) -> _Blocks:
        context = block_size(grid, 1.0, rng.uniform(*self.context_scale), 1.0)
        target = block_size(grid, 1.0, rng.uniform(*self.target_scale), rng.uniform(*self.target_aspect))
        if target.h * target.w >= grid.h * grid.w:
            raise ValueError(
                f"a target block of {target.h} x {target.w} leaves nothing to see of a grid of {grid.h} x {grid.w}: "
                "use smaller patches, or a smaller target_scale"
            )
        return _Blocks(context, target)

    def _place(self, grid: Grid, blocks: _Blocks, uniform_BX3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Context tokens bool ``(B, N)`` and targets bool ``(B, G, N)``, of ``1 + G`` places a sample."""
        context_BN = place_blocks(grid, blocks.context, uniform_BX3[:, :1]).reshape(len(uniform_BX3), -1)
        target_BGN = place_blocks(grid, blocks.target, uniform_BX3[:, 1:]).reshape(
            len(uniform_BX3), self.num_targets, -1
        )
        return context_BN & ~target_BGN.any(axis=1), target_BGN

    @lru_cache(maxsize=1024)  # noqa: B019  (self is a small frozen value; block sizes are few)
    def _num_context(self, grid: Grid, blocks: _Blocks) -> int:
        """Number of context tokens for these sizes: a function of the sizes alone."""
        uniform_BX3 = np.random.default_rng(0).random((_CALIBRATION_DRAWS, 1 + self.num_targets, 3))
        seen_BN, target_BGN = self._place(grid, blocks, uniform_BX3)
        # What is free of targets at the least is there in any sample, whatever the context block leaves out.
        free = grid.size - target_BGN.any(axis=1).sum(axis=1).max()
        wanted = max(int(np.quantile(seen_BN.sum(axis=1), _QUANTILE)), min(self.min_keep, int(free)))
        return max(wanted, 1)

    def _draw(
        self, grid: Grid, blocks: _Blocks, sample_rngs: Sequence[np.random.Generator], num_context: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Place the blocks of each sample, again where too little is seen.

        The attempt with the most is kept; what it lacks is filled up with tokens beside the context block, never
        with targets.
        """
        uniform_BAX3 = np.stack([rng.random((_ATTEMPTS, 1 + self.num_targets, 3)) for rng in sample_rngs])
        seen_BN, target_BGN = self._place(grid, blocks, uniform_BAX3[:, 0])
        for attempt in range(1, _ATTEMPTS):
            short = seen_BN.sum(axis=1) < num_context
            if not short.any():
                break
            seen_XN, target_XGN = self._place(grid, blocks, uniform_BAX3[short, attempt])
            better = seen_XN.sum(axis=1) > seen_BN[short].sum(axis=1)
            rows = np.flatnonzero(short)[better]
            seen_BN[rows], target_BGN[rows] = seen_XN[better], target_XGN[better]
        return _filled(seen_BN, target_BGN, num_context), target_BGN


def _filled(seen_BN: np.ndarray, target_BGN: np.ndarray, num_context: int) -> np.ndarray:
    """Context tokens, with the first tokens that are no targets where there are fewer than `num_context`."""
    for row in np.flatnonzero(seen_BN.sum(axis=1) < num_context):
        free = np.flatnonzero(~target_BGN[row].any(axis=0) & ~seen_BN[row])
        lacking = num_context - seen_BN[row].sum()
        if len(free) < lacking:
            raise ValueError(
                f"target blocks left {seen_BN[row].sum() + len(free)} tokens to see where {num_context} are needed: "
                "use smaller patches, or fewer or smaller targets"
            )
        seen_BN[row, free[:lacking]] = True
    return seen_BN


def _choose(seen_BN: np.ndarray, count: int, sample_rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """`count` of the seen tokens of each sample, at random, ascending: ``(B, K)``."""
    key_BN = np.stack([rng.random(seen_BN.shape[1]) for rng in sample_rngs])
    return np.sort(np.argsort(key_BN + ~seen_BN, axis=1)[:, :count], axis=1)
