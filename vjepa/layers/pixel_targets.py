"""Pixel targets of a masked auto-encoder, and the way back to pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from vjepa.choices import PixelTargets
from vjepa.layers.pixels import unit_pixels

_EPSILON = 1e-6


def pixel_targets(tubelets_BMP: Tensor, kind: PixelTargets, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Compute the targets of the reconstruction loss.

    Args:
        tubelets_BMP: Pixels of the target tubelets, uint8 or floats in [0, 1].
        kind: Kind of targets.
            ``tubelet``: Pixels in [0, 1], each tubelet and channel shifted and scaled to mean 0 and standard
            deviation 1 by ``(x - mean) / (sqrt(var) + 1e-6)``, with the unbiased variance (VideoMAE, arXiv
            2203.12602, as in its code). ``patch``: Pixels normalised by the channels' mean and standard
            deviation first, then over all channels together by ``(x - mean) / sqrt(var + 1e-6)`` (MAE, arXiv
            2111.06377). ``raw``: Pixels in [0, 1].
        mean_C: Mean of each pixel channel, in [0, 1].
        std_C: Standard deviation of each pixel channel, in the same unit.

    Returns:
        Targets, float32 ``(B, M, P)``.
    """
    pixels_BMP = unit_pixels(tubelets_BMP)
    if kind == "raw":
        return pixels_BMP
    if kind == "patch":
        pixels_BMP = _by_channel(pixels_BMP, mean_C, std_C, forth=True)
        variance, mean = torch.var_mean(pixels_BMP, dim=-1, keepdim=True)
        return (pixels_BMP - mean) / (variance + _EPSILON).sqrt()
    pixels_by_channel = pixels_BMP.unflatten(-1, (len(mean_C), -1))
    variance, mean = torch.var_mean(pixels_by_channel, dim=-1, keepdim=True)
    return ((pixels_by_channel - mean) / (variance.sqrt() + _EPSILON)).flatten(-2)


def restore_pixels(
    predicted_BMP: Tensor, tubelets_BMP: Tensor, kind: PixelTargets, mean_C: Tensor, std_C: Tensor
) -> Tensor:
    """Turn predicted targets into pixels in [0, 1], float32 ``(B, M, P)``, to look at.

    Normalised targets do not contain the mean and deviation of a tubelet, so those of the true tubelets are
    used, as in the published images of MAE and VideoMAE.

    Args:
        predicted_BMP: Predictions of the targets.
        tubelets_BMP: True pixels of these tubelets, uint8 or floats in [0, 1].
        kind: Kind of targets (see `pixel_targets`).
        mean_C: Mean of each pixel channel, in [0, 1].
        std_C: Standard deviation of each pixel channel, in the same unit.
    """
    true_BMP, predicted_BMP = unit_pixels(tubelets_BMP), predicted_BMP.float()
    if kind == "raw":
        return predicted_BMP.clamp(0, 1)
    if kind == "patch":
        true_BMP = _by_channel(true_BMP, mean_C, std_C, forth=True)
        variance, mean = torch.var_mean(true_BMP, dim=-1, keepdim=True)
        pixels_BMP = predicted_BMP * (variance + _EPSILON).sqrt() + mean
        return _by_channel(pixels_BMP, mean_C, std_C, forth=False).clamp(0, 1)
    true, predicted = (x.unflatten(-1, (len(mean_C), -1)) for x in (true_BMP, predicted_BMP))
    variance, mean = torch.var_mean(true, dim=-1, keepdim=True)
    return (predicted * (variance.sqrt() + _EPSILON) + mean).flatten(-2).clamp(0, 1)


def _by_channel(pixels_BMP: Tensor, mean_C: Tensor, std_C: Tensor, *, forth: bool) -> Tensor:
    """Normalise pixels by the channels' mean and standard deviation, or undo it if `forth` is false."""
    pixels = pixels_BMP.unflatten(-1, (len(mean_C), -1))
    mean_C1, std_C1 = mean_C[:, None], std_C[:, None]
    pixels = (pixels - mean_C1) / std_C1 if forth else pixels * std_C1 + mean_C1
    return pixels.flatten(-2)
