"""Figures of a report in words: names of metrics, numbers with intervals, and sentences about differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vjepa.evaluation.probes.factors import MOVING, NUISANCE, SIGNAL
from vjepa.evaluation.statistics import Metric
from vjepa.recipes.compare.config import CompareConfig, Measure
from vjepa.recipes.compare.results import Results

MEASURES: dict[Measure, str] = {
    "ridge": "ridge regression",
    "knn": "k-NN",
    "attentive": "attentive probe",
    "finetune": "fine-tuning",
}


class Named(NamedTuple):
    """A metric with its name in the report.

    Attributes:
        path: Path of the metric, see `vjepa.recipes.compare.results.Results`.
        name: Name of the metric.
        scale: Factor by which the metric is multiplied for display.
        style: Format of the number.
        unit: Unit of a difference, with a space before it; empty for a number without a unit.
    """

    path: str
    name: str
    scale: float = 1.0
    style: str = ".2f"
    unit: str = ""


def labels_phrase(share: float) -> str:
    """Return a share of the labels in words."""
    return "all labels" if share == 1 else f"{100 * share:g} % of the labels"


def shares_of(comparison: CompareConfig, measure: Measure) -> list[float]:
    """Return the shares of the labels with which a measure is taken, the largest at the end."""
    return [1.0] if measure == "finetune" else sorted(comparison.label_shares)


def accuracy(measure: Measure, share: float) -> Named:
    """Return the metric of the accuracy of a measure with a share of the labels."""
    name = f"{MEASURES[measure]}, {labels_phrase(share)}"
    return Named(f"accuracy/{measure}/{share:g}", name, 100.0, ".1f", " points")


def headline(comparison: CompareConfig) -> Named:
    """Return the metric of the report's first sentences: the first measure with the most labels."""
    measure = comparison.measures[0]
    return accuracy(measure, shares_of(comparison, measure)[-1])


def factor(name: str, ahead: int) -> Named:
    """Return the metric of a factor that is read some frames after the clip."""
    when = "" if not ahead else f" {ahead} frames ahead"
    return Named(f"factors/{name}/{ahead}/r2", f"R² of {name}{when}")


def moving_factors(comparison: CompareConfig) -> list[Named]:
    """Return the metrics of the factors that change through a video, at all horizons."""
    return [factor(name, ahead) for name in MOVING for ahead in sorted(comparison.horizons)]


def all_metrics(comparison: CompareConfig) -> list[Named]:
    """Return all metrics in which arms are compared."""
    found = [
        accuracy(measure, share)
        for measure in comparison.measures
        for share in reversed(shares_of(comparison, measure))
    ]
    if comparison.synthetic:
        found += moving_factors(comparison)
        found += [factor(name, 0) for name in (*SIGNAL, *NUISANCE) if name not in MOVING]
    return [
        *found,
        Named("pixels", "R² of pixels, linear read-out of tokens"),
        Named("features/rank", "effective rank of features", style=".1f"),
    ]


def with_interval(metric: Metric | None, of: Named) -> str:
    """Return a metric and its interval, such as ``86.3 (84.0 to 88.7)``; ``-`` for None."""
    if metric is None:
        return "-"
    # "z" removes the sign of what rounds to zero, but for the ends of an interval it shows the side of 0.
    value = f"{of.scale * metric.value:z{of.style}}"
    if metric.low != metric.low:
        return value
    return f"{value} ({of.scale * metric.low:{of.style}} to {of.scale * metric.high:{of.style}})"


def difference_phrase(titles: Sequence[str], metric: Metric, of: Named, budget: str = "") -> str:
    """Return a difference of two arms in words, without a full stop.

    Args:
        titles: Titles of the two arms.
        metric: Metric of the first arm minus that of the second.
        of: Which metric it is.
        budget: What the arms have in common, such as ``at equal clips``.
    """
    above, where = metric.value >= 0, f" {budget}" if budget else ""
    sign = of.scale if above else -of.scale
    size = f"{abs(of.scale * metric.value):{of.style}}{of.unit}"
    ends = sorted((sign * metric.low, sign * metric.high))
    side, interval = (
        "above" if above else "below",
        f"95 % interval {ends[0]:{of.style}} to {ends[1]:{of.style}}",
    )
    if metric.excludes_zero:
        return f"{titles[0]} is {size} {side} {titles[1]}{where} ({interval})"
    return (
        f"no difference between {titles[0]} and {titles[1]} is found{where}: {titles[0]} is {size} {side} "
        f"({interval})"
    )


def budget_phrase(results: Results, videos: Sequence[str], first: str, second: str) -> str:
    """Return what the training of two arms has in common; empty unless both are trained."""
    ratios = []
    for path in ("cost/clips", "cost/total_flops"):
        parts = [results.metric(videos, arm, path) for arm in (first, second)]
        if parts[0] is None or parts[1] is None:
            return ""
        ratios.append(parts[0].value / parts[1].value)
    clips, flops = (abs(ratio - 1) < 0.01 for ratio in ratios)
    if clips or flops:
        return "at equal " + " and ".join(
            word for word, equal in (("clips", clips), ("FLOPs", flops)) if equal
        )
    return f"with {ratios[0]:.2g} times the clips and {ratios[1]:.2g} times the FLOPs"


def predicts(results: Results, videos: Sequence[str], arm: str) -> str | None:
    """Return what a trained arm predicts, `embeddings` (of tokens or views) or `pixels`; None for others."""
    if results.metric(videos, arm, "cost/clips") is None:
        return None
    return "pixels" if results.config(videos, arm)["objective"]["predict"] == "pixels" else "embeddings"
