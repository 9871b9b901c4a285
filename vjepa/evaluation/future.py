"""Is the future predicted, or only copied? Errors and skills at every horizon, with intervals over clips.

    report = evaluate_future(world, "videos.csv")
    print(report.table())

Shape letters as in `vjepa.tokens`; V clips, F horizons, S tokens of a time step, Y the width of what is predicted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vjepa.data.manifest import Video, read_manifest
from vjepa.data.readers.base import VideoDecodeError
from vjepa.evaluation.factors import read_factors_at
from vjepa.evaluation.probe import ridge_regression
from vjepa.inference.clip_format import ClipFormat, read_frames
from vjepa.inference.forecast import Window, encode_context, roll_out, window_of
from vjepa.models.world import WorldModel

BASELINES = ("copy_last", "mean", "linear", "shuffled")
READ_OUT = ("position", "velocity")
BATCH = 32
_DRAWS, _SEED = 1000, 0

Errors = Mapping[str, Tensor]  # (V, F) by what was predicted


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval over clips, by a seeded bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HorizonReport:
    """What holds of one horizon.

    Attributes:
        step: time steps after the context; those past the window are rolled out.
        seconds: to the end of the step; None where videos differ in their rate.
        rolled_out: whether it is past the window that the model was trained with.
        l1, cosine: mean absolute error, and 1 - cosine, of predicted and true embeddings.
        skill: ``1 - l1 / l1 of the baseline``, by baseline: 0 is no better. None for one that does not exist.
        cosine_skill: the same of the cosine error.
        read_out: R2 of position and velocity at this step, read by one ridge regression off true (``true``), predicted
            (``predicted``), and copied (``copy_last``) embeddings; of rendered videos alone, else None.
    """

    step: int
    seconds: float | None
    rolled_out: bool
    l1: Figure
    cosine: Figure
    skill: dict[str, Figure | None]
    cosine_skill: dict[str, Figure | None]
    read_out: dict[str, dict[str, float]] | None


@dataclass(frozen=True)
class FutureReport:
    """Figures of every horizon, and how they came about.

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
        lines = [
            f"{'step':>4} {'seconds':>8} {'L1':>7}  skill over "
            + "".join(f"{name:>20}" for name in BASELINES)
        ]
        for report in self.horizons:
            seconds = "" if report.seconds is None else f"{report.seconds:.2f}"
            skills = "".join(f"{_shown(report.skill[name]):>20}" for name in BASELINES)
            how = " rolled out" if report.rolled_out else ""
            lines.append(f"{report.step:>4} {seconds:>8} {report.l1.value:>7.3f}  {'':>10} {skills}{how}")
        return "\n".join(lines)


def _shown(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:+.2f} ({figure.low:+.2f} {figure.high:+.2f})"


def evaluate_future(
    world: WorldModel,
    manifest: str | Path | Sequence[Video],
    *,
    steps: int | None = None,
    context_steps: int | None = None,
    mask_token: int | None = None,
    progress: bool = False,
) -> FutureReport:
    """Predict every time step after the first `context_steps` of each video, and hold that against what came.

    The truth at a horizon is what the model's target network says of the frames, as in training: of the window that begins
    with the context; for later steps, of the window that ends with the step. Nothing that predicts, and no baseline, sees
    a frame after the context:

        copy_last   embeddings of the context's last step, of the context encoded by itself
        linear      the last step plus its difference from the one before, times the horizon; needs two steps
        mean        mean of the other clips' true embeddings at this horizon and place
        shuffled    the prediction, held against another clip's truth: how much of it is about this clip

    Args:
        world: a model with a predictor of embeddings.
        manifest: two videos or more; videos too short for context and horizons, or unreadable, are left out and named.
        steps: last horizon; None for the window's end and once more as far, rolled out.
        context_steps, mask_token: as of `vjepa.FuturePredictor`.
        progress: show a bar.
    """
    if world.predictor is None:
        raise ValueError("the model has no predictor of embeddings: nothing can be said of its future")
    height, width = world.config["clip"]["size"]
    window = window_of(world, height, width, context_steps, mask_token)
    last = 2 * window.rest if steps is None else steps
    if last < 1:
        raise ValueError(f"steps is {steps}: give the last horizon, 1 or more")
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    clips = _read_clips(world, videos, (window.context_steps + last) * world.encoder.tubelet.t, progress)
    true_VFSY, predicted_VFSY, last_VSY, before_VSY = _embed(world, clips.video_VTCHW, window, last, progress)
    baselines = _baselines(true_VFSY, last_VSY, before_VSY)
    l1, cosine = (_errors(measure, true_VFSY, predicted_VFSY, baselines) for measure in (_l1, _cosine))
    period = clips.periods[0] if len(set(clips.periods)) == 1 else None
    read_out = _read_outs(clips, true_VFSY, predicted_VFSY, last_VSY, window, world.encoder.tubelet.t)
    reports = []
    for row in range(last):
        rng = np.random.default_rng([_SEED, row])
        draws_DV = rng.integers(len(true_VFSY), size=(_DRAWS, len(true_VFSY)))
        seconds = None if period is None else (row + 1) * period * world.encoder.tubelet.t
        reports.append(
            HorizonReport(
                step=row + 1,
                seconds=seconds,
                rolled_out=row >= window.rest,
                l1=_mean(l1["predicted"][:, row], draws_DV),
                cosine=_mean(cosine["predicted"][:, row], draws_DV),
                skill=_skills(l1, row, draws_DV),
                cosine_skill=_skills(cosine, row, draws_DV),
                read_out=None if read_out is None else read_out[row],
            )
        )
    return FutureReport(
        horizons=tuple(reports),
        clips=len(true_VFSY),
        too_short=clips.too_short,
        unreadable=clips.unreadable,
        context_steps=window.context_steps,
        mask_token=window.mask_token,
        encoder=world.config["which"],
        normalisation=world.config["future"]["normalisation"],
    )


@dataclass(frozen=True)
class _Clips:
    video_VTCHW: Tensor
    videos: list[Video]
    periods: list[float]
    numbers_VT: NDArray[np.int64]
    too_short: tuple[str, ...]
    unreadable: tuple[str, ...]


def _read_clips(world: WorldModel, videos: Sequence[Video], frames: int, progress: bool) -> _Clips:
    """The first so many frames of each video that has them."""
    clip = ClipFormat.of(world)
    read, kept, too_short, unreadable = [], [], [], []
    for video in tqdm(videos, desc="reading", disable=not progress):
        try:
            found = read_frames(video.path, clip, first=frames, start=video.start, end=video.end)
        except VideoDecodeError:  # counted and named in the report
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
    return _Clips(
        torch.stack([found.video_TCHW for found in read]), kept, [round(found.period, 9) for found in read],
        np.stack([found.numbers for found in read]), tuple(too_short), tuple(unreadable),
    )  # fmt: skip


@torch.no_grad()
def _embed(
    world: WorldModel, video_VTCHW: Tensor, window: Window, last: int, progress: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """True and predicted embeddings ``(V, F, S, Y)``; of the context by itself the last step and the one before."""
    device = next(world.parameters()).device
    parts = []
    for video_BTCHW in tqdm(video_VTCHW.split(BATCH), desc="predicting", disable=not progress):
        video_BTCHW = video_BTCHW.to(device)
        context_BTCHW = video_BTCHW[:, : window.context_steps * world.encoder.tubelet.t]
        predicted_BNY = roll_out(world, encode_context(world, context_BTCHW), window, last)
        seen_BtSY = world.embed_targets(context_BTCHW).unflatten(1, (-1, window.plane))
        parts.append(
            (
                true_embeddings(world, video_BTCHW, window, last).cpu(),
                predicted_BNY.unflatten(1, (last, -1)).cpu(),
                seen_BtSY[:, -1].cpu(),
                seen_BtSY[:, -2].cpu() if window.context_steps > 1 else None,
            )
        )
    true, predicted, ends, befores = zip(*parts, strict=True)
    before_VSY = torch.cat(befores) if window.context_steps > 1 else None
    return torch.cat(true), torch.cat(predicted), torch.cat(ends), before_VSY


def true_embeddings(world: WorldModel, video_BTCHW: Tensor, window: Window, last: int) -> Tensor:
    """What the target network says of the steps after a context, ``(B, last, S, Y)``, of windows as in training."""
    depth, steps = world.encoder.tubelet.t, window.grid.t
    first_BtSY = world.embed_targets(video_BTCHW[:, : steps * depth]).unflatten(1, (-1, window.plane))
    rows = list(first_BtSY[:, window.context_steps :].unbind(1))[:last]
    for step in range(len(rows) + 1, last + 1):
        end = (window.context_steps + step) * depth
        window_BtSY = world.embed_targets(video_BTCHW[:, end - steps * depth : end]).unflatten(
            1, (-1, window.plane)
        )
        rows.append(window_BtSY[:, -1])
    return torch.stack(rows, dim=1)


def _baselines(true_VFSY: Tensor, last_VSY: Tensor, before_VSY: Tensor | None) -> dict[str, Tensor]:
    last_VFSY = last_VSY.unsqueeze(1).expand_as(true_VFSY)
    baselines = {
        "copy_last": last_VFSY,
        "mean": (true_VFSY.sum(dim=0) - true_VFSY) / (len(true_VFSY) - 1),
    }
    if before_VSY is not None:
        horizon_F11 = torch.arange(1, true_VFSY.shape[1] + 1).view(-1, 1, 1)
        baselines["linear"] = last_VFSY + horizon_F11 * (last_VSY - before_VSY).unsqueeze(1)
    return baselines


def _l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean(dim=(-2, -1))


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(first, second, dim=-1).mean(dim=-1)


def _errors(
    measure: Callable[[Tensor, Tensor], Tensor],
    true_VFSY: Tensor,
    predicted_VFSY: Tensor,
    baselines: Mapping[str, Tensor],
) -> Errors:
    errors = {name: measure(baseline, true_VFSY) for name, baseline in baselines.items()}
    errors["shuffled"] = measure(predicted_VFSY, true_VFSY.roll(1, dims=0))
    return {**errors, "predicted": measure(predicted_VFSY, true_VFSY)}


def _mean(error_V: Tensor, draws_DV: NDArray[np.int64]) -> Figure:
    values = error_V.double().numpy()
    return _figure(values.mean(), values[draws_DV].mean(axis=1))


def _skills(errors: Errors, row: int, draws_DV: NDArray[np.int64]) -> dict[str, Figure | None]:
    """Clip by clip paired: both means are over the same draws."""
    predicted_V = errors["predicted"][:, row].double().numpy()
    skills: dict[str, Figure | None] = dict.fromkeys(BASELINES)
    for name in BASELINES:
        if name in errors:
            baseline_V = errors[name][:, row].double().numpy()
            drawn_D = 1 - predicted_V[draws_DV].mean(axis=1) / baseline_V[draws_DV].mean(axis=1)
            skills[name] = _figure(1 - predicted_V.mean() / baseline_V.mean(), drawn_D)
    return skills


def _figure(value: float, drawn_D: NDArray[np.float64]) -> Figure:
    low, high = np.quantile(drawn_D, [0.025, 0.975])
    return Figure(float(value), float(low), float(high))


def _read_outs(
    clips: _Clips,
    true_VFSY: Tensor,
    predicted_VFSY: Tensor,
    last_VSY: Tensor,
    window: Window,
    depth: int,
) -> list[dict[str, dict[str, float]]] | None:
    """R2 of what a ridge regression, fitted on true embeddings of half of the videos, reads off the other half's."""
    if not all(Path(video.path).with_suffix(".npz").exists() for video in clips.videos):
        return None
    fit_V = torch.arange(len(true_VFSY)) % 2 == 0
    reports = []
    for row in range(true_VFSY.shape[1]):
        frame = (window.context_steps + row + 1) * depth - 1
        found = read_factors_at(clips.videos, clips.numbers_VT[:, frame].tolist())
        embeddings = {"true": true_VFSY[:, row], "predicted": predicted_VFSY[:, row], "copy_last": last_VSY}
        report = {}
        for name in READ_OUT:
            target_VF = found[name]
            train = (true_VFSY[fit_V, row].flatten(1), target_VF[fit_V])
            report[name] = {
                source: ridge_regression(train, (tokens[~fit_V].flatten(1), target_VF[~fit_V])).mean().item()
                for source, tokens in embeddings.items()
            }
        reports.append(report)
    return reports
