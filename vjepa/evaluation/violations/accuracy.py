"""Is the impossible video more surprising? Accuracies from window losses of matched videos, and their intervals.

As published for V-JEPA (Garrido et al., arXiv 2502.11831; `evals/intuitive_physics/eval.py` of jepa-intuitive-physics):
a video's loss is the mean or the maximum over its windows of the loss of a context length, or of the smallest loss of
all context lengths in each window ("filtered"). Nothing here knows networks.

Shape letters: C context lengths, X windows of one video, P pairs, S matched sets, R rows of a table (the context
lengths and what is made of them), B bootstrap samples, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vjepa.data.synthetic import CONTROL
from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import CONFIDENCE, Metric, estimate

Array = NDArray[np.float64]

MEASURES: Mapping[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max}
QUANTILE = 0.9  # of the possible videos' losses: the published threshold of the absolute accuracy
SAMPLES = 2000  # of the bootstrap


@dataclass(frozen=True)
class MatchedLosses:
    """Losses of one matched set, as of `vjepa.data.violation_sets.Matched`.

    Attributes:
        kind: what is violated.
        possible, impossible: of each video the losses ``(C, X)``; those at the same place are a pair. X may differ.
    """

    kind: str
    possible: Sequence[ArrayLike]
    impossible: Sequence[ArrayLike]


Table = dict[str, dict[str, Metric]]  # row: metric's name: metric


@dataclass(frozen=True)
class SurpriseReport:
    """What `measure_surprise` found. All metrics are shares from 0 to 1; chance is .5, but for `absolute`.

    Rows of a table are the context lengths as text, ``filtered``, ``fixed`` (the context length that was chosen
    beforehand) and ``best`` (of each metric the highest over the context lengths, kind by kind, as in the published
    headline: selected on the very videos that it is measured on, and so optimistic). Metrics of a row:

        relative_mean, relative_max   share of the pairs whose impossible video has the strictly greater loss
        auroc_mean, auroc_max         of impossible against possible videos, pairs not regarded
        absolute                      share of single videos on their side of a threshold at the 90th percentile of the
                                      possible videos' max, fitted on the very videos as published: optimistic
        absolute_held_out             the same with each half of the sets judged by the threshold of the other

    Attributes:
        contexts: frames of each context length.
        fixed: the one of the row `fixed`.
        kinds: a table for each kind.
        macro: means over the kinds but the controls.
        best_context: of each kind the context length of its best `relative_mean`, the shortest of equals.
        counts: of each kind the numbers of sets and pairs.
    """

    contexts: tuple[int, ...]
    fixed: int
    kinds: dict[str, Table]
    macro: Table
    best_context: dict[str, int]
    counts: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dictionaries and lists; None for NaN."""
        return _plain(asdict(self))


def measure_surprise(
    sets: Sequence[MatchedLosses],
    contexts: Sequence[int],
    fixed: int,
    controls: Sequence[str] = (CONTROL,),
    seed: int = 0,
) -> SurpriseReport:
    """Tables of accuracies per kind and over kinds, with bootstrap intervals over the matched sets.

    Sets are drawn anew with their pairs, which share a scene. The interval of `best` is that of the context length that
    was chosen, as if it had been fixed: it knows nothing of the choice. Absolute accuracies have no interval.

    Args:
        sets: with losses of the context lengths in the order of `contexts`.
        contexts: frames of each context length, C of them.
        fixed: one of them, chosen before the losses were seen.
        controls: kinds in which nothing impossible happens: left out of the means over kinds.
        seed: of the bootstrap.

    ValueError where shapes do not fit, a loss is not finite, or nothing is left to take means over.
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
    rng = np.random.default_rng(seed)
    losses = {kind: _kind_losses([m for m in sets if m.kind == kind], contexts) for kind in kinds}
    metrics = {kind: _metrics(losses[kind], contexts.index(fixed), rng) for kind in kinds}
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
            kind: {"sets": int(losses[kind].set_P.max()) + 1, "pairs": len(losses[kind].set_P)}
            for kind in kinds
        },
    )


def over_seeds(reports: Sequence[SurpriseReport]) -> SurpriseReport:
    """Mean and interval by Student's t of reports that differ by their seed alone: the null, for random initialisations.

    A random network has a best context length, too; its `best` says how much of the trained network's is selection.
    `best_context` is that of the means.
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
    return SurpriseReport(first.contexts, first.fixed, kinds, macro, best, first.counts)


def motion_energy(video_TCHW: Tensor, window: int, stride: int) -> Array:
    """Mean absolute difference from frame to frame in each window, in grey levels: ``(1, X)``.

    The baseline that knows no physics: losses of a single context length, in the windows ``[s, s + window)`` with
    ``s = 0, stride, ...`` in which a network's are measured.

    Args:
        video_TCHW: uint8.
        window, stride: frames; a window has 2 or more, and no more than the video.
    """
    if window < 2 or stride < 1 or window > len(video_TCHW):
        raise ValueError(
            f"window is {window} and stride {stride} for {len(video_TCHW)} frames: give a window from 2 to as many, and a "
            "stride of 1 or more"
        )
    steps = in_double(video_TCHW.short().diff(dim=0).abs()).flatten(1).mean(dim=1).numpy()
    return np.lib.stride_tricks.sliding_window_view(steps, window - 1)[::stride].mean(axis=1)[None]


@dataclass(frozen=True)
class _KindLosses:
    """Losses of a kind's videos by measure, the context lengths and `filtered` in rows."""

    possible: dict[str, Array]  # (P, R)
    impossible: dict[str, Array]
    set_P: NDArray[np.int64]


def _kind_losses(sets: Sequence[MatchedLosses], contexts: Sequence[int]) -> _KindLosses:
    sides: tuple[list[Array], list[Array]] = ([], [])
    for matched in sets:
        if not len(matched.possible) or len(matched.possible) != len(matched.impossible):
            raise ValueError(
                f"a set of {matched.kind} has losses of {len(matched.possible)} possible and {len(matched.impossible)} "
                "impossible videos: give as many of each, in pairs"
            )
        for side, videos in zip(sides, (matched.possible, matched.impossible), strict=True):
            side.extend(_checked(video, matched.kind, len(contexts)) for video in videos)
    possible, impossible = (
        {name: np.stack([_rows(video_CX, reduce) for video_CX in side]) for name, reduce in MEASURES.items()}
        for side in sides
    )
    set_P = np.repeat(np.arange(len(sets)), [len(matched.possible) for matched in sets])
    return _KindLosses(possible, impossible, set_P)


def _checked(video: ArrayLike, kind: str, num_contexts: int) -> Array:
    video_CX = np.asarray(video, dtype=np.float64)
    if video_CX.ndim != 2 or video_CX.shape[0] != num_contexts or not video_CX.shape[1]:
        raise ValueError(
            f"losses of a video of {kind} are {video_CX.shape}: give (C, X) with C = {num_contexts} context lengths and "
            "a window or more"
        )
    if not np.isfinite(video_CX).all():
        raise ValueError(f"a loss of a video of {kind} is not finite: look at the network and the video")
    return video_CX


def _rows(video_CX: Array, reduce: Callable[..., Any]) -> Array:
    """A video's loss for each context length and `filtered`: ``(R,)``."""
    return reduce(np.concatenate([video_CX, video_CX.min(axis=0, keepdims=True)]), axis=1)


def _metrics(losses: _KindLosses, fixed: int, rng: np.random.Generator) -> dict[str, tuple[Array, Array]]:
    """Each metric's values ``(R,)`` and bootstrap samples ``(B, R)``, with the rows `fixed` and `best`."""
    num_sets = int(losses.set_P.max()) + 1
    # How often each pair is drawn, with its set.
    drawn_BP = rng.multinomial(num_sets, np.full(num_sets, 1 / num_sets), size=SAMPLES)[:, losses.set_P]
    # The first row has every pair once: the value itself.
    weights_BP = np.concatenate([np.ones_like(drawn_BP[:1]), drawn_BP]).astype(np.float64)
    tables = {}
    for name in MEASURES:
        possible_PR, impossible_PR = losses.possible[name], losses.impossible[name]
        tables[f"relative_{name}"] = _relative_accuracy(possible_PR, impossible_PR, weights_BP)
        tables[f"auroc_{name}"] = _auroc(possible_PR, impossible_PR, weights_BP)
    for name, accuracy in (("absolute", _absolute_accuracy), ("absolute_held_out", _held_out_accuracy)):
        values_R = accuracy(losses.possible["max"], losses.impossible["max"], losses.set_P)
        tables[name] = np.concatenate([values_R[None], np.full((SAMPLES, len(values_R)), np.nan)])
    complete = {}
    for name, table_BR in tables.items():
        best = int(table_BR[0, :-1].argmax())  # the last row is `filtered`
        # Chosen anew in each sample, it would be chosen twice, and lie above its own value.
        table_BR = np.concatenate([table_BR, table_BR[:, [fixed, best]]], axis=1)
        complete[name] = (table_BR[0], table_BR[1:])
    return complete


def _relative_accuracy(possible_PR: Array, impossible_PR: Array, weights_BP: Array) -> Array:
    right_PR = (possible_PR < impossible_PR).astype(np.float64)  # as published, equal losses are wrong
    return weights_BP @ right_PR / weights_BP.sum(axis=1, keepdims=True)


def _auroc(possible_PR: Array, impossible_PR: Array, weights_BP: Array) -> Array:
    """Probability that an impossible video has a greater loss than a possible one, half for equals (Mann and Whitney)."""
    columns = []
    for possible_P, impossible_P in zip(possible_PR.T, impossible_PR.T, strict=True):
        above = (possible_P[:, None] < impossible_P) + 0.5 * (possible_P[:, None] == impossible_P)
        columns.append(((weights_BP @ above) * weights_BP).sum(axis=1) / weights_BP.sum(axis=1) ** 2)
    return np.stack(columns, axis=1)


def _absolute_accuracy(possible_PR: Array, impossible_PR: Array, set_P: NDArray[np.int64]) -> Array:
    threshold_R = _threshold(possible_PR)
    return ((possible_PR < threshold_R).mean(axis=0) + (impossible_PR > threshold_R).mean(axis=0)) / 2


def _held_out_accuracy(possible_PR: Array, impossible_PR: Array, set_P: NDArray[np.int64]) -> Array:
    """Every other set gives the threshold for the rest, and the other way round; NaN of one set alone."""
    right_R, odd_P = np.zeros(possible_PR.shape[1]), set_P % 2 == 1
    if odd_P.all() or not odd_P.any():
        return np.full_like(right_R, np.nan)
    for tested_P in (odd_P, ~odd_P):
        threshold_R = _threshold(possible_PR[~tested_P])
        right_R += (possible_PR[tested_P] < threshold_R).sum(axis=0)
        right_R += (impossible_PR[tested_P] > threshold_R).sum(axis=0)
    return right_R / (2 * len(set_P))


def _threshold(possible_PR: Array) -> Array:
    """The order statistic of the published code; where it asks for one beyond the last (fewer than ten), the last."""
    place = min(math.ceil(QUANTILE * len(possible_PR)), len(possible_PR) - 1)
    return np.sort(possible_PR, axis=0)[place]


def _table(metrics: Mapping[str, tuple[Array, Array]], contexts: Sequence[int]) -> Table:
    rows = [*map(str, contexts), "filtered", "fixed", "best"]
    return {
        row: {
            name: _metric(values_R[r], samples_BR[:, r]) for name, (values_R, samples_BR) in metrics.items()
        }
        for r, row in enumerate(rows)
    }


def _metric(value: float, samples_B: Array) -> Metric:
    low, high = np.quantile(samples_B, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Metric(float(value), float(low), float(high))


def _mean_table(tables: Sequence[Table]) -> Table:
    return {
        row: {name: _mean_metric([table[row][name].value for table in tables]) for name in metrics}
        for row, metrics in tables[0].items()
    }


def _mean_metric(values: Sequence[float]) -> Metric:
    if any(math.isnan(value) for value in values):
        return Metric(math.nan)
    mean = estimate(values)
    return Metric(mean.mean, mean.low, mean.high)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
