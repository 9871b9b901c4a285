"""Are several predictions spread as what happens is? Measures of samples against the truth.

Of any numbers: positions that were read out of predicted embeddings, or embeddings. Samples are exchangeable: the order
of the R samples of a video means nothing. Intervals are of 95 % and over videos, whose numbers are not independent of
each other: 1,000 seeded bootstrap draws of whole videos.

V videos, R samples of each, F numbers of a sample, X measures of a video.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa.evaluation.statistics import Metric

Array = NDArray[np.float64]

_DRAWS = 1000
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What `calibration` found, in the units of the numbers.

    Attributes:
        videos, samples: V and R.
        level: of the central interval that was asked for.
        expected_coverage: share of truths in it, were they drawn as the samples are.
        coverage: share of truths in it; less where samples are too close to each other.
        energy_score: of the samples; the smaller the better.
        spread: of the samples, and
        error: of their mean; both root mean squares.
        spread_over_error: 1 of calibrated samples, less where they are too close to each other.
        ranks: `rank_histogram`.
        single_score: energy score of the single prediction, which is its mean distance from the truth.
        single_error: root mean square error of the single prediction.
        gain: how much the samples' energy score is below that of the single prediction, video by video.
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

    def as_json(self) -> dict[str, Any]:
        """Numbers, lists and dictionaries alone; None where there was no single prediction."""
        return {**dataclasses.asdict(self), "ranks": list(self.ranks)}


def calibration(
    samples_VRF: ArrayLike, truth_VF: ArrayLike, single_VF: ArrayLike | None = None, level: float = 0.9
) -> Calibration:
    """All measures of samples ``(V, R, F)``, of 2 or more for each video, against the truth ``(V, F)``.

    Args:
        samples_VRF: finite; with R samples no level above ``(R - 1) / (R + 1)`` can be had.
        truth_VF: what happened.
        single_VF: what a model that gives one prediction said of the same videos.
        level: of the central interval, in (0, 1).
    """
    samples_VRF, truth_VF = _checked(samples_VRF, truth_VF, fewest=2)
    score_V = energy_scores(samples_VRF, truth_VF)
    spread, error, ratio = spread_skill(samples_VRF, truth_VF)
    against_single = {}
    if single_VF is not None:
        single_V1F, _ = _checked(np.asarray(single_VF)[:, None], truth_VF, fewest=1)
        single_V = energy_scores(single_V1F, truth_VF)
        squared_V = np.square(single_V1F[:, 0] - truth_VF).mean(axis=1)
        against_single = {
            "single_score": _metric(single_V),
            "single_error": _metric(squared_V, np.sqrt),
            "gain": _metric(single_V - score_V),
        }
    return Calibration(
        videos=len(truth_VF), samples=samples_VRF.shape[1], level=level,
        expected_coverage=expected_coverage(samples_VRF.shape[1], level),
        coverage=coverage(samples_VRF, truth_VF, level), energy_score=_metric(score_V),
        spread=spread, error=error, spread_over_error=ratio,
        ranks=tuple(rank_histogram(samples_VRF, truth_VF).tolist()), **against_single,
    )  # fmt: skip


def expected_coverage(num_samples: int, level: float) -> float:
    """Share of truths in the central interval at `level` of so many samples, were they drawn as the samples are.

    R exchangeable samples cut the line into R + 1 pieces, and the truth is as likely in each: between the i-th and the
    j-th smallest, with a share of ``(j - i) / (R + 1)``. Of the intervals that leave as many samples out below as above,
    the one nearest to `level` is taken.
    """
    low, high = _order(num_samples, level)
    return (high - low) / (num_samples + 1)


def coverage(samples_VRF: ArrayLike, truth_VF: ArrayLike, level: float = 0.9) -> Metric:
    """Share of truths inside the samples' central interval, number by number; to compare with `expected_coverage`."""
    samples_VRF, truth_VF = _checked(samples_VRF, truth_VF, fewest=2)
    low, high = _order(samples_VRF.shape[1], level)
    sorted_VRF = np.sort(samples_VRF, axis=1)
    inside_VF = (sorted_VRF[:, low - 1] <= truth_VF) & (truth_VF <= sorted_VRF[:, high - 1])
    return _metric(inside_VF.mean(axis=1))


def energy_scores(samples_VRF: ArrayLike, truth_VF: ArrayLike) -> Array:
    """Energy score of each video, ``(V,)``: ``mean_r |x_r - y| - 1 / (2 R (R - 1)) * sum_{r != s} |x_r - x_s|``.

    Euclidean norms over the F numbers, so put them on one scale; with one number it is the CRPS. The unbiased form, so that
    different numbers of samples can be compared (Gneiting and Raftery 2007, eq. 22). A single prediction has no other
    to differ from, and its score is its distance from the truth.
    """
    samples_VRF, truth_VF = _checked(samples_VRF, truth_VF, fewest=1)
    num_samples = samples_VRF.shape[1]
    score_V: Array = np.linalg.norm(samples_VRF - truth_VF[:, None], axis=-1).mean(axis=1)
    if num_samples > 1:
        apart_V = np.zeros(len(samples_VRF))
        for number in range(num_samples):
            apart_V += np.linalg.norm(samples_VRF - samples_VRF[:, number, None], axis=-1).sum(axis=1)
        score_V = score_V - apart_V / (2 * num_samples * (num_samples - 1))
    return score_V


def energy_score(samples_VRF: ArrayLike, truth_VF: ArrayLike) -> Metric:
    """Mean of `energy_scores` over the videos."""
    return _metric(energy_scores(samples_VRF, truth_VF))


def spread_skill(samples_VRF: ArrayLike, truth_VF: ArrayLike) -> tuple[Metric, Metric, Metric]:
    """Spread of the samples, error of their mean, and the first over the second, which is 1 of calibrated samples.

    The spread is the root of the samples' mean variance times ``(R + 1) / R``, since the mean of R samples is itself off
    by a part of the spread (Fortin et al. 2014); the error is the root mean square. Both are means over numbers and videos.
    """
    samples_VRF, truth_VF = _checked(samples_VRF, truth_VF, fewest=2)
    num_samples = samples_VRF.shape[1]
    variance_V = samples_VRF.var(axis=1, ddof=1).mean(axis=1) * (num_samples + 1) / num_samples
    squared_V = np.square(samples_VRF.mean(axis=1) - truth_VF).mean(axis=1)
    ratio = _metric(
        np.stack([variance_V, squared_V], axis=1),
        lambda mean_X: np.sqrt(mean_X[..., 0] / np.maximum(mean_X[..., 1], 1e-24)),
    )
    return _metric(variance_V, np.sqrt), _metric(squared_V, np.sqrt), ratio


def rank_histogram(samples_VRF: ArrayLike, truth_VF: ArrayLike) -> NDArray[np.int64]:
    """How often so many samples, 0 to R, are below the truth, ``(R + 1,)``; it sums to ``V F``.

    Flat of calibrated samples; high at both ends where they are too close to each other, in the middle where they are too far
    apart, at one end where they are off to the other side (Hamill 2001).
    """
    samples_VRF, truth_VF = _checked(samples_VRF, truth_VF, fewest=1)
    rank_VF = (samples_VRF < truth_VF[:, None]).sum(axis=1)
    return np.bincount(rank_VF.ravel(), minlength=samples_VRF.shape[1] + 1)


def _order(num_samples: int, level: float) -> tuple[int, int]:
    """Which of the sorted samples, counted from 1, bound the central interval nearest to the level."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: give a share in (0, 1)")
    if num_samples < 2:
        raise ValueError(f"{num_samples} sample of each video has no interval: give 2 or more")
    lowest = round((num_samples + 1) * (1 - level) / 2)
    low = min(max(lowest, 1), num_samples // 2)
    return low, num_samples + 1 - low


def _checked(samples_VRF: ArrayLike, truth_VF: ArrayLike, fewest: int) -> tuple[Array, Array]:
    samples, truth = np.asarray(samples_VRF, dtype=np.float64), np.asarray(truth_VF, dtype=np.float64)
    if samples.ndim != 3 or truth.shape != samples.shape[::2] or 0 in samples.shape:
        raise ValueError(
            f"samples have the shape {samples.shape} and the truth {truth.shape}: give (videos, samples, numbers) and "
            "(videos, numbers)"
        )
    if samples.shape[1] < fewest:
        raise ValueError(f"{samples.shape[1]} sample of each video has no spread: give {fewest} or more")
    if not np.isfinite(samples).all() or not np.isfinite(truth).all():
        raise ValueError("samples or truth are not finite: leave such videos out, of both")
    return samples, truth


def _metric(values_VX: Array, of_means: Callable[[Array], Any] = lambda mean_X: mean_X) -> Metric:
    """A function of means over videos, of all videos and of draws of as many with replacement."""
    rng, count = np.random.default_rng(_SEED), len(values_VX)
    drawn = [of_means(values_VX[rng.integers(count, size=count)].mean(axis=0)) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Metric(float(of_means(values_VX.mean(axis=0))), float(low), float(high))
