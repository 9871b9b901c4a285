"""The crops of a clip that a classifier is asked about. Shape letters as in `vjepa.tokens`; S crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vjepa.data.transforms import resize_to_cover


class SpatialViews(nn.Module):
    """Crops along the longer side of a frame, as wide as it goes: uint8 ``(T, C, H, W) -> (S, T, C, h, w)``.

    The frame is resized until it just covers the crop (the test protocol of VideoMAE and V-JEPA). No chance in it.

    Args:
        size: (h, w) of a crop in pixels.
        crops: S, 1 for the middle, 3 for start, middle and end.
    """

    def __init__(self, size: tuple[int, int], crops: int = 1) -> None:
        super().__init__()
        if crops not in (1, 3):
            raise ValueError(f"crops is {crops}: give 1 for the middle, or 3 for start, middle and end")
        self.size = size
        self.crops = crops

    def extra_repr(self) -> str:
        """What tells one from another: features are cached by it."""
        return f"size={self.size}, crops={self.crops}"

    def forward(self, video_TCHW: Tensor) -> Tensor:
        """Uint8 ``(T, C, H, W) -> (S, T, C, h, w)``."""
        height, width = self.size
        resized = resize_to_cover(video_TCHW, height, width)
        down, right = resized.shape[-2] - height, resized.shape[-1] - width
        places = (0.5,) if self.crops == 1 else (0.0, 0.5, 1.0)
        views = []
        for place in places:
            top, left = round(place * down), round(place * right)
            views.append(resized[..., top : top + height, left : left + width])
        return torch.stack(views)
