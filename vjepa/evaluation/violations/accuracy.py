"""Accuracies of surprise on matched videos: is the impossible video more surprising than its possible twin?

As published for V-JEPA (Garrido et al., arXiv 2502.11831; `evals/intuitive_physics/eval.py` of
jepa-intuitive-physics), the loss of a video is the mean or the maximum of the losses of its windows. The loss
of a window is that of one context length, or the smallest of all context lengths ("filtered"). This module
needs only losses, no networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vjepa.data.synthetic.matched import CONTROLS
from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import Metric, estimate, interval

Array = NDArray[np.float64]

MEASURES: Mapping[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max}
# The published threshold of the absolute accuracy is this quantile of the possible videos' losses.
QUANTILE = 0.9
SAMPLES = 2000  # draws of the bootstrap
FLIPS = 9_999  # random draws of the sign-flip test
THIRDS = 3  # parts of the sets of a kind, by severity


@dataclass(frozen=True)
class MatchedLosses:
    """Losses of one matched set (`vjepa.data.violation_sets.Matched`).

    Attributes:
        kind: Property or violation that the set tests.
        possible: Losses ``(c, V)`` of each possible video, by context length and window. Videos may differ in
            their number of windows.
        impossible: Losses ``(c, V)`` of each impossible video. Videos at the same place of both lists are a
            pair.
        severity: How much happens in the impossible videos, in any unit; None if unknown.
    """

    kind: str
    possible: Sequence[ArrayLike]
    impossible: Sequence[ArrayLike]
    severity: float | None = None


Table = dict[str, dict[str, Metric]]  # row: metric's name: metric


@dataclass(frozen=True)
class SurpriseReport:
    """Accuracies of surprise, as shares in [0, 1]; chance is 0.5 for all metrics but `absolute`.

    The rows of a table are the context lengths as text; ``filtered``; ``fixed``, the context length that was
    chosen beforehand; and ``best``, the highest value of each metric over the context lengths, chosen for
    each kind as in the published headline. ``best`` is selected on the videos that it is measured on, so it
    is optimistic. ``_mean`` and ``_max`` are the losses' reduction over windows. The metrics of a row are:

        relative_mean, relative_max   Share of the pairs whose impossible video has the greater loss; equal
                                      losses count half. The published code counts them as wrong, and its
                                      data sets have none; but rendered pairs have the same windows before
                                      and after the event, and so often the same maximum.
        auroc_mean, auroc_max         AUROC of impossible against possible videos, regardless of pairs.
        absolute                      Accuracy of telling single videos apart by a threshold, the 90th
                                      percentile of the possible videos' maximal losses. As published, the
                                      threshold comes from the videos measured, so this is optimistic.
        absolute_held_out             The same accuracy, with each half of the sets judged by the threshold of
                                      the other half.

    Attributes:
        contexts: Context lengths, in frames.
        fixed: Context length of the row `fixed`, in frames.
        kinds: Table of each kind of violation.
        macro: Table of means over the kinds, without the controls.
        best_context: Context length in frames with the best `relative_mean` for each kind; of equal ones, the
            first.
        counts: Numbers of sets and pairs of each kind.
        by_severity: `relative_mean` and `relative_max` of the row `fixed`, in the thirds of a kind's sets by
            severity, ascending; only for kinds whose severity is known, with six sets or more.
        p_values: Two-sided p-values of `relative_mean` and `relative_max` of the row `fixed` against chance,
            for each kind, by a sign-flip test over the sets; empty for a mean over several models.
    """

    contexts: tuple[int, ...]
    fixed: int
    kinds: dict[str, Table]
    macro: Table
    best_context: dict[str, int]
    counts: dict[str, dict[str, int]]
    by_severity: dict[str, dict[str, list[Metric]]]
    p_values: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and lists, with None for NaN."""
        return _plain(asdict(self))


def measure_surprise(
    sets: Sequence[MatchedLosses],
    contexts: Sequence[int],
    fixed: int,
    controls: Sequence[str] = CONTROLS,
    seed: int = 0,
) -> SurpriseReport:
    """Measure accuracies for each kind and over kinds, with bootstrap intervals over the matched sets.

    Whole sets are drawn, since the pairs of a set share a scene; and the n-th sets of kinds with as many sets
    are drawn together, since the renderer makes them of the same scene. The interval of `best` is that of
    the chosen context length and ignores that it was chosen. Absolute accuracies have no interval.

    Args:
        sets: Matched sets, with losses for the context lengths in the order of `contexts`.
        contexts: Context lengths, in frames.
        fixed: One of the context lengths, chosen before the losses were seen.
        controls: Kinds in which nothing impossible happens; the means over kinds leave them out.
        seed: Random seed of the bootstrap.

    Raises:
        ValueError: Shapes do not match, a loss is not finite, `fixed` is not in `contexts`, a context length
            is there twice, or all kinds are controls.
    """
    contexts = tuple(contexts)
    if fixed not in contexts or len(set(contexts)) < len(contexts):
        raise ValueError(
            f"fixed is {fixed} and contexts {contexts}: give different lengths, and one of them as fixed"
        )
    kinds = list(dict.fromkeys(matched.kind for matched in sets))
    counted = [kind for kind in kinds if kind not in controls]
    if not counted:
        raise ValueError(
            f"the sets are of {kinds} and controls {tuple(controls)}: give sets of a kind that is no control"
        )
    losses = {kind: _kind_losses([m for m in sets if m.kind == kind], contexts) for kind in kinds}
    metrics = {kind: _metrics(losses[kind], contexts.index(fixed), seed) for kind in kinds}
    macro = {
        name: tuple(np.mean([metrics[kind][name][part] for kind in counted], axis=0) for part in (0, 1))
        for name in metrics[kinds[0]]
    }
    best = {
        kind: contexts[int(metrics[kind]["relative_mean"][0][: len(contexts)].argmax())] for kind in kinds
    }
    return SurpriseReport(
        contexts=contexts,
        fixed=fixed,
        kinds={kind: _table(metrics[kind], contexts) for kind in kinds},
        macro=_table(macro, contexts),
        best_context=best,
        counts={
            kind: {"sets": int(losses[kind].set_p.max()) + 1, "pairs": len(losses[kind].set_p)}
            for kind in kinds
        },
        by_severity=_by_severity(sets, contexts, contexts.index(fixed), seed),
        p_values={kind: _p_values(losses[kind], contexts.index(fixed), seed) for kind in kinds},
    )


def _p_values(losses: _KindLosses, fixed: int, seed: int) -> dict[str, float]:
    """Test whether relative accuracies differ from chance.

    If surprise knew nothing of what is possible, a set would be as likely with its possible and impossible
    videos exchanged. The p-value is the share of random exchanges after which the accuracy is as far from
    chance, or farther; equal losses count half.
    """
    signs_bs = np.random.default_rng(seed).choice([-1, 1], size=(FLIPS, int(losses.set_p.max()) + 1))
    found = {}
    for name in MEASURES:
        side_p = np.sign(losses.impossible[name][:, fixed] - losses.possible[name][:, fixed])
        side_s = np.bincount(losses.set_p, weights=side_p)
        far_b = np.abs(signs_bs @ side_s) >= abs(side_s.sum()) - 1e-9
        found[f"relative_{name}"] = float((1 + far_b.sum()) / (1 + FLIPS))
    return found


def _by_severity(
    sets: Sequence[MatchedLosses], contexts: Sequence[int], fixed: int, seed: int
) -> dict[str, dict[str, list[Metric]]]:
    """Measure relative accuracies in thirds of the sets, with intervals over the sets of a third."""
    found: dict[str, dict[str, list[Metric]]] = {}
    for kind in dict.fromkeys(matched.kind for matched in sets):
        known = [(each.severity, each) for each in sets if each.kind == kind and each.severity is not None]
        if len(known) < 2 * THIRDS:
            continue
        ordered = [matched for _, matched in sorted(known, key=lambda pair: pair[0])]
        parts = np.array_split(np.arange(len(ordered)), THIRDS)
        metrics = [
            _metrics(_kind_losses([ordered[n] for n in part], contexts), fixed, seed) for part in parts
        ]
        found[kind] = {
            name: [interval(each[name][0][fixed], each[name][1][:, fixed]) for each in metrics]
            for name in ("relative_mean", "relative_max")
        }
    return found


def over_seeds(reports: Sequence[SurpriseReport]) -> SurpriseReport:
    """Compute means and intervals by Student's t over reports that differ only in their random seed.

    Reports of untrained networks give the null distribution over random initialisations. Their `best` shows
    how much of a trained network's `best` comes from the selection of the context length. `best_context` is
    the best for the mean over the reports.

    Raises:
        ValueError: There is no report, or reports differ in context lengths or sets.
    """
    if not reports:
        raise ValueError("there is no report: give one a seed")
    first = reports[0]
    if any((r.contexts, r.fixed, r.counts) != (first.contexts, first.fixed, first.counts) for r in reports):
        raise ValueError(
            "the reports are of other context lengths or sets: measure all seeds on the same videos"
        )
    kinds = {kind: _mean_table([report.kinds[kind] for report in reports]) for kind in first.kinds}
    best = {
        kind: max(first.contexts, key=lambda context: table[str(context)]["relative_mean"].value)
        for kind, table in kinds.items()
    }
    macro = _mean_table([report.macro for report in reports])
    severity = {
        kind: {
            name: [_mean_metric([report.by_severity[kind][name][third].value for report in reports])
                   for third in range(THIRDS)]
            for name in names
        }
        for kind, names in first.by_severity.items()
    }  # fmt: skip
    return SurpriseReport(first.contexts, first.fixed, kinds, macro, best, first.counts, severity, {})


def motion_energy(video_TCHW: Tensor, window: int, stride: int) -> Array:
    """Compute the mean absolute difference from frame to frame in each window: ``(1, V)``, in grey levels.

    This baseline knows no physics. It has the form of losses of one context length, and the windows in which
    a network is measured: ``[s, s + window)`` with ``s = 0, stride, ...``.

    Args:
        video_TCHW: Uint8 frames.
        window: Number of frames of a window, from 2 to that of the video.
        stride: Number of frames from one window to the next, 1 or more.

    Raises:
        ValueError: `window` or `stride` is out of range.
    """
    if window < 2 or stride < 1 or window > len(video_TCHW):
        raise ValueError(
            f"window is {window} and stride {stride} for {len(video_TCHW)} frames: give a window from 2 to "
            "as many, and a stride of 1 or more"
        )
    steps = in_double(video_TCHW.short().diff(dim=0).abs()).flatten(1).mean(dim=1).numpy()
    return np.lib.stride_tricks.sliding_window_view(steps, window - 1)[::stride].mean(axis=1)[None]


@dataclass(frozen=True)
class _KindLosses:
    """Losses of the videos of a kind, by reduction over windows (``mean``, ``max``).

    Attributes:
        possible: Losses ``(p, m)`` of the possible videos of the pairs; the m rows of a table are the context
            lengths and `filtered`.
        impossible: Losses ``(p, m)`` of the impossible videos of the pairs.
        set_p: Number of the set that each pair belongs to.
    """

    possible: dict[str, Array]
    impossible: dict[str, Array]
    set_p: NDArray[np.int64]


def _kind_losses(sets: Sequence[MatchedLosses], contexts: Sequence[int]) -> _KindLosses:
    sides: tuple[list[Array], list[Array]] = ([], [])
    for matched in sets:
        if not len(matched.possible) or len(matched.possible) != len(matched.impossible):
            raise ValueError(
                f"a set of {matched.kind} has losses of {len(matched.possible)} possible and "
                f"{len(matched.impossible)} impossible videos: give as many of each, in pairs"
            )
        for side, videos in zip(sides, (matched.possible, matched.impossible), strict=True):
            side.extend(_checked(video, matched.kind, len(contexts)) for video in videos)
    possible, impossible = (
        {name: np.stack([_rows(video_cV, reduce) for video_cV in side]) for name, reduce in MEASURES.items()}
        for side in sides
    )
    set_p = np.repeat(np.arange(len(sets)), [len(matched.possible) for matched in sets])
    return _KindLosses(possible, impossible, set_p)


def _checked(video: ArrayLike, kind: str, num_contexts: int) -> Array:
    video_cV = np.asarray(video, dtype=np.float64)
    if video_cV.ndim != 2 or video_cV.shape[0] != num_contexts or not video_cV.shape[1]:
        raise ValueError(
            f"losses of a video of {kind} are {video_cV.shape}: give (context lengths, windows) with "
            f"{num_contexts} context lengths and a window or more"
        )
    if not np.isfinite(video_cV).all():
        raise ValueError(f"a loss of a video of {kind} is not finite: look at the network and the video")
    return video_cV


def _rows(video_cV: Array, reduce: Callable[..., Any]) -> Array:
    """Compute a video's loss for each context length and `filtered`: ``(m,)``."""
    return reduce(np.concatenate([video_cV, video_cV.min(axis=0, keepdims=True)]), axis=1)


def _metrics(losses: _KindLosses, fixed: int, seed: int) -> dict[str, tuple[Array, Array]]:
    """Compute values ``(m,)`` and bootstrap draws ``(b, m)`` of each metric; add rows `fixed` and `best`."""
    rng, num_sets = np.random.default_rng(seed), int(losses.set_p.max()) + 1
    # How often each pair is drawn: as often as its set.
    drawn_bp = rng.multinomial(num_sets, np.full(num_sets, 1 / num_sets), size=SAMPLES)[:, losses.set_p]
    # The first row has every pair once and gives the value itself.
    weights_bp = np.concatenate([np.ones_like(drawn_bp[:1]), drawn_bp]).astype(np.float64)
    tables = {}
    for name in MEASURES:
        possible_pm, impossible_pm = losses.possible[name], losses.impossible[name]
        tables[f"relative_{name}"] = _relative_accuracy(possible_pm, impossible_pm, weights_bp)
        tables[f"auroc_{name}"] = _auroc(possible_pm, impossible_pm, weights_bp)
    for name, accuracy in (("absolute", _absolute_accuracy), ("absolute_held_out", _held_out_accuracy)):
        values_m = accuracy(losses.possible["max"], losses.impossible["max"], losses.set_p)
        tables[name] = np.concatenate([values_m[None], np.full((SAMPLES, len(values_m)), np.nan)])
    complete = {}
    for name, table_bm in tables.items():
        best = int(table_bm[0, :-1].argmax())  # the last row is `filtered`
        # If each draw chose its own `best`, the draws would be biased above the value.
        table_bm = np.concatenate([table_bm, table_bm[:, [fixed, best]]], axis=1)
        complete[name] = (table_bm[0], table_bm[1:])
    return complete


def _relative_accuracy(possible_pm: Array, impossible_pm: Array, weights_bp: Array) -> Array:
    right_pm = (1 + np.sign(impossible_pm - possible_pm)) / 2
    return weights_bp @ right_pm / weights_bp.sum(axis=1, keepdims=True)


def _auroc(possible_pm: Array, impossible_pm: Array, weights_bp: Array) -> Array:
    """Compute the probability that an impossible video has a greater loss than a possible one (Mann-Whitney).

    Equal losses count half.
    """
    columns = []
    for possible_p, impossible_p in zip(possible_pm.T, impossible_pm.T, strict=True):
        above = (possible_p[:, None] < impossible_p) + 0.5 * (possible_p[:, None] == impossible_p)
        columns.append(((weights_bp @ above) * weights_bp).sum(axis=1) / weights_bp.sum(axis=1) ** 2)
    return np.stack(columns, axis=1)


def _absolute_accuracy(possible_pm: Array, impossible_pm: Array, set_p: NDArray[np.int64]) -> Array:
    threshold_m = _threshold(possible_pm)
    return ((possible_pm < threshold_m).mean(axis=0) + (impossible_pm > threshold_m).mean(axis=0)) / 2


def _held_out_accuracy(possible_pm: Array, impossible_pm: Array, set_p: NDArray[np.int64]) -> Array:
    """Measure each half of the sets (every second one) by the threshold of the other; NaN for one set."""
    right_m, odd_p = np.zeros(possible_pm.shape[1]), set_p % 2 == 1
    if odd_p.all() or not odd_p.any():
        return np.full_like(right_m, np.nan)
    for tested_p in (odd_p, ~odd_p):
        threshold_m = _threshold(possible_pm[~tested_p])
        right_m += (possible_pm[tested_p] < threshold_m).sum(axis=0)
        right_m += (impossible_pm[tested_p] > threshold_m).sum(axis=0)
    return right_m / (2 * len(set_p))


def _threshold(possible_pm: Array) -> Array:
    """Return the published order statistic, or the last one if there are fewer than ten videos."""
    place = min(math.ceil(QUANTILE * len(possible_pm)), len(possible_pm) - 1)
    return np.sort(possible_pm, axis=0)[place]


def _table(metrics: Mapping[str, tuple[Array, Array]], contexts: Sequence[int]) -> Table:
    rows = [*map(str, contexts), "filtered", "fixed", "best"]
    return {
        row: {name: interval(values_m[r], draws_bm[:, r]) for name, (values_m, draws_bm) in metrics.items()}
        for r, row in enumerate(rows)
    }


def _mean_table(tables: Sequence[Table]) -> Table:
    return {
        row: {name: _mean_metric([table[row][name].value for table in tables]) for name in metrics}
        for row, metrics in tables[0].items()
    }


def _mean_metric(values: Sequence[float]) -> Metric:
    if any(math.isnan(value) for value in values):
        return Metric(math.nan)
    mean = estimate(values)
    return Metric(mean.mean, max(mean.low, 0.0), min(mean.high, 1.0))  # the mean of shares is a share


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
