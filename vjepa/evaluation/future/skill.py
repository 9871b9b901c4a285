"""Errors of predicted embeddings and of baselines that need no model, with intervals over clips.

    copy_last   the embeddings of the context's last step, from the context encoded by itself
    linear      the last step plus the horizon times its difference from the step before; needs two steps
    mean        the mean of the other clips' true embeddings at this horizon and place
    shuffled    the prediction, compared with another clip's truth: how specific it is to its own clip
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import Metric
from vjepa.inference.forecast import Window, encode_context, roll_out, window_of
from vjepa.models.video_model import VideoModel

BASELINES = ("copy_last", "mean", "linear", "shuffled")
BATCH = 32
_DRAWS, _SEED = 1000, 0

Errors = Mapping[str, Tensor]  # (V, F) by what was predicted


@dataclass(frozen=True)
class HorizonReport:
    """What holds of one horizon.

    Attributes:
        step: time steps after the context.
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
    l1: Metric
    cosine: Metric
    skill: dict[str, Metric | None]
    cosine_skill: dict[str, Metric | None]
    read_out: dict[str, dict[str, float]] | None


class Embedded(NamedTuple):
    """Embeddings of clips: true and predicted ones of the steps that follow the context, and of its own last steps."""

    true_VFSY: Tensor
    predicted_VFSY: Tensor
    last_VSY: Tensor
    before_VSY: Tensor | None


def window_and_last(
    model: VideoModel, steps: int | None, context_steps: int | None = None, mask_token: int | None = None
) -> tuple[Window, int]:
    """How the model is asked, and the last horizon: `steps`, or twice as far as the window goes."""
    if model.predictor is None:
        raise ValueError(
            "the model has no predictor of embeddings, so its future cannot be held against anything: give a JEPA, or look "
            "at a pixel model with vjepa.surprise and tools/reconstruct.py"
        )
    height, width = model.processor.size
    window = window_of(model, height, width, context_steps, mask_token)
    last = 2 * window.rest if steps is None else steps
    if last < 1:
        raise ValueError(f"steps is {steps}: give the last horizon, 1 or more")
    return window, last


@torch.no_grad()
def embed_clips(
    model: VideoModel, video_VTCHW: Tensor, window: Window, last: int, progress: bool = False
) -> Embedded:
    """What the model says of clips of `context_steps` and `last` time steps, uint8; on the CPU."""
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
    return Embedded(true_VFSY, predicted_VFSY, seen_VtSY[:, -1], before_VSY)


def true_embeddings(model: VideoModel, video_BTCHW: Tensor, window: Window, last: int) -> Tensor:
    """What the target network says of the steps after a context, ``(B, last, S, Y)``, of windows as in training.

    Of the window that begins with the context; for later steps, of the window that ends with the step.
    """
    depth, steps = model.encoder.tubelet.t, window.grid.t

    def embedded(end: int) -> Tensor:
        frames_BTCHW = video_BTCHW[:, max(end - steps, 0) * depth : end * depth]
        return model.embed_targets(frames_BTCHW).unflatten(1, (-1, window.plane))

    rows = list(embedded(min(steps, window.context_steps + last))[:, window.context_steps :].unbind(1))
    rows += [embedded(window.context_steps + step)[:, -1] for step in range(len(rows) + 1, last + 1)]
    return torch.stack(rows, dim=1)


def horizon_reports(
    embedded: Embedded,
    window: Window,
    step_seconds: float | None,
    read_outs: Sequence[dict[str, dict[str, float]]] | None = None,
) -> tuple[HorizonReport, ...]:
    """Errors, skills and their intervals at every horizon; of two clips or more."""
    clips, last = embedded.true_VFSY.shape[:2]
    if clips < 2:
        raise ValueError(f"{clips} clip has no other to be compared with: give a longer video, or several")
    l1, cosine = (_errors(measure, embedded) for measure in (_l1, _cosine))
    reports = []
    for row in range(last):
        draws_QV = np.random.default_rng([_SEED, row]).integers(clips, size=(_DRAWS, clips))
        reports.append(
            HorizonReport(
                step=row + 1,
                seconds=None if step_seconds is None else (row + 1) * step_seconds,
                rolled_out=row >= window.rest,
                l1=_mean(l1["predicted"][:, row], draws_QV),
                cosine=_mean(cosine["predicted"][:, row], draws_QV),
                skill=_skills(l1, row, draws_QV),
                cosine_skill=_skills(cosine, row, draws_QV),
                read_out=None if read_outs is None else read_outs[row],
            )
        )
    return tuple(reports)


def skill_table(reports: Sequence[HorizonReport]) -> str:
    """One line a horizon, for people: skills over the baselines, and their intervals."""
    heads = "".join(f"{name:>21}" for name in BASELINES)
    lines = [
        "skill: 1 - L1 of the prediction / L1 of the baseline, so 1 is perfect and below 0 worse than the baseline",
        f"{'step':>4} {'seconds':>8} {'L1':>7}  {'skill over':>15}{heads}",
    ]
    for report in reports:
        seconds = "-" if report.seconds is None else f"{report.seconds:.2f}"
        skills = "".join(f"{_shown(report.skill[name]):>21}" for name in BASELINES)
        how = "  rolled out" if report.rolled_out else ""
        lines.append(f"{report.step:>4} {seconds:>8} {report.l1.value:>7.3f}  {'':>15}{skills}{how}")
    return "\n".join(lines)


def _shown(metric: Metric | None) -> str:
    return "-" if metric is None else f"{metric.value:+z.2f} ({metric.low:+.2f} {metric.high:+.2f})"


def _baselines(embedded: Embedded) -> dict[str, Tensor]:
    true_VFSY = embedded.true_VFSY
    last_VFSY = embedded.last_VSY.unsqueeze(1).expand_as(true_VFSY)
    baselines = {
        "copy_last": last_VFSY,
        "mean": (true_VFSY.sum(dim=0) - true_VFSY) / (len(true_VFSY) - 1),
    }
    if embedded.before_VSY is not None:
        horizon_F11 = torch.arange(1, true_VFSY.shape[1] + 1).view(-1, 1, 1)
        change_V1SY = (embedded.last_VSY - embedded.before_VSY).unsqueeze(1)
        baselines["linear"] = last_VFSY + horizon_F11 * change_V1SY
    return baselines


def _l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean(dim=(-2, -1))


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(first, second, dim=-1).mean(dim=-1)


def _errors(measure: Callable[[Tensor, Tensor], Tensor], embedded: Embedded) -> Errors:
    true_VFSY, predicted_VFSY = embedded.true_VFSY, embedded.predicted_VFSY
    errors = {name: measure(baseline, true_VFSY) for name, baseline in _baselines(embedded).items()}
    errors["shuffled"] = measure(predicted_VFSY, true_VFSY.roll(1, dims=0))
    return {**errors, "predicted": measure(predicted_VFSY, true_VFSY)}


def _mean(error_V: Tensor, draws_QV: NDArray[np.int64]) -> Metric:
    values_V = in_double(error_V).numpy()
    return _metric(values_V.mean(), values_V[draws_QV].mean(axis=1))


def _skills(errors: Errors, row: int, draws_QV: NDArray[np.int64]) -> dict[str, Metric | None]:
    """Clip by clip paired: both means are over the same draws."""
    predicted_V = in_double(errors["predicted"][:, row]).numpy()
    skills: dict[str, Metric | None] = dict.fromkeys(BASELINES)
    for name in BASELINES:
        if name in errors:
            baseline_V = in_double(errors[name][:, row]).numpy()
            drawn_Q = 1 - predicted_V[draws_QV].mean(axis=1) / baseline_V[draws_QV].mean(axis=1)
            skills[name] = _metric(1 - predicted_V.mean() / baseline_V.mean(), drawn_Q)
    return skills


def _metric(value: float, drawn_Q: NDArray[np.float64]) -> Metric:
    low, high = np.quantile(drawn_Q, [0.025, 0.975])
    return Metric(float(value), float(low), float(high))
