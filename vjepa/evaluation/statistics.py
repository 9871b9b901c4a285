"""Metrics and their intervals; of seeds: means, and whether a difference shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric:
    """A value and its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its interval by Student's t; NaN of one seed alone."""

    mean: float
    half: float
    count: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of values that differ by their seed alone."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean, math.nan, count)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Estimate(mean, quantile * deviation / math.sqrt(count), count)


@dataclass(frozen=True)
class Difference:
    """First minus second arm, seed by seed: both have seen the same clips in the same order."""

    estimate: Estimate

    @property
    def shows(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.estimate.low > 0 or self.estimate.high < 0


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The difference of two arms with the same seeds in the same order."""
    return Difference(estimate([a - b for a, b in zip(first, second, strict=True)]))
