"""The order of tokens and how videos become them: defined here, once.

Shape letters, in every file of this library that has tensors:
    B batch        T frames        C channels      H W pixels
    t h w token grid               N all tokens    K context tokens    M target tokens
    D encoder width                P pixel values of a tubelet, ordered (C, frames, rows, columns)

A token's place in the sequence is ``n = (i_t * h + i_h) * w + i_w``: time is slowest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor


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


def patchify(video_BCTHW: Tensor, tubelet: Tubelet) -> Tensor:
    """Cut a video into tubelets: ``(B, C, T, H, W) -> (B, N, P)``, in token order; any dtype.

    A single frame is repeated to fill its tubelet (an image is a still video).
    """
    grid = tubelet.grid_of(*video_BCTHW.shape[2:])
    if video_BCTHW.shape[2] == 1:
        video_BCTHW = video_BCTHW.expand(-1, -1, tubelet.t, -1, -1)
    return rearrange(
        video_BCTHW,
        "b c (t dt) (h dh) (w dw) -> b (t h w) (c dt dh dw)",
        t=grid.t, h=grid.h, w=grid.w, dt=tubelet.t, dh=tubelet.h, dw=tubelet.w,
    )  # fmt: skip


def unpatchify(tubelets_BNP: Tensor, grid: Grid, tubelet: Tubelet) -> Tensor:
    """The inverse of `patchify`: ``(B, N, P) -> (B, C, T, H, W)``."""
    return rearrange(
        tubelets_BNP,
        "b (t h w) (c dt dh dw) -> b c (t dt) (h dh) (w dw)",
        t=grid.t, h=grid.h, w=grid.w, dt=tubelet.t, dh=tubelet.h, dw=tubelet.w,
    )  # fmt: skip


def gather_tokens(tokens_BNX: Tensor, index_BK: Tensor) -> Tensor:
    """Pick tokens by index: ``(B, N, X), (B, K) -> (B, K, X)``; indices int64 in ``[0, N)``."""
    return torch.gather(tokens_BNX, 1, index_BK.unsqueeze(-1).expand(-1, -1, tokens_BNX.shape[-1]))


def join_clips(tokens_BND: Tensor, count: int) -> Tensor:
    """Tokens of `count` neighbouring clips as one sequence: ``(B, N, D) -> (B / count, count * N, D)``."""
    return tokens_BND.unflatten(0, (-1, count)).flatten(1, 2)
