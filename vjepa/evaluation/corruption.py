"""Robustness of embeddings: is a corrupted clip still most similar to itself among many?

The corruptions are four of those of ImageNet-C (arXiv 1903.12261), drawn once for a whole clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

from vjepa.evaluation.statistics import Metric, interval

CORRUPTIONS: Mapping[str, tuple[float, ...]] = {
    "noise": (10, 25, 60),  # standard deviation in grey levels of 255
    "blur": (1 / 64, 2 / 64, 4 / 64),  # standard deviation in sides of the frame
    "darkness": (0.6, 0.35, 0.15),  # share of the brightness that is left
    "jpeg": (40, 15, 5),  # quality, of 100
}
"""Strengths of each corruption, from slight to severe."""

_DRAWS = 1000

Encode = Callable[[Tensor], Tensor]
"""Function from uint8 clips ``(B, T, C, H, W)`` to one feature vector each, ``(B, D)``."""


def corrupt(video_TCHW: Tensor, kind: str, strength: float, seed: int) -> Tensor:
    """Corrupt a clip.

    Args:
        video_TCHW: Frames, uint8.
        kind: One of `CORRUPTIONS`; ``jpeg`` needs 1 or 3 channels.
        strength: Strength in the unit of `CORRUPTIONS`.
        seed: Random seed of the noise.
    """
    if kind == "noise":
        draws = torch.Generator().manual_seed(seed)
        noise_TCHW = strength * torch.randn(video_TCHW.shape, generator=draws)
        return (video_TCHW + noise_TCHW).round().clamp(0, 255).to(torch.uint8)
    if kind == "blur":
        sigma = strength * min(video_TCHW.shape[-2:])
        return gaussian_blur(video_TCHW, 2 * int(np.ceil(2 * sigma)) + 1, sigma)
    if kind == "darkness":
        return (video_TCHW * strength).round().to(torch.uint8)
    if kind == "jpeg":
        mode = ImageReadMode.GRAY if video_TCHW.shape[1] == 1 else ImageReadMode.RGB
        return torch.stack([decode_jpeg(encode_jpeg(frame, int(strength)), mode) for frame in video_TCHW])
    raise ValueError(f"kind is {kind!r}: give one of {', '.join(CORRUPTIONS)}")


def recognised(clean_VD: Tensor, corrupted_VD: Tensor) -> Tensor:
    """Return whether each corrupted clip is most similar to its clean form among all clips, ``(V,)``.

    Similar means a large cosine similarity, after the mean of the clean clips is subtracted from all
    features.
    """
    mean_D = clean_VD.mean(dim=0)
    clean_VD, corrupted_VD = (F.normalize(each.float() - mean_D, dim=-1) for each in (clean_VD, corrupted_VD))
    return (corrupted_VD @ clean_VD.T).argmax(dim=1) == torch.arange(len(clean_VD))


@torch.no_grad()
def recognise_corrupted(
    encoders: Mapping[str, Encode], video_VTCHW: Tensor, batch: int = 16
) -> dict[str, dict[float, dict[str, Metric]]]:
    """Measure in what share of the clips each encoder recognises a corrupted clip.

    Args:
        encoders: Encoders by name.
        video_VTCHW: Clips, uint8.
        batch: Number of clips that are encoded at once.

    Returns:
        Shares with 95 % intervals over clips: ``{corruption: {strength: {encoder: share}}}``. ``jpeg`` is
        left out of clips that have other than 1 or 3 channels.
    """
    draws_bV = np.random.default_rng(0).integers(len(video_VTCHW), size=(_DRAWS, len(video_VTCHW)))

    def features(encode: Encode, clips: Tensor) -> Tensor:
        return torch.cat([encode(part).float().cpu() for part in clips.split(batch)])

    clean = {name: features(encode, video_VTCHW) for name, encode in encoders.items()}
    report: dict[str, dict[float, dict[str, Metric]]] = {}
    for kind, strengths in CORRUPTIONS.items():
        if kind == "jpeg" and video_VTCHW.shape[2] not in (1, 3):
            continue
        report[kind] = {}
        for strength in strengths:
            worse = torch.stack([corrupt(clip, kind, strength, n) for n, clip in enumerate(video_VTCHW)])
            report[kind][strength] = {}
            for name, encode in encoders.items():
                right_V = recognised(clean[name], features(encode, worse)).numpy()
                report[kind][strength][name] = interval(right_V.mean(), right_V[draws_bV].mean(axis=1))
    return report
