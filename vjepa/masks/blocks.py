"""Blocks of tokens: their size, where they come to lie, and how many tokens all samples of a step have in
common.

The published collators draw a sample whose context is too small again, and then cut all samples of a batch to
the shortest (facebookresearch/vjepa2 c2963a4, src/masks/multiseq_multiblock3d.py; facebookresearch/ijepa
52c1ae9, src/masks/multiblock.py). Here the length is a function of the block sizes alone, so that a sample
does not depend on its batch: the 4 % quantile of the samples that can be drawn, about the minimum over 24
clips, the published batch of one GPU. Samples below it are drawn again.

"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from vjepa.grid import Grid

Range = tuple[float, float]

Size = TypeVar("Size")
Calibration = TypeVar("Calibration")

# Sizes of blocks that are tried at a step, and placements that are tried for a sample.
_SIZE_ATTEMPTS = 32
_ATTEMPTS = 8
_CALIBRATION_DRAWS = 512
_QUANTILE = 0.04


def block_size(grid: Grid, length: float, area: float, aspect: float) -> Grid:
    """Tokens of a block along each axis.

    Args:
        length: Share of the time steps.
        area: Share of ``h * w``.
        aspect: Height over width.
    """
    num_spatial = int(grid.h * grid.w * area)
    height = round(math.sqrt(num_spatial * aspect))
    width = round(math.sqrt(num_spatial / aspect))
    return Grid(max(1, int(grid.t * length)), min(max(height, 1), grid.h), min(max(width, 1), grid.w))


def place_blocks(grid: Grid, block: Grid, uniform_Bn3: np.ndarray) -> np.ndarray:
    """Tokens that each block covers, placed by uniform numbers in [0, 1): bool ``(B, n, t, h, w)``."""
    start_Bn3 = np.floor(uniform_Bn3 * (np.array(grid) - np.array(block) + 1)).astype(np.int64)
    covered = [
        (np.arange(length) >= start) & (np.arange(length) < start + extent)
        for length, extent, start in zip(grid, block, np.split(start_Bn3, 3, axis=-1), strict=True)
    ]
    time_Bnt, row_Bnh, column_Bnw = covered
    return time_Bnt[..., :, None, None] & row_Bnh[..., None, :, None] & column_Bnw[..., None, None, :]


def calibration_placements(num_blocks: int) -> np.ndarray:
    """Uniform numbers of the placements that lengths are estimated from, always the same: ``(B, n, 3)``."""
    return np.random.default_rng(0).random((_CALIBRATION_DRAWS, num_blocks, 3))


def common_length(num_tokens_B: np.ndarray) -> int:
    """The number of tokens that nearly all of these samples have."""
    return int(np.quantile(num_tokens_B, _QUANTILE))


def draw_size(
    draw: Callable[[], Size], calibrate: Callable[[Size], Calibration | None]
) -> tuple[Size, Calibration | None]:
    """A size of blocks and what its placements have in common; sizes with which nothing can be drawn are
    drawn again.

    The second is None where 32 sizes were drawn and none of them can be used.
    """
    for _ in range(_SIZE_ATTEMPTS):
        size = draw()
        calibration = calibrate(size)
        if calibration is not None:
            break
    return size, calibration


def draw_placements(
    place: Callable[[np.ndarray], np.ndarray],
    refuses: Callable[[np.ndarray], np.ndarray],
    accepted_Bn3: np.ndarray,
    sample_rngs: Sequence[np.random.Generator],
) -> np.ndarray:
    """Place the blocks of each sample, again where the result is refused.

    Args:
        place: Uniform numbers ``(B, n, 3)`` to the tokens of each sample, bool ``(B, ..., N)``.
        refuses: These tokens to the samples that show or hide too little, bool ``(B,)``.
        accepted_Bn3: Placements that are not refused; a sample that is refused at every attempt takes one of
            them.
        sample_rngs: Random generator of each sample.
    """
    uniform_Bsn3 = np.stack([rng.random((_ATTEMPTS, *accepted_Bn3.shape[1:])) for rng in sample_rngs])
    placed_BN = place(uniform_Bsn3[:, 0])
    for attempt in range(1, _ATTEMPTS):
        again_B = refuses(placed_BN)
        if not again_B.any():
            return placed_BN
        placed_BN[again_B] = place(uniform_Bsn3[again_B, attempt])
    for row in np.flatnonzero(refuses(placed_BN)).tolist():
        number = sample_rngs[row].integers(len(accepted_Bn3))
        placed_BN[row] = place(accepted_Bn3[number : number + 1])[0]
    return placed_BN


def check_range(name: str, bounds: Range, highest: float) -> None:
    """ValueError unless ``0 < low <= high <= highest``."""
    low, high = bounds
    if not 0 < low <= high <= highest:
        rule = "give 0 < low <= high" + (f" <= {highest:g}" if highest < math.inf else "")
        raise ValueError(f"{name} is ({low}, {high}): {rule}")
