"""Frames of any number of channels as colours, for all plots, films and pages."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def as_rgb(frames: Tensor) -> Tensor:
    """Return frames ``(..., C, H, W)`` as red, green and blue, ``(..., 3, H, W)``.

    One channel is shown as grey, of more than three the first three, and of two the third as black.
    """
    if frames.shape[-3] == 1:
        return frames.expand(*frames.shape[:-3], 3, -1, -1)
    shown = frames[..., :3, :, :]
    return F.pad(shown, (0, 0, 0, 0, 0, 3 - shown.shape[-3]))
