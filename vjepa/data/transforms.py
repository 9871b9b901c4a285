"""From frames of any size to clips of one size, still uint8: crops and flips alike over a clip."""

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
    """Random crop, resize and flip: uint8 ``(T, C, H, W) -> (T, C, h, w)``, one draw for all frames.

    Defaults are those of V-JEPA (app/vjepa/transforms.py). It draws from torch's global generator.
    With ``scale=(1, 1), ratio=(1, 1), flip=False`` a square clip of the right size passes through.

    Args:
        size: pixels of a side, or (h, w).
        scale: smallest and largest share of the image that a crop takes.
        ratio: smallest and largest width by height of a crop.
        flip: mirror left and right half of the time. Leave it out where left and right differ
            in meaning ("pushing from left to right").
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale is {scale}: give two shares of the image, 0 < smallest <= largest <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"ratio is {ratio}: give two of width by height, 0 < smallest <= largest")
    crop = v2.RandomResizedCrop(_pair(size), scale=scale, ratio=ratio, antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip()]) if flip else crop


def eval_transform(size: Size) -> nn.Module:
    """Resize to 256/224 of `size`, cut out the middle: uint8 ``(T, C, H, W) -> (T, C, h, w)``.

    The margin is the customary one of ImageNet, Kinetics and V-JEPA's evaluations; a square
    `size` gives ``int(size * 256 / 224)`` for the short side. No chance in it.
    """
    return CentreCrop(_pair(size))


def clip_transform(size: Size, whole_frame: bool) -> nn.Module:
    """What frames go through where nothing is learnt: uint8 ``(T, C, H, W) -> (T, C, h, w)``, no chance in it.

    `eval_transform`; or with `whole_frame`, for a model that was trained without crops, all of the frame's middle that
    has the right shape, without a margin.
    """
    return train_transform(size, (1.0, 1.0), (1.0, 1.0), flip=False) if whole_frame else eval_transform(size)


class CentreCrop(nn.Module):
    """The middle of a video, at one size.

    Args:
        size: height and width in pixels.
        margin: that much of a larger image is cropped away on all sides: see `eval_transform`; 1 for none.
    """

    def __init__(self, size: tuple[int, int], margin: float = 256 / 224) -> None:
        super().__init__()
        self.size = size
        self.margin = margin
        self.covered = tuple(int(side * margin) for side in size)

    def extra_repr(self) -> str:
        """What tells one from another: features are cached by it."""
        return f"size={self.size}" + (f", margin={self.margin}" if self.margin == 1 else "")

    def forward(self, video_TCHW: Tensor) -> Tensor:
        """Uint8 ``(T, C, H, W) -> (T, C, h, w)``."""
        resized = resize_to_cover(video_TCHW, *self.covered)
        return F.center_crop(resized, list(self.size))


def resize_to_cover(video_TCHW: Tensor, height: int, width: int) -> Tensor:
    """Resize, keeping the shape of the image, until it just covers ``height x width``."""
    H, W = video_TCHW.shape[-2:]
    # Whole-number arithmetic as torchvision's: the longer side rounds down.
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
