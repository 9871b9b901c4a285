"""Conversion of videos in memory (tensors, arrays, PIL images) to uint8 clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vjepa.data.images import bytes_of_image
from vjepa.layers.pixels import check_floats, check_layout

Pixels = Tensor | np.ndarray | Image.Image
"""One frame, one clip or several of them."""

_PIL_MODES = {1: "L", 3: "RGB"}


def clips_in_memory(videos: Pixels | Sequence[Any], channels: int) -> list[Tensor]:
    """Convert videos in memory to a list of uint8 clips ``(T, C, H, W)``, with all frames at their own size.

    Args:
        videos: A tensor or a numpy array of a frame ``(C, H, W)``, a clip ``(T, C, H, W)`` or a batch
            ``(B, T, C, H, W)``, uint8 in [0, 255] or floats in [0, 1] (rounded to uint8); a PIL image; a list
            of frames, which is one clip; or a list of clips, which may differ in length and size.
        channels: Number of channels of a frame.

    Raises:
        ValueError: The input has none of these forms; the message says what to give.
    """
    if not isinstance(videos, list | tuple):
        pixels = bytes_of(videos, channels)
        return list(pixels) if pixels.ndim == 5 else [pixels.reshape(-1, *pixels.shape[-3:])]
    parts = [_part(part, channels) for part in videos]
    dimensions = {part.ndim for part in parts}
    if dimensions == {4}:
        return parts
    if dimensions != {3}:
        found = "frames beside clips" if parts else "nothing"
        raise ValueError(
            f"the list holds {found}: give frames (C, H, W), which are one clip, or clips (T, C, H, W)"
        )
    sizes = sorted({tuple(part.shape[-2:]) for part in parts})
    if len(sizes) > 1:
        raise ValueError(f"frames of one clip have the sizes {sizes}: make them equal")
    return [torch.stack(parts)]


def bytes_of(pixels: Any, channels: int) -> Tensor:
    """Convert a tensor, array or PIL image to uint8 ``(..., C, H, W)`` of up to five dimensions.

    Args:
        pixels: Pixels in uint8, or as floats in [0, 1].
        channels: Number of channels of a frame.

    Raises:
        ValueError: Type, layout or range of the pixels is wrong.
    """
    if isinstance(pixels, Image.Image):
        return _bytes_of_image(pixels, channels)
    if isinstance(pixels, np.ndarray):
        pixels = tensor_of(pixels)
    if not isinstance(pixels, Tensor):
        raise ValueError(
            f"pixels are of type {type(pixels).__name__}: give a tensor, a numpy array, PIL images, or a path"
        )
    check_layout(pixels, channels)
    if pixels.dtype == torch.uint8:
        return pixels
    check_floats(pixels)
    return (255 * pixels).round().to(torch.uint8)


def _part(part: Any, channels: int) -> Tensor:
    """Convert an element of a list, a frame or a clip."""
    if isinstance(part, list | tuple):
        clips = clips_in_memory(part, channels)
        if len(clips) == 1:
            return clips[0]
        raise ValueError(f"a list of {len(clips)} clips stands in a list: give one list of all clips")
    pixels = bytes_of(part, channels)
    if pixels.ndim == 5:
        raise ValueError(
            f"a batch of shape {tuple(pixels.shape)} stands in a list: join batches by torch.cat"
        )
    return pixels


def _bytes_of_image(image: Image.Image, channels: int) -> Tensor:
    mode = _PIL_MODES.get(channels)
    if mode is None:
        raise ValueError(f"a PIL image cannot have the model's {channels} channels: give an array (C, H, W)")
    pixels = torch.from_numpy(np.array(bytes_of_image(image, mode)))  # a copy, which may be written to
    return pixels.reshape(*pixels.shape[:2], channels).permute(2, 0, 1)


def tensor_of(array: np.ndarray) -> Tensor:
    """Copy an array into a tensor; a camera may overwrite its buffer while the frames are still in use."""
    try:
        return torch.from_numpy(np.array(array, order="C"))
    except TypeError as error:
        raise ValueError(
            f"the array holds {array.dtype}: give uint8 in [0, 255], or floats in [0, 1]"
        ) from error
