"""Metrics with 95 % intervals, and means and differences over random seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric:
    """A measured number and its 95 % interval.

    Attributes:
        value: Measured number; NaN if it cannot be measured.
        low: Lower end of the interval; NaN if there is no interval.
        high: Upper end of the interval; NaN if there is no interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


def interval(value: float, draws_b: ArrayLike) -> Metric:
    """Return a metric whose interval is the central 95 % of its bootstrap draws."""
    low, high = np.quantile(np.asarray(draws_b), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Metric(float(value), float(low), float(high))


@dataclass(frozen=True)
class Estimate:
    """Mean over random seeds, with a 95 % interval by Student's t.

    Attributes:
        mean: Mean over the seeds.
        half: Half the width of the interval; NaN for a single seed.
        count: Number of seeds.
    """

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
    """Compute the mean and 95 % interval of values from runs that differ only in their random seed."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean, math.nan, count)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Estimate(mean, quantile * deviation / math.sqrt(count), count)


@dataclass(frozen=True)
class Difference:
    """Difference between two arms of a comparison: the first minus the second, paired by seed.

    Attributes:
        estimate: Mean difference over the seeds, with its interval.
    """

    estimate: Estimate

    @property
    def shows(self) -> bool:
        """Whether the interval excludes 0."""
        return self.estimate.low > 0 or self.estimate.high < 0


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compute the difference of two arms whose values belong to the same seeds, in the same order.

    For each seed, both arms must have seen the same clips in the same order.
    """
    return Difference(estimate([a - b for a, b in zip(first, second, strict=True)]))
