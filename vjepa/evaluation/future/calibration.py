"""Calibration of sampled futures: measures of samples against the truth.

The predicted numbers may be anything, such as embeddings or positions that were read off them. The order of a
video's samples has no meaning. Intervals are 95 % intervals over videos, from 1,000 seeded bootstrap draws.
Whole videos are drawn, since the numbers of one video depend on each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa.evaluation.statistics import Metric, interval

Array = NDArray[np.float64]

_DRAWS = 1000
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Metrics of samples against the truth, in the units of the predicted numbers.

    Attributes:
        videos: Number of videos.
        samples: Number of samples of each video.
        level: Nominal coverage of the central interval, in (0, 1).
        expected_coverage: Expected share of truths inside the central interval if they came from the same
            distribution as the samples.
        coverage: Measured share of truths inside the central interval; lower than `expected_coverage` if the
            samples are too close to each other.
        energy_score: Energy score of the samples; lower is better.
        spread: Root mean square spread of the samples, see `spread_skill`.
        error: Root mean square error of the samples' mean.
        spread_over_error: Ratio of `spread` to `error`; 1 for calibrated samples, lower if they are too close
            to each other.
        ranks: Counts of the truths' ranks among the samples, see `rank_histogram`.
        single_score: Energy score of the single prediction: its mean distance from the truth.
        single_error: Root mean square error of the single prediction.
        gain: Energy score of the single prediction minus that of the samples, paired by video.

    The last three are None if no single prediction was given.
    """

    videos: int
    samples: int
    level: float
    expected_coverage: float
    coverage: Metric
    energy_score: Metric
    spread: Metric
    error: Metric
    spread_over_error: Metric
    ranks: tuple[int, ...]
    single_score: Metric | None = None
    single_error: Metric | None = None
    gain: Metric | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as plain numbers, lists and dictionaries."""
        return {**dataclasses.asdict(self), "ranks": list(self.ranks)}


def calibration(
    samples_VsQ: ArrayLike, truth_VQ: ArrayLike, single_VQ: ArrayLike | None = None, level: float = 0.9
) -> Calibration:
    """Measure samples ``(V, s, Q)``, two or more of each video, against the truth ``(V, Q)``.

    Args:
        samples_VsQ: Finite predictions. The widest central interval of s samples has the level
            ``(s - 1) / (s + 1)``.
        truth_VQ: Finite true values.
        single_VQ: Prediction of a model, or mode, that predicts a single future; None leaves the comparison
            out.
        level: Nominal coverage of the central interval, in (0, 1).

    Raises:
        ValueError: Shapes do not match, there are fewer than two samples, a number is not finite, or `level`
            is outside (0, 1).
    """
    samples_VsQ, truth_VQ = _checked(samples_VsQ, truth_VQ, fewest=2)
    score_V = energy_scores(samples_VsQ, truth_VQ)
    spread, error, ratio = spread_skill(samples_VsQ, truth_VQ)
    against_single = {}
    if single_VQ is not None:
        single_V1Q, _ = _checked(np.asarray(single_VQ)[:, None], truth_VQ, fewest=1)
        single_V = energy_scores(single_V1Q, truth_VQ)
        squared_V = np.square(single_V1Q[:, 0] - truth_VQ).mean(axis=1)
        against_single = {
            "single_score": _metric(single_V),
            "single_error": _metric(squared_V, np.sqrt),
            "gain": _metric(single_V - score_V),
        }
    return Calibration(
        videos=len(truth_VQ), samples=samples_VsQ.shape[1], level=level,
        expected_coverage=expected_coverage(samples_VsQ.shape[1], level),
        coverage=coverage(samples_VsQ, truth_VQ, level), energy_score=_metric(score_V),
        spread=spread, error=error, spread_over_error=ratio,
        ranks=tuple(rank_histogram(samples_VsQ, truth_VQ).tolist()), **against_single,
    )  # fmt: skip


def expected_coverage(num_samples: int, level: float) -> float:
    """Return the expected share of truths in the central interval of calibrated samples.

    If the truth comes from the same distribution as the s samples, it is equally likely in each of the s + 1
    pieces into which they cut the line: it lies between the i-th and the j-th smallest sample with
    probability ``(j - i) / (s + 1)``. Of the intervals that leave out as many samples below as above, the one
    nearest to `level` is used.
    """
    low, high = _order(num_samples, level)
    return (high - low) / (num_samples + 1)


def coverage(samples_VsQ: ArrayLike, truth_VQ: ArrayLike, level: float = 0.9) -> Metric:
    """Measure the share of truths inside the samples' central interval; compare `expected_coverage`."""
    samples_VsQ, truth_VQ = _checked(samples_VsQ, truth_VQ, fewest=2)
    low, high = _order(samples_VsQ.shape[1], level)
    sorted_VsQ = np.sort(samples_VsQ, axis=1)
    inside_VQ = (sorted_VsQ[:, low - 1] <= truth_VQ) & (truth_VQ <= sorted_VsQ[:, high - 1])
    return _metric(inside_VQ.mean(axis=1))


def energy_scores(samples_VsQ: ArrayLike, truth_VQ: ArrayLike) -> Array:
    """Compute the energy score of each video, ``(V,)``; lower is better.

    For s samples x and the truth y it is ``mean_i |x_i - y| - 1 / (2 s (s - 1)) * sum_{i != j} |x_i - x_j|``.
    This form is unbiased, so different numbers of samples can be compared (Gneiting and Raftery 2007, eq.
    22). Norms are Euclidean over the Q numbers, which should be on one scale; for Q = 1 the score is the
    CRPS. A single prediction has no second term: its score is its distance from the truth.
    """
    samples_VsQ, truth_VQ = _checked(samples_VsQ, truth_VQ, fewest=1)
    num_samples = samples_VsQ.shape[1]
    score_V: Array = np.linalg.norm(samples_VsQ - truth_VQ[:, None], axis=-1).mean(axis=1)
    if num_samples > 1:
        apart_V = np.zeros(len(samples_VsQ))
        for number in range(num_samples):
            apart_V += np.linalg.norm(samples_VsQ - samples_VsQ[:, number, None], axis=-1).sum(axis=1)
        score_V = score_V - apart_V / (2 * num_samples * (num_samples - 1))
    return score_V


def energy_score(samples_VsQ: ArrayLike, truth_VQ: ArrayLike) -> Metric:
    """Average `energy_scores` over the videos, with an interval."""
    return _metric(energy_scores(samples_VsQ, truth_VQ))


def spread_skill(samples_VsQ: ArrayLike, truth_VQ: ArrayLike) -> tuple[Metric, Metric, Metric]:
    """Measure the samples' spread, the error of their mean, and the ratio, which is 1 if calibrated.

    The spread is the square root of the samples' mean variance times ``(s + 1) / s``; the factor accounts for
    the sampling error of a mean of s samples (Fortin et al. 2014). The error is the root mean square error.
    Both average over numbers and videos before the root.
    """
    samples_VsQ, truth_VQ = _checked(samples_VsQ, truth_VQ, fewest=2)
    num_samples = samples_VsQ.shape[1]
    variance_V = samples_VsQ.var(axis=1, ddof=1).mean(axis=1) * (num_samples + 1) / num_samples
    squared_V = np.square(samples_VsQ.mean(axis=1) - truth_VQ).mean(axis=1)
    ratio = _metric(
        np.stack([variance_V, squared_V], axis=1),
        lambda mean_m: np.sqrt(mean_m[..., 0] / np.maximum(mean_m[..., 1], 1e-24)),
    )
    return _metric(variance_V, np.sqrt), _metric(squared_V, np.sqrt), ratio


def rank_histogram(samples_VsQ: ArrayLike, truth_VQ: ArrayLike) -> NDArray[np.int64]:
    """Count the truths that have 0, 1, ..., s samples below them: ``(s + 1,)`` with the sum ``V * Q``.

    The histogram is flat for calibrated samples. It is high at both ends if they are too close to each other,
    high in the middle if they are too far apart, and high at one end if they are biased to the other side
    (Hamill 2001).
    """
    samples_VsQ, truth_VQ = _checked(samples_VsQ, truth_VQ, fewest=1)
    rank_VQ = (samples_VsQ < truth_VQ[:, None]).sum(axis=1)
    return np.bincount(rank_VQ.ravel(), minlength=samples_VsQ.shape[1] + 1)


def _order(num_samples: int, level: float) -> tuple[int, int]:
    """Return the ranks, from 1, of the two samples that bound the central interval nearest to the level."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: give a share in (0, 1)")
    if num_samples < 2:
        raise ValueError(f"{num_samples} sample of each video has no interval: give 2 or more")
    lowest = round((num_samples + 1) * (1 - level) / 2)
    low = min(max(lowest, 1), num_samples // 2)
    return low, num_samples + 1 - low


def _checked(samples_VsQ: ArrayLike, truth_VQ: ArrayLike, fewest: int) -> tuple[Array, Array]:
    samples, truth = np.asarray(samples_VsQ, dtype=np.float64), np.asarray(truth_VQ, dtype=np.float64)
    if samples.ndim != 3 or truth.shape != samples.shape[::2] or 0 in samples.shape:
        raise ValueError(
            f"samples have the shape {samples.shape} and the truth {truth.shape}: give (videos, samples, "
            "numbers) and (videos, numbers)"
        )
    if samples.shape[1] < fewest:
        raise ValueError(f"{samples.shape[1]} sample of each video has no spread: give {fewest} or more")
    if not np.isfinite(samples).all() or not np.isfinite(truth).all():
        raise ValueError("samples or truth are not finite: leave such videos out, of both")
    return samples, truth


def _metric(values_Vm: Array, of_means: Callable[[Array], Any] = lambda mean_m: mean_m) -> Metric:
    """Compute a function of means over the videos, with its bootstrap interval."""
    rng, count = np.random.default_rng(_SEED), len(values_Vm)
    drawn = [of_means(values_Vm[rng.integers(count, size=count)].mean(axis=0)) for _ in range(_DRAWS)]
    return interval(of_means(values_Vm.mean(axis=0)), drawn)
