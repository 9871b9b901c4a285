"""Factors of the scenes of rendered videos, and how well a ridge regression reads them off features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.clips import ClipSampling, spread_clips
from vjepa.data.manifest import Video
from vjepa.data.synthetic.settings import SHAPES
from vjepa.evaluation.probes.folds import random_folds
from vjepa.evaluation.probes.linear import ridge_predictions, ridge_regression

SIGNAL = ("position", "velocity", "identity", "count")
NUISANCE = ("colour", "background", "noise")
MOVING = ("position", "velocity")  # signal factors that change through a video

Factors = Mapping[str, NDArray[np.float64]]


def read_factor_targets(videos: Sequence[Video], sampling: ClipSampling, ahead: int = 0) -> dict[str, Tensor]:
    """Read factors of rendered videos at or after the last frame of their clip: ``{name: float64 (V, Q)}``.

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
        ahead: Number of frames from the clip's last frame to the one whose factors are read.

    Raises:
        ValueError: A video has no factors beside it, or outdated ones, or ends before the frame.
    """
    rows = []
    for video in videos:
        factors = _read(video)
        rows.append(_targets(factors, frame_ahead(len(factors["positions"]), sampling, ahead)))
    return _stacked(rows)


def frame_ahead(num_frames: int, sampling: ClipSampling, ahead: int) -> int:
    """Return the number of the frame that is `ahead` frames after the last one of a video's clip.

    Args:
        num_frames: Number of frames of the video.
        sampling: Clip sampling with one clip a video, placed as by `vjepa.data.clips.spread_clips`.
        ahead: Number of frames after the clip.

    Raises:
        ValueError: The video ends before.
    """
    last = int(spread_clips(np.arange(num_frames, dtype=np.float64), sampling)[0, -1])
    if last + ahead >= num_frames:
        raise ValueError(
            f"a frame {ahead} after the clip is asked for, and a video of {num_frames} frames has "
            f"{num_frames - 1 - last} after its clip: ask for one of these, or give longer videos"
        )
    return last + ahead


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
            f"{path} was written without the factor 'background', by an earlier version or another program: "
            "render the videos again, to another folder"
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


class FactorScore(NamedTuple):
    """How well a factor is read out of an encoder.

    Attributes:
        r2: R2 on the test split, averaged over the factor's numbers.
        block: Number of the block that the factor was read from, from 1.
    """

    r2: float
    block: int


def best_factor_scores(
    train_VLD: Tensor,
    train_factors: Mapping[str, Tensor],
    test_VLD: Tensor,
    test_factors: Mapping[str, Tensor],
) -> dict[str, FactorScore | None]:
    """Do the same as `factor_probe`, each factor read from the block that validates best.

    The blocks are compared on a held-out fifth of the training split; of equal ones, the last is taken.

    Args:
        train_VLD: Features of the training videos after each block, the last block's at the end.
        train_factors: Factors of the training videos, ``{name: (V, Q)}``.
        test_VLD: Features of the test videos after each block.
        test_factors: Factors of the test videos.

    Returns:
        R2 and block by factor; None for a factor that does not vary in the training split.
    """
    blocks = range(train_VLD.shape[1], 0, -1)
    varying = {name: part for name, part in train_factors.items() if (part.std(dim=0) > 1e-9).any()}
    errors = [_validation_errors(train_VLD[:, block - 1], varying) for block in blocks]
    chosen = {name: blocks[int(np.argmin([of[name] for of in errors]))] for name in varying}
    scores: dict[str, FactorScore | None] = dict.fromkeys(train_factors)
    for block in set(chosen.values()):
        parts = [
            {name: factors[name] for name in chosen if chosen[name] == block}
            for factors in (train_factors, test_factors)
        ]
        found = factor_probe(train_VLD[:, block - 1], parts[0], test_VLD[:, block - 1], parts[1])
        scores |= {name: None if r2 is None else FactorScore(r2, block) for name, r2 in found.items()}
    return scores


def _validation_errors(train_VD: Tensor, factors: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the error of each factor on a held-out fifth, relative to the factor's variance."""
    wanted_VQ = torch.cat(list(factors.values()), dim=1)
    held_V = random_folds(len(train_VD)) == 0
    predicted_VQ = ridge_predictions((train_VD[~held_V], wanted_VQ[~held_V]), train_VD[held_V])
    error_Q = (predicted_VQ - wanted_VQ[held_V]).square().mean(dim=0) / wanted_VQ.var(dim=0).clamp_min(1e-12)
    parts = error_Q.split([part.shape[1] for part in factors.values()])
    return {name: part.mean().item() for name, part in zip(factors, parts, strict=True)}
