"""Intervals, against numbers that can be looked up, other programs, and worlds whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from vjepa.evaluation.statistics import Metric, Recognised, balanced_metric, crossed_metric, estimate


def test_the_interval_is_student_s():
    value = estimate([1.0, 2.0, 3.0])
    assert value.mean == 2
    assert value.half == pytest.approx(4.303 * 1 / math.sqrt(3), rel=1e-3)  # t of two degrees of freedom
    assert (value.low, value.high) == (pytest.approx(-0.484, abs=1e-3), pytest.approx(4.484, abs=1e-3))


def test_one_seed_has_no_interval():
    assert math.isnan(estimate([0.5]).half)
    assert not crossed_metric([[1.0]]).excludes_zero


def test_a_difference_is_found_only_if_the_interval_excludes_zero():
    assert crossed_metric([[0.5, 0.49, 0.5]]).excludes_zero
    assert crossed_metric([[-0.5, -0.49, -0.5]]).excludes_zero
    assert not crossed_metric([[0.5, -0.4, 0.2]]).excludes_zero
    assert not Metric(0.1, 0.0, 0.2).excludes_zero


def same(metric, reference):
    assert (metric.low, metric.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_seeds_alone_or_splits_alone_have_student_s_interval():
    values = np.random.default_rng(0).normal(0.4, 0.1, size=5)
    reference = stats.ttest_1samp(values, 0).confidence_interval()
    same(crossed_metric(values[None]), reference)
    same(crossed_metric(values[:, None]), reference)


def test_videos_alone_have_student_s_interval_over_their_groups():
    """One class, one run, groups of equal size: the mean over groups, as a t-test has it."""
    hits = np.random.default_rng(0).integers(0, 2, size=(12, 3)).astype(float)
    groups = np.repeat([f"person {number}" for number in range(12)], 3)
    metric = balanced_metric([Recognised(hits.reshape(1, -1), ["walk"] * 36, groups.tolist())])
    assert metric.value == pytest.approx(hits.mean())
    same(metric, stats.ttest_1samp(hits.mean(axis=1), 0).confidence_interval())


def test_classes_count_alike_whatever_their_number_of_videos():
    labels = ["common"] * 90 + ["rare"] * 10
    hits = np.array([[1.0] * 90 + [0.0] * 10])
    assert balanced_metric([Recognised(hits, labels, list(map(str, range(100))))]).value == 0.5


def test_a_split_of_one_group_and_a_class_of_one_group_can_be_measured():
    one = Recognised(np.array([[1.0, 0.0]]), ["a", "b"], ["room", "room"])
    other = Recognised(np.array([[1.0, 1.0, 0.0]]), ["a", "b", "b"], ["x", "y", "z"])
    metric = balanced_metric([one, other])
    assert metric.value == pytest.approx((0.5 + 0.75) / 2)
    assert metric.low < metric.value < metric.high


def world(rng, splits, seeds, spreads, truth):
    """Differences of two arms on videos of 60 groups, a third of which each split tests."""
    of_split, of_seed, of_run, of_group = spreads
    group_effects = rng.normal(0, of_group, 60)
    order = rng.permutation(60)
    effects = rng.normal(0, of_split, (splits, 1)) + rng.normal(0, of_seed, seeds)
    effects = effects + rng.normal(0, of_run, (splits, seeds))
    parts = []
    for split in range(splits):
        tested = np.repeat(order[split::3], 3)
        chance = truth + effects[split][:, None] + group_effects[tested]
        differ = rng.random(chance.shape)
        # Two arms differ on some four videos in ten, and one of them is right on these.
        hits = np.where(differ < (0.4 + chance) / 2, 1.0, np.where(differ < 0.4, -1.0, 0.0))
        parts.append(Recognised(hits, (tested % 4).tolist(), tested.tolist()))
    return parts


@pytest.mark.parametrize(
    ("splits", "seeds", "spreads"),
    [
        (3, 3, (0.0, 0.0, 0.0, 0.05)),
        (3, 3, (0.03, 0.03, 0.03, 0.05)),
        (3, 3, (0.0, 0.08, 0.02, 0.0)),
        (1, 5, (0.0, 0.08, 0.0, 0.0)),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(splits, seeds, spreads):
    rng, truth = np.random.default_rng(5), 0.05
    metrics = [balanced_metric(world(rng, splits, seeds, spreads, truth)) for _ in range(120)]
    held = np.mean([metric.low <= truth <= metric.high for metric in metrics])
    assert held >= 0.91
    # And it is no wider than the spread of the values asks for: not twice what would do.
    spread = np.std([metric.value for metric in metrics])
    assert np.median([metric.high - metric.low for metric in metrics]) < 2 * 2 * 1.96 * spread


def test_what_all_runs_share_does_not_widen_the_interval_of_a_difference():
    """Seeds differ by ten times the difference of the arms, and are paired."""
    first = np.array([[0.1, 0.5, 0.9]])
    assert crossed_metric(first - (first - 0.05)).low == pytest.approx(0.05)
