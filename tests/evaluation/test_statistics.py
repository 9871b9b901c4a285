"""Intervals and verdicts, against numbers that can be looked up."""

import math

import pytest

from vjepa.evaluation.statistics import estimate, paired_difference


def test_the_interval_is_student_s():
    value = estimate([1.0, 2.0, 3.0])
    assert value.mean == 2
    assert value.half == pytest.approx(4.303 * 1 / math.sqrt(3), rel=1e-3)  # t of two degrees of freedom
    assert (value.low, value.high) == (pytest.approx(-0.484, abs=1e-3), pytest.approx(4.484, abs=1e-3))


def test_one_seed_has_no_interval():
    assert math.isnan(estimate([0.5]).half)
    assert not paired_difference([1.0], [0.0]).shows


def test_a_difference_shows_only_where_the_interval_leaves_zero_out():
    assert paired_difference([0.9, 0.8, 0.7], [0.4, 0.31, 0.2]).shows
    assert paired_difference([0.2, 0.31, 0.4], [0.7, 0.8, 0.9]).shows
    assert not paired_difference([0.9, 0.2, 0.7], [0.4, 0.6, 0.5]).shows


def test_seeds_are_paired():
    """What all seeds share does not widen the interval of the difference."""
    assert paired_difference([0.1, 0.5, 0.9], [0.0, 0.4, 0.8]).shows
