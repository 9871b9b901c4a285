"""Normalisation and checks of pixels: uint8, or floats in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD

_FORMS = {3: "(C, H, W)", 4: "(T, C, H, W)", 5: "(B, T, C, H, W)"}


class PixelNormalizer(nn.Module):
    """Normalisation of pixels to mean 0 and standard deviation 1 in each channel.

    It turns ``(B, T, C, H, W)`` into float32 ``(B, C, T, H, W)``. Every input of a model passes through here,
    so this is where pixels are checked: uint8 in [0, 255], or floats in [0, 1], which stand for the same
    images. Bytes are moved to the device and become floats there, which needs a quarter of the transfer. For
    bytes, only shape and type are checked, so nothing waits for the device. For floats, the values are
    checked too.

    Args:
        mean: Mean of each pixel channel, in [0, 1].
        std: Standard deviation of each pixel channel, in the same unit.

    Raises:
        ValueError: If `mean` and `std` have different lengths.
    """

    mean: Tensor
    std: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(
                f"{len(mean)} means and {len(std)} deviations: give one of each for every channel"
            )
        # (x / 255 - mean) / std, as one multiplication and one addition.
        std_C11 = torch.tensor(std).view(-1, 1, 1)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.register_buffer("scale", 1 / (255 * std_C11), persistent=False)
        self.register_buffer("shift", -torch.tensor(mean).view(-1, 1, 1) / std_C11, persistent=False)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """Normalise pixels: ``(B, T, C, H, W) -> (B, C, T, H, W)``.

        Raises:
            ValueError: If the video is not ``(B, T, C, H, W)`` with the model's channels, is empty, or is
                neither uint8 nor floats in [0, 1] (NaN is refused).
        """
        check_layout(video_BTCHW, len(self.mean), dimensions=(5,))
        if video_BTCHW.dtype == torch.uint8:
            return torch.addcmul(self.shift, video_BTCHW, self.scale).transpose(1, 2)
        check_floats(video_BTCHW)
        pixels_BTCHW = video_BTCHW.to(self.scale.dtype)
        return torch.addcmul(self.shift, pixels_BTCHW, 255 * self.scale).transpose(1, 2)


def unit_pixels(pixels: Tensor) -> Tensor:
    """Convert uint8 in [0, 255], or floats in [0, 1], to float32 in [0, 1]."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()


def check_layout(pixels: Tensor, channels: int, dimensions: Sequence[int] = (3, 4, 5)) -> None:
    """Check that pixels have a known layout, with the channels third from the end, and are not empty.

    Args:
        pixels: A frame ``(C, H, W)``, a clip ``(T, C, H, W)`` or several clips ``(B, T, C, H, W)``.
        channels: Number of the model's channels.
        dimensions: Numbers of dimensions that are accepted.

    Raises:
        ValueError: If they have not; the message names the remedy.
    """
    shape = tuple(pixels.shape)
    if len(shape) in dimensions and shape[-3] == channels and 0 not in shape:
        return
    forms = " or ".join(_FORMS[number] for number in dimensions)
    raise ValueError(
        f"pixels have shape {shape}: give {forms} with C = {channels}; {_remedy(shape, channels)}"
    )


def _remedy(shape: tuple[int, ...], channels: int) -> str:
    if 0 in shape:
        return "there is no pixel in these, so leave empty batches out"
    if len(shape) in (3, 4) and shape[-3] == channels:
        missing = "".join("None, " for _ in range(5 - len(shape)))
        return f"one clip is a batch of one by video[{missing}...]"
    if len(shape) in _FORMS and shape[-1] == channels:
        order = (*range(len(shape) - 3), len(shape) - 1, len(shape) - 3, len(shape) - 2)
        return f"channels that come last are moved by frames.permute{order}"
    if len(shape) > 3 and shape[-4] == channels:
        return "these look like (C, T, H, W): exchange the two by frames.transpose(-4, -3)"
    return (
        "embeddings are no input, and for frames of other channels "
        "vjepa.from_pretrained(..., channels=number) adapts a model"
    )


def check_floats(pixels: Tensor) -> None:
    """Check that pixels are floats in [0, 1]. This waits for the device that they are on.

    Raises:
        ValueError: If they are not; the message names the remedy.
    """
    if not pixels.is_floating_point():
        name = str(pixels.dtype).removeprefix("torch.")
        raise ValueError(
            f"pixels are {name}: give uint8 in [0, 255], by frames.to(torch.uint8) if these have that range, "
            "or floats in [0, 1]"
        )
    if pixels.is_meta:  # there are no values, only shapes
        return
    low, high = torch.stack(torch.aminmax(pixels.detach())).tolist()
    if low >= 0 and high <= 1:
        return
    if not math.isfinite(low + high):
        raise ValueError("float pixels have NaN or infinity among them: give values in [0, 1], or uint8")
    raise ValueError(
        f"float pixels go from {low:.3g} to {high:.3g}: give values in [0, 1], or uint8; "
        + _range_remedy(low, high)
    )


def _range_remedy(low: float, high: float) -> str:
    if low > -0.25 and high < 1.25:
        return "what a resize overshot is cut off by frames.clamp(0, 1)"
    if low >= 0 and high <= 255:
        return "frames / 255 brings values from [0, 255] there"
    return "the model normalises pixels itself, so give frames as they were before it"
