"""Blocks of tokens: their size, and where they come to lie. Shape letters as in `vjepa.tokens`; X blocks of a sample."""

from __future__ import annotations

import math

import numpy as np

from vjepa.tokens import Grid

Range = tuple[float, float]


def block_size(grid: Grid, length: float, area: float, aspect: float) -> Grid:
    """Tokens of a block along each axis.

    Args:
        length: share of the time steps.
        area: share of ``h * w``.
        aspect: height over width.
    """
    num_spatial = int(grid.h * grid.w * area)
    height = round(math.sqrt(num_spatial * aspect))
    width = round(math.sqrt(num_spatial / aspect))
    return Grid(max(1, int(grid.t * length)), min(max(height, 1), grid.h), min(max(width, 1), grid.w))


def place_blocks(grid: Grid, block: Grid, uniform_BX3: np.ndarray) -> np.ndarray:
    """Tokens that each block covers, placed by uniform numbers in [0, 1): bool ``(B, X, t, h, w)``."""
    start_BX3 = np.floor(uniform_BX3 * (np.array(grid) - np.array(block) + 1)).astype(np.int64)
    covered = [
        (np.arange(length) >= start) & (np.arange(length) < start + extent)
        for length, extent, start in zip(grid, block, np.split(start_BX3, 3, axis=-1), strict=True)
    ]
    time_BXt, row_BXh, column_BXw = covered
    return time_BXt[..., :, None, None] & row_BXh[..., None, :, None] & column_BXw[..., None, None, :]


def check_range(name: str, bounds: Range, highest: float) -> None:
    """ValueError unless ``0 < low <= high <= highest``."""
    low, high = bounds
    if not 0 < low <= high <= highest:
        rule = "give 0 < low <= high" + (f" <= {highest:g}" if highest < math.inf else "")
        raise ValueError(f"{name} is ({low}, {high}): {rule}")
