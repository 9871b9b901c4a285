"""Resizing, cropping and flipping of uint8 clips, the same for all frames of a clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

Size = int | tuple[int, int]


def train_transform(
    size: Size,
    scale: tuple[float, float] = (0.3, 1.0),
    ratio: tuple[float, float] = (0.75, 1.35),
    flip: bool = True,
) -> nn.Module:
    """Build random crop, resize and flip: uint8 ``(T, C, H, W)`` to ``(T, C, height, width)``.

    The same random draw, from torch's global generator, is used for all frames. Defaults are those of
    V-JEPA's published configurations (``configs/pretrain/*.yaml`` of facebookresearch/jepa); its code has a
    largest ratio of 4/3 by default. With ``scale=(1, 1), ratio=(1, 1)`` nothing is cropped by chance: the
    largest central region with the aspect ratio of `size` is taken, as `clip_transform` does for a whole
    frame.

    Args:
        size: Side length in pixels, or ``(height, width)``.
        scale: Smallest and largest area of a crop as a share of the frame's, in (0, 1].
        ratio: Smallest and largest aspect ratio of a crop, width divided by height.
        flip: Whether to mirror left and right with probability 0.5. Turn it off if classes or actions depend
            on direction ("pushing from left to right").

    Raises:
        ValueError: `size`, `scale` or `ratio` is out of range.
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale is {scale}: give two shares of the image, 0 < smallest <= largest <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"ratio is {ratio}: give two of width by height, 0 < smallest <= largest")
    if (*scale, *ratio) == (1, 1, 1, 1):
        crop: nn.Module = CentreCrop(_pair(size), margin=1)
    else:
        crop = v2.RandomResizedCrop(_pair(size), scale=scale, ratio=ratio, antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip()]) if flip else crop


def eval_transform(size: Size) -> CentreCrop:
    """Build a resize and centre crop: uint8 ``(T, C, H, W)`` to ``(T, C, height, width)``.

    Frames are resized to 256/224 of `size` before the crop. The margin is that of ImageNet, Kinetics and
    V-JEPA's evaluations: with a square `size`, the frame's short side is resized to ``int(size * 256 / 224)``
    pixels. Deterministic.

    Args:
        size: Side length in pixels, or ``(height, width)``.
    """
    return CentreCrop(_pair(size))


def clip_transform(size: Size, whole_frame: bool) -> CentreCrop:
    """Build the resize and crop for inference: uint8 ``(T, C, H, W)`` to ``(T, C, height, width)``.

    Deterministic.

    Args:
        size: Side length in pixels, or ``(height, width)``.
        whole_frame: Whether to use the largest central region with the right aspect ratio, without a margin,
            for a model that was trained without crops; else `eval_transform` is used.
    """
    return CentreCrop(_pair(size), margin=1) if whole_frame else eval_transform(size)


class CentreCrop(nn.Module):
    """Resizes the frames of a video and crops their centre.

    Args:
        size: Height and width of the crop in pixels.
        margin: Factor by which the resized frame is larger than the crop, see `eval_transform`; 1 cuts no
            margin away.
    """

    def __init__(self, size: tuple[int, int], margin: float = 256 / 224) -> None:
        super().__init__()
        self.size = size
        self.margin = margin
        self.covered = (int(size[0] * margin), int(size[1] * margin))

    def extra_repr(self) -> str:
        """Return the settings, which are part of the key of cached features."""
        return f"size={self.size}" + (f", margin={self.margin}" if self.margin == 1 else "")

    def forward(self, video_TCHW: Tensor) -> Tensor:
        """Resize and crop a clip: uint8 ``(T, C, H, W)`` to ``(T, C, height, width)``."""
        resized = resize_to_cover(video_TCHW, *self.covered)
        return F.center_crop(resized, list(self.size))


def resize_to_cover(video_TCHW: Tensor, height: int, width: int) -> Tensor:
    """Resize frames to the smallest size that covers ``height x width``, keeping their aspect ratio."""
    H, W = video_TCHW.shape[-2:]
    # Integer arithmetic as in torchvision: the longer side is rounded down.
    if height * W >= width * H:
        size = [height, max(width, height * W // H)]
    else:
        size = [max(height, width * H // W), width]
    return F.resize(video_TCHW, size, antialias=True)


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: give pixels of a side, or (height, width), at least 1")
    return height, width


class SpatialViews(nn.Module):
    """Takes evenly spaced crops along a frame's longer side.

    Clips are uint8, ``(T, C, H, W)`` before and ``(R, T, C, height, width)`` after. The frame is first
    resized to the smallest size that covers a crop (the test protocol of VideoMAE and V-JEPA). Deterministic.

    Args:
        size: Height and width of a crop in pixels.
        crops: Number of crops: 1 takes the middle; 3 takes start, middle and end.
    """

    def __init__(self, size: tuple[int, int], crops: int = 1) -> None:
        super().__init__()
        if crops not in (1, 3):
            raise ValueError(f"crops is {crops}: give 1 for the middle, or 3 for start, middle and end")
        self.size = size
        self.crops = crops

    def extra_repr(self) -> str:
        """Return the settings, which are part of the key of cached features."""
        return f"size={self.size}, crops={self.crops}"

    def forward(self, video_TCHW: Tensor) -> Tensor:
        """Crop a clip: uint8 ``(T, C, H, W)`` to ``(R, T, C, height, width)``."""
        height, width = self.size
        resized = resize_to_cover(video_TCHW, height, width)
        down, right = resized.shape[-2] - height, resized.shape[-1] - width
        places = (0.5,) if self.crops == 1 else (0.0, 0.5, 1.0)
        views = []
        for place in places:
            top, left = round(place * down), round(place * right)
            views.append(resized[..., top : top + height, left : left + width])
        return torch.stack(views)
