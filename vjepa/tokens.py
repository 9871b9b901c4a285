"""The order of tokens and how videos become them, and the shape letters: defined here, once.

A tensor's name ends in its axes, ``tokens_BND``. A letter means one axis in the whole library::

    A  numbers of an action                    N  tokens of a sequence
    B  batch                                   P  pixel values of a tubelet: (C, frames, rows, columns)
    C  channels                                Q  numbers of a state, or of another target of regression
    D  embedding dimension of the encoder      R  clips, or views, of one video
    E  embedding dimension of the predictor    S  tokens of one time step, or of one frame
    F  future steps                            T  frames
    G  classification heads trained at once    V  videos, or windows, of an evaluation
    H  height in pixels                        W  width in pixels
    I  intervals between frames                X  classes
    J  random directions                       Y  embedding dimension of a prediction: all levels together
    K  context tokens                          Z  numbers of a noise vector
    L  levels of the encoder                   b  draws of a bootstrap
    M  target tokens                           c  context lengths

    d  embedding dimension of one attention head       p  pairs of videos
    e  environments side by side                       q  learnt queries
    f  frequencies                                     s  samples: several futures, or candidate plans
    k  attention heads                                 t h w  token grid: time, height, width
    m  metrics, or rows of a table                     u  units that a bootstrap draws
    n  objects of a scene, blocks of a mask            v  views of one clip
                                                       digits  axes of that length

A token's place in the sequence is ``n = (i_t * h + i_h) * w + i_w``: time is slowest.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from vjepa.grid import Grid, Tubelet


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


def gather_last_seen(tokens_BKX: Tensor, context_BK: Tensor, target_BM: Tensor, grid: Grid) -> Tensor:
    """Pick, for each target, the latest context token at the same place of an earlier time step.

    Args:
        tokens_BKX: Context tokens, ``(B, K, X)``.
        context_BK: Int64 positions of the context tokens on `grid`, in any order.
        target_BM: Int64 positions of the targets on `grid`.
        grid: Token grid that both index into.

    Returns:
        Tokens ``(B, M, X)``; zeros for a target whose place is not in the context at any earlier time step.
    """
    clips, context = context_BK.shape
    number_BK = torch.arange(1, context + 1, device=context_BK.device).expand(clips, -1)
    number_BN = number_BK.new_zeros(clips, grid.size).scatter(1, context_BK, number_BK)  # 0: not in context
    last_BS = number_BK.new_zeros(clips, grid.h * grid.w)
    last_seen = []
    for present_BS in number_BN.unflatten(1, (grid.t, -1)).unbind(1):
        last_seen.append(last_BS)
        last_BS = torch.where(present_BS > 0, present_BS, last_BS)
    last_BM = torch.cat(last_seen, dim=1).gather(1, target_BM)
    return gather_tokens(F.pad(tokens_BKX, (0, 0, 1, 0)), last_BM)


def join_clips(tokens_BND: Tensor, count: int) -> Tensor:
    """Tokens of `count` neighbouring clips as one sequence: ``(B, N, D) -> (B / count, count * N, D)``."""
    return tokens_BND.unflatten(0, (-1, count)).flatten(1, 2)
