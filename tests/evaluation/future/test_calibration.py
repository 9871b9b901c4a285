"""Calibration of samples whose calibration is known."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from vjepa.evaluation.future.calibration import (
    calibration,
    coverage,
    energy_score,
    energy_scores,
    expected_coverage,
    rank_histogram,
    spread_skill,
)


def gaussians(videos=600, samples=19, numbers=3, width=1.0, seed=0):
    """Truths about a place of their own, and samples about the same place, `width` times as wide."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(videos, 1, numbers))
    drawn = place + width * rng.normal(size=(videos, samples, numbers))
    return drawn, place[:, 0] + rng.normal(size=(videos, numbers)), place[:, 0]


@pytest.mark.parametrize(("samples", "level"), [(19, 0.9), (9, 0.8), (4, 0.6), (100, 0.9)])
def test_calibrated_samples_cover_as_they_should(samples, level):
    drawn, truth, _ = gaussians(samples=samples)
    assert expected_coverage(samples, level) == pytest.approx(level, abs=0.01)
    found = coverage(drawn, truth, level)
    assert found.low < expected_coverage(samples, level) < found.high
    assert found.high - found.low < 0.08
    _, _, ratio = spread_skill(drawn, truth)
    assert ratio.low < 1 < ratio.high


def test_what_few_samples_can_cover():
    """Between the least and the greatest of R are R - 1 of the R + 1 pieces of the line."""
    assert [expected_coverage(samples, 0.99) for samples in (2, 4, 9)] == pytest.approx(
        [1 / 3, 3 / 5, 8 / 10]
    )
    assert expected_coverage(9, 0.01) == pytest.approx(2 / 10)


@pytest.mark.parametrize(("width", "closer"), [(0.5, True), (2.0, False)])
def test_samples_that_are_too_close_or_too_far_apart_are_exposed(width, closer):
    drawn, truth, _ = gaussians(width=width)
    found, (spread, error, ratio) = coverage(drawn, truth, 0.9), spread_skill(drawn, truth)
    ranks = rank_histogram(drawn, truth)
    ends, flat = ranks[[0, -1]].mean(), ranks.sum() / len(ranks)
    if closer:
        assert found.high < 0.8
        assert ratio.high < 0.8
        assert ends > 2 * flat
    else:
        assert found.low > 0.95
        assert ratio.low > 1.2
        assert ends < flat / 2
    assert ratio.value == pytest.approx(spread.value / error.value)


def test_ranks_of_calibrated_samples_are_flat():
    drawn, truth, _ = gaussians(videos=2000, samples=4, numbers=1)
    ranks = rank_histogram(drawn, truth)
    assert ranks.sum() == 2000
    assert stats.chisquare(ranks).pvalue > 0.01
    assert rank_histogram([[[1.0], [2.0]]], [[1.5]]).tolist() == [0, 1, 0]


def test_the_energy_score_is_what_paper_and_pencil_say():
    samples, truth = [[[0.0, 0.0], [3.0, 4.0]]], [[0.0, 0.0]]
    assert energy_scores(samples, truth).tolist() == [pytest.approx(5 / 2 - 5 / 2)]
    samples, truth = [[[0.0], [1.0], [5.0]]], [[2.0]]
    assert energy_scores(samples, truth).tolist() == [pytest.approx((2 + 1 + 3) / 3 - (1 + 5 + 4) / 6)]
    assert energy_scores([[[3.0, 4.0]]], [[0.0, 0.0]]).tolist() == [5.0]  # one prediction: its error


def test_the_energy_score_of_a_gaussian_does_not_depend_on_the_number_of_samples():
    """E|x - y| - E|x - x'| / 2 of standard normals is 1 / sqrt(pi)."""
    for samples in (2, 20):
        drawn, truth, _ = gaussians(videos=4000, samples=samples, numbers=1)
        found = energy_score(drawn, truth)
        assert found.low < 1 / math.sqrt(math.pi) < found.high


def test_several_against_one():
    """Against the best single prediction, the place itself, calibrated samples gain.

    Samples that are alike do not.
    """
    drawn, truth, place = gaussians()
    found = calibration(drawn, truth, place)
    assert found.gain.low > 0
    assert found.gain.value == pytest.approx(found.single_score.value - found.energy_score.value)
    assert found.single_error.value == pytest.approx(1, abs=0.05)
    alike = calibration(np.repeat(place[:, None], 19, axis=1), truth, place)
    assert alike.gain.value == pytest.approx(0)
    assert alike.coverage.value == 0
    assert alike.spread_over_error.value == pytest.approx(0)


def test_the_record_is_plain_json_and_the_same_each_time():
    drawn, truth, place = gaussians(videos=40)
    record = calibration(drawn, truth, place).to_json()
    assert json.loads(json.dumps(record)) == record == calibration(drawn, truth, place).to_json()
    assert (record["videos"], record["samples"], len(record["ranks"])) == (40, 19, 20)
    assert record["coverage"].keys() == {"value", "low", "high"}
    assert calibration(drawn, truth).to_json()["gain"] is None


def test_what_cannot_be_measured_is_refused():
    drawn, truth, _ = gaussians(videos=5)
    with pytest.raises(ValueError, match=r"give \(videos, samples, numbers\)"):
        calibration(drawn, truth[:4])
    with pytest.raises(ValueError, match="give 2 or more"):
        calibration(drawn[:, :1], truth)
    with pytest.raises(ValueError, match="not finite"):
        calibration(drawn, truth * np.nan)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        calibration(drawn, truth, level=1.0)
