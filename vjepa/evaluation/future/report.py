"""Report on a model's predictions of the future: are they better than copies of the present?

report = evaluate_future(model, "videos.csv")
print(report.table())
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

from vjepa.data.clips import EmptyRangeError
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.processor import Frames, is_rendered, read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.evaluation.future.skill import (
    Embedded,
    HorizonReport,
    embed_clips,
    horizon_reports,
    skill_table,
    temporal_share,
    window_and_last,
)
from vjepa.evaluation.probes.factors import read_factors_at
from vjepa.evaluation.probes.linear import ridge_regression
from vjepa.inference.forecast import Window
from vjepa.models.video_model import VideoModel

READ_OUT = ("position", "velocity")
_FEWEST_READ = 10  # smallest number of videos whose factors are read out


@dataclass(frozen=True)
class FutureReport:
    """Metrics of every horizon, and the settings that they were measured with.

    Attributes:
        horizons: Report of each horizon.
        temporal_share: Share of the true embeddings' variance that lies between the time steps of a clip, see
            `vjepa.evaluation.future.skill.temporal_share`.
        clips: Number of videos that were measured, each by its beginning.
        too_short: Paths of the videos that were left out because they are shorter than context and horizons.
        unreadable: Paths of the videos left out because they cannot be read.
        context_steps: Number of time steps of the context.
        mask_token: Index of the predictor's mask token at the targets.
        encoder: Network that encodes the context: ``target_encoder`` or ``encoder``.
        normalisation: Normalisation of the embeddings, see `vjepa.inference.future.Prediction`.
    """

    horizons: tuple[HorizonReport, ...]
    temporal_share: float | None
    clips: int
    too_short: tuple[str, ...]
    unreadable: tuple[str, ...]
    context_steps: int
    mask_token: int
    encoder: str
    normalisation: str

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dictionaries, lists and numbers."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """Format text tables of the skills, with one line for each horizon."""
        if self.temporal_share is None:
            return skill_table(self.horizons)
        share = f"{self.temporal_share:.1%} of the embeddings' variance lies between the time steps of a clip"
        return f"{skill_table(self.horizons)}\n{share}"


def evaluate_future(
    model: VideoModel,
    manifest: str | Path | Sequence[Video],
    *,
    steps: int | None = None,
    context_steps: int | None = None,
    mask_token: int | None = None,
    progress: bool = False,
) -> FutureReport:
    """Predict every time step after the context of each video, and compare it with the true one.

    The truth is the target network's embedding of the frames, normalised as in training. Neither the
    predictions nor the baselines (`vjepa.evaluation.future.skill`) see a frame of the same video after its
    context, nor one of its group. Intervals are over the groups of the list, if it has any, else over its
    videos.

    Args:
        model: A model with a predictor of embeddings.
        manifest: Path of a manifest or a list of videos, two or more. Unreadable videos, and those too short
            for the model's window and the horizons, are left out and named in the report.
        steps: Last horizon, in time steps after the context. None takes twice as many as the trained window
            has after its context; the second half is then rolled out, if the model's predictions can become
            context.
        context_steps: Number of time steps of the context; None takes the largest number in training.
        mask_token: Index of the mask token at the targets; None takes that of the model's future masks.
        progress: Show a progress bar.

    Returns:
        Errors and skills at every horizon, with intervals; `table` formats them as text.

    Raises:
        ValueError: The model has no predictor, `steps` is below 1, or fewer than two videos are left.
    """
    window, last = window_and_last(model, steps, context_steps, mask_token)
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    frames = (window.context_steps + max(last, window.rest)) * model.encoder.tubelet.t
    clips = read_beginnings(model, videos, frames, progress)
    embedded = embed_clips(model, clips.video_VTCHW, window, last, progress)
    period = clips.periods[0] if len(set(clips.periods)) == 1 else None
    return FutureReport(
        horizons=horizon_reports(
            embedded,
            window,
            None if period is None else period * model.encoder.tubelet.t,
            _read_outs(clips, embedded, window, model.encoder.tubelet.t),
            groups=[video.group or video.path for video in clips.videos],
        ),
        temporal_share=temporal_share(embedded.true_VFSY),
        clips=len(clips.videos),
        too_short=clips.too_short,
        unreadable=clips.unreadable,
        context_steps=window.context_steps,
        mask_token=window.mask_token,
        encoder=model.config["which"],
        normalisation=model.config["future"]["normalisation"],
    )


class TooFewVideosError(ValueError):
    """Fewer videos are left, once short and unreadable ones are left out, than a measurement needs."""


@dataclass(frozen=True)
class Beginnings:
    """The first frames of videos.

    Attributes:
        video_VTCHW: Uint8 frames at the model's size and rate.
        videos: The videos that were read.
        periods: Duration of a frame of each video, in seconds.
        numbers_VT: Index of each frame in its video, from 0.
        too_short: Paths of the videos left out because they have too few frames.
        unreadable: Paths of the videos left out because they cannot be read.
    """

    video_VTCHW: Tensor
    videos: list[Video]
    periods: list[float]
    numbers_VT: NDArray[np.int64]
    too_short: tuple[str, ...]
    unreadable: tuple[str, ...]


def read_beginnings(
    model: VideoModel, videos: Sequence[Video], frames: int, progress: bool = False, *, fewest: int = 2
) -> Beginnings:
    """Read the first `frames` frames, at the model's rate, of each video that is long enough.

    Raises:
        TooFewVideosError: Fewer than `fewest` videos are left.
    """
    clip = model.processor
    read: list[Frames] = []
    kept, too_short, unreadable = [], [], []
    for video in tqdm(videos, desc="reading", disable=not progress):
        try:
            found = read_frames(video.path, clip, first=frames, start=video.start, end=video.end)
        except VideoDecodeError:  # named in the report
            unreadable.append(video.path)
            continue
        except EmptyRangeError:
            too_short.append(video.path)
            continue
        if len(found.video_TCHW) < frames:
            too_short.append(video.path)
            continue
        read.append(found)
        kept.append(video)
    if len(read) < fewest:
        raise TooFewVideosError(
            f"{len(read)} of {len(videos)} videos have the {frames} frames at the model's rate that context "
            f"and horizons need ({len(unreadable)} cannot be read), and {fewest} are needed: give longer "
            "videos, more of them, or fewer steps"
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
    """Compute R2 of position and velocity from true, predicted and copied embeddings at every horizon.

    A ridge regression is fitted on the true embeddings of every second video and measured on the others.
    Return None for fewer than 10 videos, or if one is not rendered, since only rendered videos have factors;
    factors that do not vary are left out.
    """
    if len(clips.videos) < _FEWEST_READ or not all(is_rendered(video.path) for video in clips.videos):
        return None
    train_V = torch.arange(len(clips.videos)) % 2 == 0
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
            target_VQ = found[name]
            if not all((target_VQ[half_V].std(dim=0) > 0).all() for half_V in (train_V, ~train_V)):
                continue
            train = (sources["true"][train_V], target_VQ[train_V])
            report[name] = {
                source: ridge_regression(train, (features_VD[~train_V], target_VQ[~train_V])).mean().item()
                for source, features_VD in sources.items()
            }
        reports.append(report)
    return reports
