"""Accuracies of surprise, against loops written from the published definitions."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from vjepa.evaluation.statistics import estimate
from vjepa.evaluation.violations.accuracy import MatchedLosses, measure_surprise, motion_energy, over_seeds

CONTEXTS = (2, 4, 8)


def draw_sets(kind, count, pairs, shift, seed, windows=6):
    """Losses with ties (they are whole numbers), of videos of different lengths, impossible ones higher by
    `shift`.
    """
    rng = np.random.default_rng(seed)
    return [
        MatchedLosses(
            kind,
            [rng.integers(0, 6, size=(3, windows + video)) for video in range(pairs)],
            [rng.integers(0, 6, size=(3, windows + video)) + shift for video in range(pairs)],
        )
        for _ in range(count)
    ]


SETS = [*draw_sets("one", 13, 2, 1, 0), *draw_sets("two", 8, 1, 0, 1), *draw_sets("recolour", 5, 1, 2, 2)]


def video_losses(sets, row, measure):
    """Of each pair the two videos' losses: a context length's row, or the windows' minima."""
    pairs = []
    for matched in sets:
        for videos in zip(matched.possible, matched.impossible, strict=True):
            losses = []
            for video in videos:
                columns = video.T.tolist()
                windows = [
                    min(column) if row == "filtered" else column[CONTEXTS.index(int(row))]
                    for column in columns
                ]
                losses.append(max(windows) if measure == "max" else sum(windows) / len(windows))
            pairs.append(losses)
    return pairs


@pytest.mark.parametrize("kind", ["one", "two", "recolour"])
@pytest.mark.parametrize("row", ["2", "4", "8", "filtered"])
def test_every_figure_is_that_of_the_definition(kind, row):
    report = measure_surprise(SETS, CONTEXTS, fixed=4)
    sets = [matched for matched in SETS if matched.kind == kind]
    for measure in ("mean", "max"):
        pairs = video_losses(sets, row, measure)
        right = sum(possible < impossible or (possible == impossible) / 2 for possible, impossible in pairs)
        found = report.kinds[kind][row]
        assert found[f"relative_{measure}"].value == pytest.approx(right / len(pairs))
        labels, scores = (
            [0] * len(pairs) + [1] * len(pairs),
            [pair[side] for side in (0, 1) for pair in pairs],
        )
        assert found[f"auroc_{measure}"].value == pytest.approx(roc_auc_score(labels, scores))
    real, fake = zip(*pairs, strict=True)
    threshold = sorted(real)[min(math.ceil(0.9 * len(real)), len(real) - 1)]
    right = sum(loss < threshold for loss in real) + sum(loss > threshold for loss in fake)
    assert found["absolute"].value == pytest.approx(right / (2 * len(pairs)))
    assert math.isnan(found["absolute"].low)


def test_held_out_thresholds_come_from_the_other_half_of_the_sets():
    report = measure_surprise(SETS, CONTEXTS, fixed=4)
    sets, right = [matched for matched in SETS if matched.kind == "one"], 0
    halves = [video_losses(sets[start::2], "8", "max") for start in (0, 1)]
    for fitted, tested in (halves, halves[::-1]):
        real = sorted(possible for possible, _ in fitted)
        threshold = real[min(math.ceil(0.9 * len(real)), len(real) - 1)]
        right += sum((possible < threshold) + (impossible > threshold) for possible, impossible in tested)
    assert report.kinds["one"]["8"]["absolute_held_out"].value == pytest.approx(right / (2 * 26))


def test_best_fixed_and_macro_rows():
    report = measure_surprise(SETS, CONTEXTS, fixed=4)
    plain = report.to_json()
    for table in (*plain["kinds"].values(), plain["macro"]):
        assert table["fixed"] == table["4"] != table["2"]
    for kind, table in report.kinds.items():
        values = {context: table[str(context)]["relative_mean"].value for context in CONTEXTS}
        assert (
            table["best"]["relative_mean"].value == max(values.values()) == values[report.best_context[kind]]
        )
    for row in ("2", "filtered", "fixed", "best"):
        parts = [
            report.kinds[kind][row]["auroc_max"].value for kind in ("one", "two")
        ]  # the control is left out
        assert report.macro[row]["auroc_max"].value == pytest.approx(sum(parts) / 2)
    assert report.counts["one"] == {"sets": 13, "pairs": 26}


def test_severe_violations_are_told_from_slight_ones():
    """Losses that rise with the severity of the sets above its middle third, which are not in order."""
    rng = np.random.default_rng(0)
    sets = []
    for severity in rng.permutation(18):
        losses = rng.random((2, 3, 5))
        sets.append(MatchedLosses("one", [losses[0]], [losses[0] + (severity >= 12) - 0.5], severity / 10))
    report = measure_surprise([*sets, *draw_sets("two", 8, 1, 0, 1)], CONTEXTS, fixed=4)
    assert set(report.by_severity) == {"one"}
    for name in ("relative_mean", "relative_max"):
        assert [(m.low, m.value, m.high) for m in report.by_severity["one"][name]] == [
            (0, 0, 0), (0, 0, 0), (1, 1, 1),
        ]  # fmt: skip
    assert not measure_surprise(sets[:5], CONTEXTS, fixed=4).by_severity
    twice = over_seeds([report, report]).by_severity["one"]["relative_mean"]
    assert [metric.value for metric in twice] == [0, 0, 1]


def test_equal_losses_count_half_but_are_wrong_by_a_threshold():
    constant = [MatchedLosses("one", [np.ones((3, 4))], [np.ones((3, 4))])] * 4
    found = measure_surprise(constant, CONTEXTS, 2).kinds["one"]["2"]
    assert found["relative_mean"].value == found["relative_max"].value == 0.5
    assert found["auroc_mean"].value == found["auroc_max"].value == 0.5
    assert found["absolute"].value == 0


def test_perfect_surprise_and_one_window_are_no_exceptions():
    rng = np.random.default_rng(0)
    sets = [MatchedLosses("one", [rng.random((3, 1))], [5 + rng.random((3, 1))]) for _ in range(20)]
    report = measure_surprise(sets, CONTEXTS, 2)
    for row in ("2", "filtered", "best"):
        for name in ("relative_mean", "relative_max", "auroc_mean", "auroc_max"):
            metric = report.macro[row][name]
            assert (metric.value, metric.low, metric.high) == (1, 1, 1)
        assert report.macro[row]["absolute"].value == pytest.approx(
            38 / 40
        )  # 2 of 20 possible ones are not below


def test_chance_is_within_the_interval_and_the_best_context_is_above_it():
    rng = np.random.default_rng(1)
    sets = [MatchedLosses("one", [rng.random((3, 5))], [rng.random((3, 5))]) for _ in range(300)]
    table = measure_surprise(sets, CONTEXTS, 4).kinds["one"]
    for name in ("relative_mean", "auroc_max"):
        assert table["fixed"][name].low < 0.5 < table["fixed"][name].high
        assert table["best"][name].value >= table["fixed"][name].value
    # That of a share of 300 independent pairs, by the normal approximation.
    width = table["fixed"]["relative_mean"].high - table["fixed"]["relative_mean"].low
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 300), rel=0.1)


def test_pairs_of_one_set_are_drawn_together():
    """Copies of a pair within its set are no further evidence: the interval stays that of the sets."""
    rng = np.random.default_rng(2)
    lone = [MatchedLosses("one", [rng.random((3, 5))], [rng.random((3, 5))]) for _ in range(60)]
    copied = [MatchedLosses("one", [*m.possible] * 8, [*m.impossible] * 8) for m in lone]
    widths = []
    for sets in (lone, copied):
        metric = measure_surprise(sets, CONTEXTS, 4).kinds["one"]["fixed"]["relative_mean"]
        widths.append(metric.high - metric.low)
    assert widths[0] == pytest.approx(widths[1], rel=0.01)


def test_sets_of_one_scene_are_drawn_together():
    """A second kind with the same losses tells nothing new: the mean over both is no more certain."""
    sets = draw_sets("one", 13, 2, 1, 0)
    report = measure_surprise([*sets, *(replace(one, kind="two") for one in sets)], CONTEXTS, fixed=4)
    assert report.macro["4"]["relative_mean"] == report.kinds["one"]["4"]["relative_mean"]


def test_intervals_are_a_function_of_the_seed():
    reports = [measure_surprise(SETS, CONTEXTS, 4, seed=seed) for seed in (0, 0, 1)]
    lows = [report.macro["2"]["auroc_mean"].low for report in reports]
    assert lows[0] == lows[1] != lows[2]


def test_the_report_is_plain_json():
    plain = measure_surprise(SETS, CONTEXTS, 4).to_json()
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert again == plain
    assert plain["contexts"] == [2, 4, 8]
    assert plain["kinds"]["one"]["best"]["absolute"]["low"] is None
    assert 0 <= plain["macro"]["fixed"]["relative_mean"]["value"] <= 1


def test_one_set_has_no_held_out_threshold():
    metric = measure_surprise(SETS[:1], CONTEXTS, 4).kinds["one"]["2"]["absolute_held_out"]
    assert math.isnan(metric.value)


def test_the_null_is_the_mean_over_seeds():
    reports = [
        measure_surprise([*draw_sets("one", 9, 2, 0, seed), *draw_sets("two", 9, 1, 0, seed)], CONTEXTS, 4)
        for seed in range(5)
    ]
    null = over_seeds(reports)
    for row in ("4", "best"):
        expected = estimate([report.macro[row]["relative_max"].value for report in reports])
        metric = null.macro[row]["relative_max"]
        assert (metric.value, metric.low, metric.high) == (expected.mean, expected.low, expected.high)
    means = [np.mean([r.kinds["two"][str(c)]["relative_mean"].value for r in reports]) for c in CONTEXTS]
    assert null.best_context["two"] == CONTEXTS[int(np.argmax(means))]
    assert math.isnan(over_seeds(reports[:1]).macro["4"]["relative_max"].low)
    with pytest.raises(ValueError, match="no report"):
        over_seeds([])
    with pytest.raises(ValueError, match="same videos"):
        over_seeds([reports[0], measure_surprise(SETS, CONTEXTS, 4)])


def test_tensors_are_losses_too():
    tensors = [
        MatchedLosses(m.kind, [torch.tensor(v) for v in m.possible], [torch.tensor(v) for v in m.impossible])
        for m in SETS
    ]
    assert measure_surprise(tensors, CONTEXTS, 4).to_json() == measure_surprise(SETS, CONTEXTS, 4).to_json()


@pytest.mark.parametrize(
    ("sets", "arguments", "message"),
    [
        (SETS, {"fixed": 3}, "fixed is 3"),
        (SETS, {"contexts": (2, 2, 4)}, "different lengths"),
        (SETS[-1:], {}, "of a kind that is no control"),
        ([], {}, "of a kind that is no control"),
        (
            [MatchedLosses("one", [np.ones((2, 4))], [np.ones((3, 4))])],
            {},
            r"\(2, 4\): give \(context lengths, windows\) with 3",
        ),
        ([MatchedLosses("one", [np.ones((3, 0))], [np.ones((3, 4))])], {}, r"\(3, 0\)"),
        ([MatchedLosses("one", [np.ones((3, 4))], [])], {}, "1 possible and 0 impossible"),
        ([MatchedLosses("one", [np.full((3, 4), np.nan)], [np.ones((3, 4))])], {}, "not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(sets, arguments, message):
    with pytest.raises(ValueError, match=message):
        measure_surprise(sets, **{"contexts": CONTEXTS, "fixed": 4, **arguments})


@pytest.mark.parametrize(("window", "stride"), [(2, 1), (4, 2), (5, 3), (11, 1)])
def test_motion_energy_is_the_mean_difference_in_each_window(window, stride):
    video = torch.randint(
        0, 256, (11, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = []
    for start in range(0, 11 - window + 1, stride):
        pieces = video[start : start + window].int().tolist()
        flat = [np.array(frame).ravel().tolist() for frame in pieces]
        steps = [abs(b - a) for one, two in pairwise(flat) for a, b in zip(one, two, strict=True)]
        expected.append(sum(steps) / len(steps))
    energy = motion_energy(video, window, stride)
    assert energy.shape == (1, len(expected)) == (1, len(video.unfold(0, window, stride)))
    np.testing.assert_allclose(energy[0], expected)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (12, 1), (4, 0)])
def test_windows_that_do_not_fit_are_refused(window, stride):
    with pytest.raises(ValueError, match="give a window from 2 to as many"):
        motion_energy(torch.zeros(11, 3, 4, 4, dtype=torch.uint8), window, stride)


@pytest.mark.parametrize("right", [10, 13, 16])
def test_p_values_of_single_pairs_are_those_of_the_binomial_test(right):
    sets = [MatchedLosses("one", [np.full((3, 1), 2.0)], [np.full((3, 1), 3.0 if number < right else 1.0)])
            for number in range(20)]  # fmt: skip
    found = measure_surprise(sets, CONTEXTS, fixed=4).p_values["one"]
    assert found["relative_mean"] == pytest.approx(binomtest(right, 20).pvalue, abs=0.015)
    assert found["relative_max"] == found["relative_mean"]


def test_pairs_of_one_set_count_as_one_in_p_values():
    """Ten sets of ten like pairs are as little evidence as ten pairs, of which seven are right."""
    sets = [MatchedLosses("one", [np.full((3, 1), 2.0)] * 10, [np.full((3, 1), 3.0 if n < 7 else 1.0)] * 10)
            for n in range(10)]  # fmt: skip
    found = measure_surprise(sets, CONTEXTS, fixed=4).p_values["one"]["relative_mean"]
    assert found == pytest.approx(binomtest(7, 10).pvalue, abs=0.015)
