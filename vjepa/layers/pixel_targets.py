"""What a masked auto-encoder must predict of a tubelet, and the way back to pixels.

Shape letters as in `vjepa.tokens`; S counts the pixels of a tubelet in one channel, so that P = C * S.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vjepa.choices import PixelTargets
from vjepa.layers.pixels import unit_pixels

_EPSILON = 1e-6


def pixel_targets(tubelets_BMP: Tensor, kind: PixelTargets, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Targets of the reconstruction loss: uint8, or floats in [0, 1], ``(B, M, P)`` to float32 of the same shape.

    `tubelet`: pixels in [0, 1], each tubelet and channel shifted and scaled to mean 0 and deviation 1, with
    ``(x - mean) / (sqrt(var) + 1e-6)`` and the unbiased variance (VideoMAE, arXiv 2203.12602, as published in
    code). `patch`: pixels normalised by the channels' mean and std first, then over all channels together, with
    ``(x - mean) / sqrt(var + 1e-6)`` (MAE, arXiv 2111.06377). `raw`: pixels in [0, 1].
    """
    pixels_BMP = unit_pixels(tubelets_BMP)
    if kind == "raw":
        return pixels_BMP
    if kind == "patch":
        pixels_BMP = _by_channel(pixels_BMP, mean_C, std_C, forth=True)
        variance, mean = torch.var_mean(pixels_BMP, dim=-1, keepdim=True)
        return (pixels_BMP - mean) / (variance + _EPSILON).sqrt()
    pixels_BMCS = pixels_BMP.unflatten(-1, (len(mean_C), -1))
    variance, mean = torch.var_mean(pixels_BMCS, dim=-1, keepdim=True)
    return ((pixels_BMCS - mean) / (variance.sqrt() + _EPSILON)).flatten(-2)


def restore_pixels(
    predicted_BMP: Tensor, tubelets_BMP: Tensor, kind: PixelTargets, mean_C: Tensor, std_C: Tensor
) -> Tensor:
    """Predicted targets as pixels in [0, 1], to look at.

    Mean and deviation of a tubelet are not predicted where targets are normalised: they are those of the true
    `tubelets_BMP` (uint8, or floats in [0, 1]), as in the published images of MAE and VideoMAE.
    """
    true_BMP, predicted_BMP = unit_pixels(tubelets_BMP), predicted_BMP.float()
    if kind == "raw":
        return predicted_BMP.clamp(0, 1)
    if kind == "patch":
        true_BMP = _by_channel(true_BMP, mean_C, std_C, forth=True)
        variance, mean = torch.var_mean(true_BMP, dim=-1, keepdim=True)
        pixels_BMP = predicted_BMP * (variance + _EPSILON).sqrt() + mean
        return _by_channel(pixels_BMP, mean_C, std_C, forth=False).clamp(0, 1)
    true_BMCS, predicted_BMCS = (x.unflatten(-1, (len(mean_C), -1)) for x in (true_BMP, predicted_BMP))
    variance, mean = torch.var_mean(true_BMCS, dim=-1, keepdim=True)
    return (predicted_BMCS * (variance.sqrt() + _EPSILON) + mean).flatten(-2).clamp(0, 1)


def _by_channel(pixels_BMP: Tensor, mean_C: Tensor, std_C: Tensor, *, forth: bool) -> Tensor:
    """Normalise by the channels' mean and deviation, or undo it."""
    pixels_BMCS = pixels_BMP.unflatten(-1, (len(mean_C), -1))
    mean_C1, std_C1 = mean_C[:, None], std_C[:, None]
    pixels_BMCS = (pixels_BMCS - mean_C1) / std_C1 if forth else pixels_BMCS * std_C1 + mean_C1
    return pixels_BMCS.flatten(-2)
