"""Factors of the scenes of rendered videos, and how well a ridge regression reads them off features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.clips import ClipSampling, spread_clips
from vjepa.data.manifest import Video
from vjepa.data.synthetic.settings import SHAPES
from vjepa.evaluation.probes.linear import ridge_regression

SIGNAL = ("position", "velocity", "identity", "count")
NUISANCE = ("colour", "background", "noise")

Factors = Mapping[str, NDArray[np.float64]]


def read_factor_targets(videos: Sequence[Video], sampling: ClipSampling) -> dict[str, Tensor]:
    """Read factors of rendered videos at the last frame of their clip: ``{name: float64 (V, Q)}``.

    ``position``    Mean over objects of the cosine and sine of 2 pi x and 2 pi y; opposite edges are joined.
    ``velocity``    Mean over objects of the velocity on the screen, in frame sides per frame.
    ``identity``    Share of the objects that have each of the shapes.
    ``count``       Number of objects.
    ``colour``      Mean RGB of the objects.
    ``background``  Lowest Fourier modes of the background's texture.
    ``noise``       Lowest Fourier modes of the pixel noise.

    Args:
        videos: Rows of a manifest of `vjepa.data.synthetic.write_videos`; the factors lie beside each video.
        sampling: Clip sampling with one clip a video, placed as by `vjepa.data.clips.spread_clips`.

    Raises:
        ValueError: A video has no factors beside it, or outdated ones.
    """
    rows = []
    for video in videos:
        factors = _read(video)
        times = np.arange(len(factors["positions"]), dtype=np.float64)
        rows.append(_targets(factors, int(spread_clips(times, sampling)[0, -1])))
    return _stacked(rows)


def read_factors_at(videos: Sequence[Video], frames: Sequence[int]) -> dict[str, Tensor]:
    """Read the factors of `read_factor_targets` at the given frame of each video, counted from 0."""
    return _stacked([_targets(_read(video), frame) for video, frame in zip(videos, frames, strict=True)])


def _stacked(rows: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in (*SIGNAL, *NUISANCE)}


def _read(video: Video) -> dict[str, NDArray[np.float64]]:
    path = Path(video.path).with_suffix(".npz")
    if not path.exists():
        raise ValueError(
            f"{video.path} has no {path.name} beside it: factors are known of rendered videos alone"
        )
    with np.load(path) as file:
        factors = dict(file)
    if "background" not in factors:
        raise ValueError(
            f"{path} was written without the factor 'background': delete {path.parents[1]} and render it "
            "again"
        )
    return factors


def _targets(factors: Factors, frame: int) -> dict[str, NDArray[np.float64]]:
    angle_n2 = 2 * np.pi * factors["positions"][frame]
    shape_n = factors["shapes"][frame]
    return {
        "position": np.concatenate([np.cos(angle_n2).mean(axis=0), np.sin(angle_n2).mean(axis=0)]),
        "velocity": factors["velocities"][frame].mean(axis=0),
        "identity": np.bincount(shape_n, minlength=len(SHAPES)) / len(shape_n),
        "count": factors["count"][frame][None].astype(np.float64),
        "colour": factors["colours"][frame].mean(axis=0),
        "background": factors["background"][frame],
        "noise": factors["noise"][frame],
    }


def factor_probe(
    train_VD: Tensor, train_factors: Mapping[str, Tensor], test_VD: Tensor, test_factors: Mapping[str, Tensor]
) -> dict[str, float | None]:
    """Fit a ridge regression to each factor, and return its R2 on the test split, averaged over its numbers.

    Args:
        train_VD: Features of the training videos.
        train_factors: Factors of the training videos, ``{name: (V, Q)}``.
        test_VD: Features of the test videos.
        test_factors: Factors of the test videos.

    Returns:
        R2 by factor; None for a factor that does not vary in the training split, such as the colour of white
        objects.
    """
    varying = {name: target_VQ.std(dim=0) > 1e-9 for name, target_VQ in train_factors.items()}
    wanted = [
        torch.cat([factors[name][:, varying[name]] for name in varying], dim=1)
        for factors in (train_factors, test_factors)
    ]
    r2_Q = ridge_regression((train_VD, wanted[0]), (test_VD, wanted[1]))
    parts = r2_Q.split([int(varying_Q.sum()) for varying_Q in varying.values()])
    return {
        name: part.mean().item() if len(part) else None for name, part in zip(varying, parts, strict=True)
    }
