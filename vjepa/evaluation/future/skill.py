"""Errors of predicted embeddings compared with those of baselines, with intervals over clips or groups.

copy_last   Embeddings of the context's last step, from the context encoded by itself.
linear      Last step plus the horizon times its difference from the step before; needs two context steps.
mean        Mean of the true embeddings of clips of other groups at this horizon and place.
shuffled    Prediction compared with the truth of a clip of another group: how specific it is to its own clip.

A group is what clips have in common, such as the video that they were cut from. The last two baselines need
two groups or more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import Metric, drawn_weights, interval
from vjepa.inference.forecast import Window, encode_context, roll_out, window_of
from vjepa.models.video_model import VideoModel

BASELINES = ("copy_last", "mean", "linear", "shuffled")
THIRDS = ("least", "middle", "most")  # of the clips, by motion
BATCH = 32
_DRAWS, _SEED = 1000, 0

Errors = Mapping[str, Tensor]  # (V,), by name of the prediction or baseline


@dataclass(frozen=True)
class HorizonReport:
    """Metrics of one horizon.

    Attributes:
        step: Horizon in time steps after the context; None if it was asked for in seconds and videos differ
            in frame rate.
        seconds: Seconds from the context's end to the end of the step; None if videos differ in frame rate.
        clips: Number of clips.
        rolled_out: Whether the step is, in some clips, beyond the window that the model was trained with.
        l1: Mean absolute error of the predicted embeddings.
        cosine: Mean cosine error of the predicted embeddings: 1 minus the cosine similarity to the true ones.
        skill: ``1 - l1 / l1 of the baseline`` for each baseline: 1 is perfect, 0 no better than the baseline.
            None for `linear` if the context has one step, and for `mean` and `shuffled` if all clips are of
            one group.
        cosine_skill: Skill over each baseline by the cosine error in place of `l1`.
        skill_by_motion: Skill over `copy_last` by `l1`, in each third of the clips by `motion_energy`: the
            ``least``, the ``middle`` and the ``most``. None with fewer than six clips.
        read_out: R2 of position and velocity at this step, by factor and then by source: one ridge regression
            reads them off the ``true``, the ``predicted`` and the copied (``copy_last``) embeddings. None if
            a video is not a rendered one, or with fewer than ten; without a factor that does not vary.
    """

    step: int | None
    seconds: float | None
    clips: int
    rolled_out: bool
    l1: Metric
    cosine: Metric
    skill: dict[str, Metric | None]
    cosine_skill: dict[str, Metric | None]
    skill_by_motion: dict[str, Metric] | None
    read_out: dict[str, dict[str, float]] | None


class AtHorizon(NamedTuple):
    """Embeddings of clips at one horizon, on the CPU.

    Attributes:
        true_VSY: True embeddings.
        predicted_VSY: Predicted embeddings.
        last_VSY, before_VSY, motion_V: See `Embedded`.
        ahead_V: Number of time steps from the context's last one, for each clip.
    """

    true_VSY: Tensor
    predicted_VSY: Tensor
    last_VSY: Tensor
    before_VSY: Tensor | None
    motion_V: Tensor
    ahead_V: Tensor

    @staticmethod
    def joined(parts: Sequence[AtHorizon]) -> AtHorizon:
        """Return the clips of all parts together."""
        columns = [None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True)]
        return AtHorizon(*columns)  # type: ignore[arg-type]


class Embedded(NamedTuple):
    """Embeddings of clips, on the CPU.

    Attributes:
        true_VFSY: True embeddings of the steps after the context.
        predicted_VFSY: Predicted embeddings of the same steps.
        last_VSY: Embeddings of the context's last step, from the context encoded by itself.
        before_VSY: Embeddings of the step before the last; None if the context has one step.
        motion_V: Motion energy of each clip, see `motion_energy`.
    """

    true_VFSY: Tensor
    predicted_VFSY: Tensor
    last_VSY: Tensor
    before_VSY: Tensor | None
    motion_V: Tensor

    def at(self, step: int) -> AtHorizon:
        """Return the clips at a horizon in time steps, from 1."""
        ahead_V = torch.full((len(self.true_VFSY),), step)
        true_VSY, predicted_VSY = self.true_VFSY[:, step - 1], self.predicted_VFSY[:, step - 1]
        return AtHorizon(true_VSY, predicted_VSY, self.last_VSY, self.before_VSY, self.motion_V, ahead_V)


def window_and_last(
    model: VideoModel, steps: int | None, context_steps: int | None = None, mask_token: int | None = None
) -> tuple[Window, int]:
    """Return the prediction window of a model, and the last horizon in time steps.

    Args:
        model: A model with a predictor of embeddings.
        steps: Last horizon. None takes twice as many steps as the trained window has after its context, or as
            many if predictions cannot be rolled out.
        context_steps: Number of time steps of the context; None takes the largest number in training.
        mask_token: Index of the mask token at the targets; None takes that of the model's future masks.

    Raises:
        ValueError: The model has no predictor of embeddings, or `steps` is below 1.
    """
    if model.predictor is None:
        raise ValueError(
            "the model has no predictor of embeddings, so it has no predictions to measure: give a "
            "JEPA, or look at a pixel model with vjepa.surprise and vjepa reconstruct"
        )
    height, width = model.processor.size
    window = window_of(model, height, width, context_steps, mask_token)
    last = longest_horizon(model, window) if steps is None else steps
    if last < 1:
        raise ValueError(f"steps is {steps}: give the last horizon, 1 or more")
    return window, last


def longest_horizon(model: VideoModel, window: Window) -> int:
    """Return the last horizon by default: twice the window's rest where predictions can be rolled out."""
    assert model.targets is not None
    return 2 * window.rest if model.targets.restorable else window.rest


@torch.no_grad()
def embed_clips(
    model: VideoModel, video_VTCHW: Tensor, window: Window, last: int, progress: bool = False
) -> Embedded:
    """Predict the steps after the context of clips, and encode the true ones.

    Args:
        model: A model with a predictor of embeddings.
        video_VTCHW: Uint8 clips of `window.context_steps` plus `last` time steps, or of a whole window if
            that is longer: true embeddings are those of the whole clip, as in training.
        window: Prediction window.
        last: Last horizon, in time steps after the context.
        progress: Show a progress bar.
    """
    device = next(model.parameters()).device
    parts = []
    for video_BTCHW in tqdm(video_VTCHW.split(BATCH), desc="predicting", disable=not progress):
        video_BTCHW = video_BTCHW.to(device)
        context_BTCHW = video_BTCHW[:, : window.context_steps * model.encoder.tubelet.t]
        predicted_BNY = roll_out(model, encode_context(model, context_BTCHW), window, last)
        seen_BtSY = model.embed_targets(context_BTCHW).unflatten(1, (-1, window.plane))
        true_BFSY = true_embeddings(model, video_BTCHW, window, last)
        parts.append((true_BFSY.cpu(), predicted_BNY.unflatten(1, (last, -1)).cpu(), seen_BtSY[:, -2:].cpu()))
    true_VFSY, predicted_VFSY, seen_VtSY = (torch.cat(column) for column in zip(*parts, strict=True))
    before_VSY = seen_VtSY[:, -2] if window.context_steps > 1 else None
    seen_VTCHW = video_VTCHW[:, : (window.context_steps + last) * model.encoder.tubelet.t]
    return Embedded(true_VFSY, predicted_VFSY, seen_VtSY[:, -1], before_VSY, motion_energy(seen_VTCHW).cpu())


def motion_energy(video_VTCHW: Tensor) -> Tensor:
    """Compute the mean absolute difference of neighbouring frames of each clip, in [0, 255], ``(V,)``."""
    return torch.stack([(clip[1:].int() - clip[:-1].int()).abs().float().mean() for clip in video_VTCHW])


def temporal_share(true_VFSY: Tensor) -> float | None:
    """Compute the share of the embeddings' variance that lies between the time steps of a clip.

    The variance of each place and dimension over the time steps of a clip is divided by that over all clips
    and time steps. Near 0 the embeddings say which clip it is, but not what happens in it, and a copy is a
    good prediction; independent embeddings at every step have about 1.

    Returns:
        The share; None for a single time step, or if the embeddings do not vary.
    """
    if true_VFSY.shape[1] < 2:
        return None
    exact_VFSY = in_double(true_VFSY)
    total = exact_VFSY.flatten(0, 1).var(dim=0).mean().item()
    return exact_VFSY.var(dim=1).mean().item() / total if total > 0 else None


def true_embeddings(model: VideoModel, video_BTCHW: Tensor, window: Window, last: int) -> Tensor:
    """Encode the true steps after a context by the target network, ``(B, F, S, Y)``.

    Steps inside the trained window are encoded together with the context and with the rest of the window, as
    far as the video has it. Each later step is encoded as the last step of its own window, which is as long
    as in training.
    """
    depth, steps = model.encoder.tubelet.t, window.grid.t

    def embedded(end: int) -> Tensor:
        frames_BTCHW = video_BTCHW[:, max(end - steps, 0) * depth : end * depth]
        return model.embed_targets(frames_BTCHW).unflatten(1, (-1, window.plane))

    whole = min(steps, video_BTCHW.shape[1] // depth)
    rows = list(embedded(whole)[:, window.context_steps :].unbind(1))[:last]
    rows += [embedded(window.context_steps + step)[:, -1] for step in range(len(rows) + 1, last + 1)]
    return torch.stack(rows, dim=1)


def horizon_reports(
    embedded: Embedded,
    window: Window,
    step_seconds: float | None,
    read_outs: Sequence[dict[str, dict[str, float]]] | None = None,
    groups: Sequence[Hashable] | None = None,
) -> tuple[HorizonReport, ...]:
    """Compute errors, skills and their intervals at every horizon.

    Args:
        embedded: Embeddings of two clips or more.
        window: Prediction window.
        step_seconds: Duration of a time step in seconds; None if clips differ in it.
        read_outs: R2 of factors at each horizon, see `HorizonReport.read_out`; None if it was not measured.
        groups: Group of each clip, such as the film that it was cut from; intervals are over groups. None, or
            a single group, gives intervals over clips.

    Raises:
        ValueError: There is only one clip.
    """
    clips, last = embedded.true_VFSY.shape[:2]
    if clips < 2:
        raise ValueError(f"{clips} clip has no other to be compared with: give a longer video, or several")
    return tuple(
        horizon_report(
            embedded.at(step),
            window,
            step=step,
            seconds=None if step_seconds is None else step * step_seconds,
            groups=groups,
            read_out=None if read_outs is None else read_outs[step - 1],
        )
        for step in range(1, last + 1)
    )


def horizon_report(
    clips: AtHorizon,
    window: Window,
    *,
    step: int | None,
    seconds: float | None,
    groups: Sequence[Hashable] | None = None,
    read_out: dict[str, dict[str, float]] | None = None,
) -> HorizonReport:
    """Compute errors, skills and their intervals at one horizon.

    Args:
        clips: Embeddings of two clips or more.
        window: Prediction window.
        step, seconds, read_out: See `HorizonReport`.
        groups: Group of each clip, see `horizon_reports`.
    """
    groups = range(len(clips.true_VSY)) if groups is None else groups
    seed = [_SEED, int(clips.ahead_V.max()) - 1]
    weight_bV = drawn_weights(groups, _DRAWS, seed)
    l1, cosine = (_errors(measure, clips, groups) for measure in (_l1, _cosine))
    return HorizonReport(
        step=step,
        seconds=seconds,
        clips=len(clips.true_VSY),
        rolled_out=bool((clips.ahead_V > window.rest).any()),
        l1=_mean(l1["predicted"], weight_bV),
        cosine=_mean(cosine["predicted"], weight_bV),
        skill=_skills(l1, weight_bV),
        cosine_skill=_skills(cosine, weight_bV),
        skill_by_motion=_skill_by_motion(l1, clips.motion_V, groups, seed),
        read_out=read_out,
    )


def skill_table(reports: Sequence[HorizonReport]) -> str:
    """Format a text table of the skills over the baselines, with one line for each horizon."""
    heads = "".join(f"{name:>21}" for name in BASELINES)
    most = max(report.clips for report in reports)
    lines = [
        "skill: 1 - L1 of the prediction / L1 of the baseline, so 1 is perfect and below 0 worse than the "
        "baseline",
        f"{'step':>4} {'seconds':>8} {'L1':>7}  {'skill over':>15}{heads}",
    ]
    for report in reports:
        skills = "".join(f"{_shown(report.skill[name]):>21}" for name in BASELINES)
        how = "  rolled out" if report.rolled_out else ""
        how += f"  {report.clips} of {most} clips" if report.clips < most else ""
        lines.append(f"{_begin(report)} {report.l1.value:>7.3f}  {'':>15}{skills}{how}")
    if reports[0].skill_by_motion is not None:
        lines += ["skill over copying, by how much the frames of a clip change, in thirds of the clips"]
        lines += [f"{'step':>4} {'seconds':>8} {'':>7}  {'':>15}" + "".join(f"{name:>21}" for name in THIRDS)]
        lines += [
            _motion_line(report, report.skill_by_motion) for report in reports if report.skill_by_motion
        ]
    return "\n".join(lines)


def _motion_line(report: HorizonReport, skill: Mapping[str, Metric]) -> str:
    shown = "".join(f"{_shown(skill[name]):>21}" for name in THIRDS)
    return f"{_begin(report)} {'':>7}  {'':>15}{shown}"


def _begin(report: HorizonReport) -> str:
    """Return the cells of the horizon."""
    step = "-" if report.step is None else f"{report.step}"
    seconds = "-" if report.seconds is None else f"{report.seconds:.2f}"
    return f"{step:>4} {seconds:>8}"


def _shown(metric: Metric | None) -> str:
    return "-" if metric is None else f"{metric.value:+z.2f} ({metric.low:+.2f} {metric.high:+.2f})"


def _baselines(clips: AtHorizon, groups: Sequence[Hashable]) -> dict[str, Tensor]:
    baselines = {"copy_last": clips.last_VSY}
    if clips.before_VSY is not None:
        baselines["linear"] = clips.last_VSY + clips.ahead_V.view(-1, 1, 1) * (
            clips.last_VSY - clips.before_VSY
        )
    names = list(dict.fromkeys(groups))
    if len(names) > 1:
        group_V = torch.tensor([names.index(group) for group in groups])
        sum_GSY = torch.zeros(len(names), *clips.true_VSY.shape[1:]).index_add(0, group_V, clips.true_VSY)
        others_V = len(group_V) - group_V.bincount()[group_V]
        baselines["mean"] = (sum_GSY.sum(dim=0) - sum_GSY[group_V]) / others_V.view(-1, 1, 1)
    return baselines


def _strangers(groups: Sequence[Hashable]) -> Tensor:
    """Return the row of a clip of another group for each clip, of two groups or more."""
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    group_V = torch.tensor([names[group] for group in groups])
    order_V = group_V.argsort(stable=True)  # Groups one after the other: what follows a group is of others.
    count_G = group_V.bincount()
    ends_G = count_G.cumsum(0)
    row_V = torch.empty_like(order_V)
    row_V[order_V] = torch.arange(len(order_V))
    within_V = row_V - (ends_G - count_G)[group_V]
    others_V = len(group_V) - count_G[group_V]
    return order_V[(ends_G[group_V] + within_V % others_V) % len(group_V)]


def _l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean(dim=(-2, -1))


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(first, second, dim=-1).mean(dim=-1)


def _errors(
    measure: Callable[[Tensor, Tensor], Tensor], clips: AtHorizon, groups: Sequence[Hashable]
) -> Errors:
    baselines = _baselines(clips, groups)
    errors = {name: measure(baseline_VSY, clips.true_VSY) for name, baseline_VSY in baselines.items()}
    if "mean" in baselines:
        errors["shuffled"] = measure(clips.predicted_VSY, clips.true_VSY[_strangers(groups)])
    return {**errors, "predicted": measure(clips.predicted_VSY, clips.true_VSY)}


def _mean(error_V: Tensor, weight_bV: NDArray[np.float64]) -> Metric:
    values_V = in_double(error_V).numpy()
    return interval(values_V.mean(), weight_bV @ values_V)


def _skills(errors: Errors, weight_bV: NDArray[np.float64]) -> dict[str, Metric | None]:
    """Compute skills over the baselines, paired by clip: both means are over the same bootstrap draws."""
    return {
        name: _skill(errors["predicted"], errors[name], weight_bV) if name in errors else None
        for name in BASELINES
    }


def _skill(predicted_V: Tensor, baseline_V: Tensor, weight_bV: NDArray[np.float64]) -> Metric:
    predicted, baseline = in_double(predicted_V).numpy(), in_double(baseline_V).numpy()
    drawn_b = 1 - (weight_bV @ predicted) / (weight_bV @ baseline)
    return interval(1 - predicted.mean() / baseline.mean(), drawn_b)


def _skill_by_motion(
    errors: Errors, motion_V: Tensor, groups: Sequence[Hashable], seed: Sequence[int]
) -> dict[str, Metric] | None:
    if len(motion_V) < 2 * len(THIRDS):
        return None
    skills = {}
    for name, rows in zip(THIRDS, motion_V.argsort(stable=True).tensor_split(len(THIRDS)), strict=True):
        weight_bV = drawn_weights([groups[clip] for clip in rows.tolist()], _DRAWS, seed)
        skills[name] = _skill(errors["predicted"][rows], errors["copy_last"][rows], weight_bV)
    return skills
