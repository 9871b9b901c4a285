"""What an exam says about its rows."""

import json
import math

import pytest

from vjepa.evaluation.exam import Exam, Row, Section
from vjepa.evaluation.statistics import Metric


def section(*rows, **changes):
    return Section("Time", "Does it know <time>?", "Shares.", "chance", tuple(rows), **changes)


def row(value, low=math.nan, high=math.nan, **changes):
    return Row("a", {"model": Metric(value, low, high), "untrained": Metric(0.5, 0.4, 0.6)}, **changes)


@pytest.mark.parametrize(
    ("found", "changes", "side"),
    [
        (row(0.7, 0.6, 0.8), {"chance": 0.5}, 1),
        (row(0.7, 0.6, 0.8), {"chance": 0.5, "higher_is_better": False}, -1),
        (row(0.55, 0.45, 0.65), {"chance": 0.5}, 0),
        (row(0.3, 0.2, 0.4), {"chance": 0.5}, -1),
        (row(0.7, 0.61, 0.8), {}, 1),
        (row(0.7, 0.59, 0.8), {}, 0),
        (row(0.3), {}, -1),
    ],
)
def test_a_row_is_better_where_intervals_do_not_meet(found, changes, side):
    assert section(found, **changes).side(found) == side


def test_controls_do_not_count_in_the_answer():
    rows = (row(0.7, 0.6, 0.8), row(0.5, 0.4, 0.6), row(0.9, 0.8, 1.0, control=True))
    assert section(*rows, chance=0.5).answer == (
        "The model is better than chance in 1 of 2 rows, worse in 0, and not told apart from it in 1."
    )
    assert section(skipped="it cannot").answer == "Not measured: it cannot."


def test_an_exam_is_plain_json_and_text():
    exam = Exam(
        "m", {"n": 1}, (section(row(0.7, p_value=0.01), chance=0.5), section(skipped="no")), None, "cpu", 1.0
    )
    read = json.loads(json.dumps(exam.to_json(), allow_nan=False))
    assert read["sections"][0]["rows"][0]["values"]["model"] == {"value": 0.7, "low": None, "high": None}
    assert read["sections"][1]["skipped"] == "no"
    text = exam.table()
    assert "0.50 (0.40 to 0.60)" in text
    assert "0.0100" in text
    assert text.endswith("Not measured: no.")
