"""Augmentation of training clips in uint8; all frames of a clip share one random draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

from vjepa.data.randaugment import ClipRandAugment
from vjepa.data.transforms import Size, train_transform


def augment_transform(
    size: Size,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (0.75, 1.3333),
    flip: bool = False,
    randaugment: tuple[int, int] | None = None,
    erase: float = 0.0,
) -> nn.Module:
    """Build a classifier's crop, flip, RandAugment and erasing.

    The transform turns uint8 ``(T, C, H, W)`` into ``(T, C, height, width)`` and draws from torch's global
    generator. VideoMAE and V-JEPA's probes use timm's "rand-m7-n4-mstd0.5-inc1" and erase in a quarter of the
    clips, to which ``randaugment=(4, 7), erase=0.25`` comes near. They change whole frames before the crop;
    and they fill the box with normal noise that is drawn for each frame anew, after pixels were normalised,
    where it is one patch of uniform bytes here, the same in all frames.

    Args:
        size: Side length in pixels, or ``(height, width)``.
        scale, ratio, flip: Range of a crop's area and aspect ratio, and mirroring; see `train_transform`.
        randaugment: Number of operations that are drawn per clip, each applied with probability one half, and
            their mean strength from 0 to 10; None turns RandAugment off.
        erase: Share of the clips, in [0, 1], in which a box is filled with noise.

    Raises:
        ValueError: `randaugment` or `erase` is out of range.
    """
    parts = [train_transform(size, scale, ratio, flip)]
    if randaugment is not None:
        parts.append(ClipRandAugment(*randaugment))
    if not 0 <= erase <= 1:
        raise ValueError(f"erase is {erase}: give a share of the clips in [0, 1]")
    if erase:
        parts.append(NoiseErasing(p=erase))
    return v2.Compose(parts)


def colour_jitter(
    *, brightness: float, contrast: float, saturation: float, hue: float, p: float
) -> nn.Module:
    """Build torchvision's `ColorJitter`: uint8 ``(T, C, H, W)`` of one or three channels to the same shape.

    The four changes are made in random order, with the same factors for all frames of a clip. The transform
    draws from torch's global generator.

    Args:
        brightness, contrast, saturation: Largest relative change x, 0 or more; the factor is drawn between
            ``max(0, 1 - x)`` and ``1 + x``.
        hue: Largest rotation of the hue, in [0, 0.5], as a share of the colour circle.
        p: Share of the clips that are changed, in [0, 1].
    """
    return v2.RandomApply([v2.ColorJitter(brightness, contrast, saturation, hue)], p)


def greyscale(p: float) -> nn.Module:
    """Build torchvision's `RandomGrayscale`: uint8 ``(T, C, H, W)`` to the same shape, channels equal.

    Args:
        p: Share of the clips that lose their colours, in [0, 1], drawn from torch's global generator.
    """
    return v2.RandomGrayscale(p)


def gaussian_blur(*, kernel_size: int, sigma: tuple[float, float], p: float) -> nn.Module:
    """Build torchvision's `GaussianBlur` of every frame: uint8 ``(T, C, H, W)`` to the same shape.

    All frames of a clip are blurred equally; the transform draws from torch's global generator.

    Args:
        kernel_size: Side length of the kernel in pixels, odd; half of it must be less than a frame's sides.
        sigma: Smallest and largest standard deviation of the kernel in pixels, above 0.
        p: Share of the clips that are blurred, in [0, 1].
    """
    return v2.RandomApply([v2.GaussianBlur(kernel_size, sigma)], p)


class NoiseErasing(v2.RandomErasing):
    """torchvision's `RandomErasing` with uint8 noise; the original draws float noise."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the box and its noise, the same for all frames."""
        params = super().make_params(flat_inputs)
        value = params["v"]
        if value is not None:
            params["v"] = torch.randint(
                0, 256, (flat_inputs[0].shape[-3], params["h"], params["w"]), dtype=torch.uint8
            )
        return params
