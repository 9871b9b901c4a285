"""RandAugment of clips as video classifiers use it: timm's "rand-m7-n4-mstd0.5-inc1", on uint8 tensors.

The operations and their strengths are those of timm (`timm/data/auto_augment.py`), from which VideoMAE and
V-JEPA have theirs. torchvision's `RandAugment` differs: it applies every operation that it draws, with one
strength, and has neither an inversion nor as strong a posterisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from vjepa.choices import STRONGEST

_APPLIED = 0.5  # probability with which an operation that was drawn is applied
_SPREAD = 0.5  # standard deviation of the strength
_GREY = [128.0]  # of what lies outside the frame
_LINEAR = InterpolationMode.BILINEAR  # torchvision resamples tensors in no better way here


class ClipRandAugment(nn.Module):
    """Changes uint8 clips ``(T, C, H, W)`` by random operations, all frames alike.

    Each operation is drawn with replacement and applied with probability one half. All random numbers are of
    torch's global generator.

    Args:
        operations: Number of operations that are drawn for a clip, 1 or more.
        strength: Mean strength, from 0 to 10; it varies with a standard deviation of 0.5.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, operations: int, strength: float) -> None:
        super().__init__()
        if operations < 1 or not 0 <= strength <= STRONGEST:
            raise ValueError(
                f"randaugment is {(operations, strength)}: give a number of operations and a strength from 0 "
                f"to {STRONGEST}"
            )
        self.operations = operations
        self.strength = strength

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.operations}, {self.strength}"

    def forward(self, clip_TCHW: Tensor) -> Tensor:
        """Apply some operations to a clip."""
        for number in torch.randint(len(OPERATIONS), (self.operations,)).tolist():
            applied, sign = torch.rand(2).tolist()
            share = (self.strength + _SPREAD * torch.randn(()).item()) / STRONGEST
            if applied < _APPLIED:
                share = min(max(share, 0.0), 1.0)
                operation = list(OPERATIONS.values())[number]
                clip_TCHW = operation(clip_TCHW, share if sign < 0.5 else -share)
        return clip_TCHW


def _posterize(clip_TCHW: Tensor, share: float) -> Tensor:
    return F.posterize(clip_TCHW, 4 - int(4 * abs(share)))


def _solarize(clip_TCHW: Tensor, share: float) -> Tensor:
    threshold = 256 - int(256 * abs(share))
    return F.solarize(clip_TCHW, threshold) if threshold < 256 else clip_TCHW


def _solarize_add(clip_TCHW: Tensor, share: float) -> Tensor:
    """Brighten what is darker than medium grey."""
    brighter = (clip_TCHW.short() + int(110 * abs(share))).clamp_max(255).to(torch.uint8)
    return torch.where(clip_TCHW < 128, brighter, clip_TCHW)


def _rotate(clip_TCHW: Tensor, share: float) -> Tensor:
    return F.rotate(clip_TCHW, 30 * share, _LINEAR, fill=_GREY)


def _move(clip_TCHW: Tensor, shear: tuple[float, float], shift: tuple[float, float]) -> Tensor:
    degrees = [math.degrees(math.atan(each)) for each in shear]
    pixels = [round(each) for each in shift]
    return F.affine(clip_TCHW, 0, pixels, 1.0, degrees, _LINEAR, fill=_GREY, center=[0.0, 0.0])


OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "AutoContrast": lambda clip, _: F.autocontrast(clip),
    "Equalize": lambda clip, _: F.equalize(clip),
    "Invert": lambda clip, _: F.invert(clip),
    "Rotate": _rotate,
    "PosterizeIncreasing": _posterize,
    "SolarizeIncreasing": _solarize,
    "SolarizeAdd": _solarize_add,
    "ColorIncreasing": lambda clip, share: F.adjust_saturation(clip, 1 + 0.9 * share),
    "ContrastIncreasing": lambda clip, share: F.adjust_contrast(clip, 1 + 0.9 * share),
    "BrightnessIncreasing": lambda clip, share: F.adjust_brightness(clip, 1 + 0.9 * share),
    "SharpnessIncreasing": lambda clip, share: F.adjust_sharpness(clip, 1 + 0.9 * share),
    "ShearX": lambda clip, share: _move(clip, (0.3 * share, 0), (0, 0)),
    "ShearY": lambda clip, share: _move(clip, (0, 0.3 * share), (0, 0)),
    "TranslateXRel": lambda clip, share: _move(clip, (0, 0), (-0.45 * share * clip.shape[-1], 0)),
    "TranslateYRel": lambda clip, share: _move(clip, (0, 0), (0, -0.45 * share * clip.shape[-2])),
}
"""Operations by timm's name: functions of a clip and of the strength as a share of the strongest, in [-1, 1].

The sign is that of operations with two directions; others ignore it.
"""
