"""Is the future predicted, or only copied?

    report = evaluate_future(model, "videos.csv")
    print(report.table())

Shape letters as in `vjepa.evaluation.future.skill`; R samples of a clip, X numbers of one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vjepa.data.manifest import Video, read_manifest
from vjepa.data.processor import Frames, read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.evaluation.future.skill import (
    Embedded,
    HorizonReport,
    embed_clips,
    horizon_reports,
    skill_table,
    window_and_last,
)
from vjepa.evaluation.probes.factors import read_factors_at
from vjepa.evaluation.probes.linear import ridge_regression
from vjepa.inference.forecast import Window
from vjepa.models.video_model import VideoModel

READ_OUT = ("position", "velocity")


@dataclass(frozen=True)
class FutureReport:
    """Metrics of every horizon, and how they came about.

    Attributes:
        horizons: one report each.
        clips: number of videos measured, the beginning of each.
        too_short, unreadable: paths of videos that were left out.
        context_steps, mask_token, encoder, normalisation: as of `vjepa.inference.future.Prediction`.
    """

    horizons: tuple[HorizonReport, ...]
    clips: int
    too_short: tuple[str, ...]
    unreadable: tuple[str, ...]
    context_steps: int
    mask_token: int
    encoder: str
    normalisation: str

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """One line a horizon, for people."""
        return skill_table(self.horizons)


def evaluate_future(
    model: VideoModel,
    manifest: str | Path | Sequence[Video],
    *,
    steps: int | None = None,
    context_steps: int | None = None,
    mask_token: int | None = None,
    progress: bool = False,
) -> FutureReport:
    """Predict every time step after the first `context_steps` of each video, and hold that against what came.

    The truth is what the model's target network says of the frames, as in training. Nothing that predicts, and no
    baseline (`vjepa.evaluation.future.skill`), sees a frame after the context.

    Args:
        model: a model with a predictor of embeddings.
        manifest: two videos or more; videos too short for context and horizons, or unreadable, are left out and named.
        steps: last horizon; None for twice as far as the window goes, the second half rolled out.
        context_steps, mask_token: as of `vjepa.FuturePredictor`.
        progress: show a bar.
    """
    window, last = window_and_last(model, steps, context_steps, mask_token)
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    clips = read_beginnings(model, videos, (window.context_steps + last) * model.encoder.tubelet.t, progress)
    embedded = embed_clips(model, clips.video_VTCHW, window, last, progress)
    period = clips.periods[0] if len(set(clips.periods)) == 1 else None
    return FutureReport(
        horizons=horizon_reports(
            embedded,
            window,
            None if period is None else period * model.encoder.tubelet.t,
            _read_outs(clips, embedded, window, model.encoder.tubelet.t),
        ),
        clips=len(clips.videos),
        too_short=clips.too_short,
        unreadable=clips.unreadable,
        context_steps=window.context_steps,
        mask_token=window.mask_token,
        encoder=model.config["which"],
        normalisation=model.config["future"]["normalisation"],
    )


@dataclass(frozen=True)
class Beginnings:
    """The first frames of videos.

    Attributes:
        video_VTCHW: uint8.
        videos: that were read.
        periods: seconds that a frame lasts, of each.
        numbers_VT: of the frames in their videos.
        too_short, unreadable: paths of those that were left out.
    """

    video_VTCHW: Tensor
    videos: list[Video]
    periods: list[float]
    numbers_VT: NDArray[np.int64]
    too_short: tuple[str, ...]
    unreadable: tuple[str, ...]


def read_beginnings(
    model: VideoModel, videos: Sequence[Video], frames: int, progress: bool = False
) -> Beginnings:
    """The first so many frames of each video that has them, at the model's rate; ValueError for fewer than two."""
    clip = model.processor
    read: list[Frames] = []
    kept, too_short, unreadable = [], [], []
    for video in tqdm(videos, desc="reading", disable=not progress):
        try:
            found = read_frames(video.path, clip, first=frames, start=video.start, end=video.end)
        except VideoDecodeError:  # named in the report
            unreadable.append(video.path)
            continue
        if len(found.video_TCHW) < frames:
            too_short.append(video.path)
            continue
        read.append(found)
        kept.append(video)
    if len(read) < 2:
        raise ValueError(
            f"{len(read)} of {len(videos)} videos have the {frames} frames at the model's rate that context and horizons need "
            f"({len(unreadable)} cannot be read): give longer videos, more of them, or fewer steps"
        )
    return Beginnings(
        video_VTCHW=torch.stack([found.video_TCHW for found in read]),
        videos=kept,
        periods=[round(found.period, 9) for found in read],
        numbers_VT=np.stack([found.numbers for found in read]),
        too_short=tuple(too_short),
        unreadable=tuple(unreadable),
    )


def _read_outs(
    clips: Beginnings, embedded: Embedded, window: Window, depth: int
) -> list[dict[str, dict[str, float]]] | None:
    """R2 of what a ridge regression, fitted on true embeddings of half of the videos, reads off the other half's."""
    if not all(Path(video.path).with_suffix(".npz").exists() for video in clips.videos):
        return None
    fit_V = torch.arange(len(clips.videos)) % 2 == 0
    reports = []
    for row in range(embedded.true_VFSY.shape[1]):
        frame = (window.context_steps + row + 1) * depth - 1
        found = read_factors_at(clips.videos, clips.numbers_VT[:, frame].tolist())
        sources = {
            "true": embedded.true_VFSY[:, row].flatten(1),
            "predicted": embedded.predicted_VFSY[:, row].flatten(1),
            "copy_last": embedded.last_VSY.flatten(1),
        }
        report = {}
        for name in READ_OUT:
            target_VX = found[name]
            train = (sources["true"][fit_V], target_VX[fit_V])
            report[name] = {
                source: ridge_regression(train, (tokens_VX[~fit_V], target_VX[~fit_V])).mean().item()
                for source, tokens_VX in sources.items()
            }
        reports.append(report)
    return reports
