"""Grids of tokens and extents of tubelets; neither needs torch."""

from __future__ import annotations

from typing import NamedTuple

SMALLEST_CONVOLVED_SIDE = 4
"""Rows and columns that a tubelet must have for a convolutional stem: a smaller one is a single kernel."""


class Grid(NamedTuple):
    """Number of tubelets along time, height and width."""

    t: int
    h: int
    w: int

    @property
    def size(self) -> int:
        """Number of tokens, N."""
        return self.t * self.h * self.w


class Tubelet(NamedTuple):
    """Extent of one token in frames, rows and columns."""

    t: int
    h: int
    w: int

    def grid_of(self, frames: int, height: int, width: int) -> Grid:
        """The token grid of a video of this size; ValueError where tubelets do not tile it.

        One frame is an image: it fills a whole tubelet by repetition, so it gives ``t = 1``.
        """
        if frames != 1 and frames % self.t:
            raise ValueError(
                f"{frames} frames cannot be cut into tubelets of {self.t} frames: "
                f"give a multiple of {self.t}, or one frame (an image)"
            )
        if height % self.h or width % self.w:
            raise ValueError(
                f"{height} x {width} pixels cannot be cut into patches of {self.h} x {self.w}: "
                "resize or crop to multiples of the patch"
            )
        return Grid(max(frames // self.t, 1), height // self.h, width // self.w)
