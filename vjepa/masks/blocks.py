"""Blocks of tokens: their sizes, their placement, and the common length of all samples of a step.

The published collators redraw a sample whose context is too small, and then cut all samples of a batch to the
length of the shortest (facebookresearch/vjepa2 c2963a4, src/masks/multiseq_multiblock3d.py;
facebookresearch/ijepa 52c1ae9, src/masks/multiblock.py). Here the common length depends on the block sizes
alone, so that a sample does not depend on its batch. It is the 4 % quantile of the lengths that can be drawn,
which is about the minimum over 24 clips, the published batch size per GPU. Shorter samples are redrawn.
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

_SIZE_ATTEMPTS = 32  # block sizes that are drawn at most for a step
_ATTEMPTS = 8  # placements that are drawn at most for a sample
_CALIBRATION_DRAWS = 512
_QUANTILE = 0.04


def block_size(grid: Grid, length: float, area: float, aspect: float) -> Grid:
    """Return the number of tokens of a block along each axis, each 1 or more.

    Args:
        grid: Token grid of a clip.
        length: Length of the block, as a share of the grid's time steps.
        area: Area of the block, as a share of ``h * w``.
        aspect: Height of the block divided by its width.
    """
    num_spatial = int(grid.h * grid.w * area)
    height = round(math.sqrt(num_spatial * aspect))
    width = round(math.sqrt(num_spatial / aspect))
    return Grid(max(1, int(grid.t * length)), min(max(height, 1), grid.h), min(max(width, 1), grid.w))


def place_blocks(grid: Grid, block: Grid, uniform_Bn3: np.ndarray) -> np.ndarray:
    """Place blocks by uniform numbers in [0, 1).

    Args:
        grid: Token grid of a clip.
        block: Number of tokens of each block along each axis.
        uniform_Bn3: For each block of each sample, its place along time, height and width: 0 is the first
            place and 1, exclusive, the last.

    Returns:
        Whether each block covers each token, bool ``(B, n, t, h, w)``.
    """
    start_Bn3 = np.floor(uniform_Bn3 * (np.array(grid) - np.array(block) + 1)).astype(np.int64)
    covered = [
        (np.arange(length) >= start) & (np.arange(length) < start + extent)
        for length, extent, start in zip(grid, block, np.split(start_Bn3, 3, axis=-1), strict=True)
    ]
    time_Bnt, row_Bnh, column_Bnw = covered
    return time_Bnt[..., :, None, None] & row_Bnh[..., None, :, None] & column_Bnw[..., None, None, :]


def calibration_placements(num_blocks: int) -> np.ndarray:
    """Return fixed uniform numbers ``(B, n, 3)`` of the placements from which lengths are estimated."""
    return np.random.default_rng(0).random((_CALIBRATION_DRAWS, num_blocks, 3))


def common_length(num_tokens_B: np.ndarray) -> int:
    """Return the number of tokens that 96 % of the samples reach, from the number of each sample."""
    return int(np.quantile(num_tokens_B, _QUANTILE))


def draw_size(
    draw: Callable[[], Size], calibrate: Callable[[Size], Calibration | None]
) -> tuple[Size, Calibration | None]:
    """Draw block sizes until one of them can be used, at most 32 times.

    Args:
        draw: Function that draws block sizes.
        calibrate: Function that measures the placements of these sizes; None if no placement can be used.

    Returns:
        The last sizes, and their calibration; None instead of the latter if none of the sizes can be used.
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
    """Place the blocks of each sample, and redraw placements that are refused.

    Args:
        place: Function from uniform numbers ``(B, n, 3)`` to the covered tokens, bool ``(B, ..., N)``.
        refuses: Function from the covered tokens to whether a sample shows or hides too little, bool
            ``(B,)``.
        accepted_Bn3: Placements that are not refused. A sample that is refused at every attempt takes one of
            them.
        sample_rngs: Random generator of each sample.

    Returns:
        The covered tokens of each sample, as `place` returns them.
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
    """Raise ValueError unless ``0 < low <= high <= highest``."""
    low, high = bounds
    if not 0 < low <= high <= highest:
        rule = "give 0 < low <= high" + (f" <= {highest:g}" if highest < math.inf else "")
        raise ValueError(f"{name} is ({low}, {high}): {rule}")
