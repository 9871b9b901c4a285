"""The first sentences of a report, made from its figures: is predicting embeddings or pixels better?"""

from __future__ import annotations

from collections.abc import Sequence

from vjepa.evaluation.statistics import Metric
from vjepa.recipes.compare.cells import base_videos
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_words import (
    Named,
    accuracy,
    budget_phrase,
    difference_phrase,
    factor,
    headline,
    predicts,
    shares_of,
)
from vjepa.recipes.compare.results import Results


def answer(comparison: CompareConfig, results: Results) -> list[str]:
    """Return the paragraphs that answer the question of the comparison."""
    rivals = [pair for pair in comparison.contrasts if _is_rivalry(comparison, results, pair)]
    others = [pair for pair in comparison.contrasts if pair not in rivals]
    shown = headline(comparison)
    paragraphs = []
    if rivals:
        paragraphs.append(
            f"Embeddings or pixels? {_verdict(comparison, results, rivals, shown)} By {shown.name}: "
            f"{_differences(comparison, results, rivals, shown)}"
        )
        paragraphs += [
            f"By {metric.name}: {_differences(comparison, results, rivals, metric)}"
            for metric in _further(comparison)
        ]
    if others:
        paragraphs.append(
            f"Other contrasts, by {shown.name}: {_differences(comparison, results, others, shown)}"
        )
    return [*paragraphs, *_on_sweep(comparison, results, shown), _on_intervals(comparison, results)]


def _is_rivalry(comparison: CompareConfig, results: Results, pair: tuple[str, str]) -> bool:
    """Return whether one arm of a pair predicts embeddings and the other pixels."""
    return {predicts(results, base_videos(comparison), arm) for arm in pair} == {"embeddings", "pixels"}


def _further(comparison: CompareConfig) -> list[Named]:
    """Return the metrics with sentences of their own, beside the first one."""
    metrics = [accuracy(measure, shares_of(comparison, measure)[-1]) for measure in comparison.measures[1:]]
    if comparison.synthetic:
        metrics += [factor("velocity", 0), factor("position", max(comparison.horizons))]
    return metrics


def _verdict(
    comparison: CompareConfig, results: Results, pairs: Sequence[tuple[str, str]], shown: Named
) -> str:
    """Return the answer in a sentence: which is higher, in how many of the contrasts."""
    videos, won = base_videos(comparison), {"embeddings": 0, "pixels": 0}
    for first, second in pairs:
        metric = results.difference(videos, first, second, shown.path)
        if metric is not None and metric.excludes_zero:
            winner = predicts(results, videos, first if metric.value > 0 else second)
            assert winner is not None
            won[winner] += 1
    undecided = len(pairs) - sum(won.values())
    parts = [f"{what} are better in {count}" for what, count in won.items() if count]
    if not parts:
        return "On these videos no difference is found."
    rest = f", and no difference is found in {undecided}" if undecided else ""
    return f"On these videos, of {len(pairs)} contrasts, {' and '.join(parts)}{rest}."


def _differences(
    comparison: CompareConfig, results: Results, pairs: Sequence[tuple[str, str]], of: Named
) -> str:
    """Return a metric's differences of pairs of arms in one sentence."""
    videos = base_videos(comparison)
    phrases = []
    for pair in pairs:
        metric = results.difference(videos, *pair, of.path)
        if metric is not None:
            titles = [comparison.arms[arm].title for arm in pair]
            phrases.append(difference_phrase(titles, metric, of, budget_phrase(results, videos, *pair)))
    return "; ".join(phrases) + "." if phrases else "not measured for both arms."


def _on_sweep(comparison: CompareConfig, results: Results, shown: Named) -> list[str]:
    """Return a sentence for each curve of the sweep and each contrast in it: how the difference changes."""
    sweep = comparison.sweep
    if sweep is None:
        return []
    sentences = []
    for regime in dict.fromkeys(point.regime for point in sweep.points.values()):
        names = [name for name in sweep.points if sweep.points[name].regime == regime]
        names.sort(key=lambda name: sweep.points[name].strength)
        for pair in (pair for pair in comparison.contrasts if set(pair) <= set(sweep.arms)):
            ends = [results.difference([name], *pair, shown.path) for name in (names[0], names[-1])]
            if len(names) > 1 and ends[0] is not None and ends[1] is not None:
                titles = [comparison.arms[arm].title for arm in pair]
                words = [_signed(metric, shown) for metric in ends if metric is not None]
                strengths = [sweep.points[name].strength for name in (names[0], names[-1])]
                sentences.append(
                    f"As {regime} rises from {strengths[0]:g} to {strengths[1]:g}, {titles[0]} minus "
                    f"{titles[1]} goes from {words[0]} to {words[1]}, by {shown.name}."
                )
    return [" ".join(sentences)] if sentences else []


def _signed(metric: Metric, of: Named) -> str:
    low, high = of.scale * metric.low, of.scale * metric.high
    return f"{of.scale * metric.value:+z{of.style}}{of.unit} ({low:+{of.style}} to {high:+{of.style}})"


def _on_intervals(comparison: CompareConfig, results: Results) -> str:
    """Return what the intervals cover."""
    videos = base_videos(comparison)
    count, groups = results.tested(videos, next(iter(comparison.arms)))
    of_groups = "" if groups == count else f" of {groups} groups"
    splits = "1 split" if len(videos) == 1 else f"{len(videos)} splits"
    return (
        f"Intervals are of 95 %, over {splits}, {len(comparison.seeds)} seeds and {count} test "
        f"videos{of_groups}; runs of two arms are paired by split, seed and test video. An interval that "
        "includes 0 means that no difference is found, not that there is none; of many intervals, some "
        "exclude 0 by chance."
    )
