"""The page about an exam holds every number, and nothing from outside."""

import math
import re
import xml.etree.ElementTree as ET

from vjepa.evaluation.exam import Exam, Row, Section
from vjepa.evaluation.statistics import Metric
from vjepa.plots.exam_page import write_exam_page

SECTIONS = (
    Section(
        "Arrow of time", "Is <this> a question?", "Share of the videos.", "chance",
        (
            Row("mean & more", {"model": Metric(0.61, 0.52, 0.7), "untrained": Metric(0.5)}, 0.0312),
            Row("fast", {"model": Metric(0.44, 0.33, 0.55)}, control=True),
        ),
        chance=0.5, remarks=("12 videos.",),
    ),
    Section("Actions", "And this?", "Errors.", "a copy", skipped="the model has no actions"),
)  # fmt: skip


def test_the_page_holds_every_number(tmp_path):
    exam = Exam("runs/<b>", {"nulls": 2}, SECTIONS, "abc", "1 core", 90.0)
    write_exam_page(tmp_path / "sub" / "exam.html", exam)
    text = (tmp_path / "sub" / "exam.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', text)  # no other file, no network
    assert "Exam of runs/&lt;b&gt; as a world model" in text
    for shown in (
        "0.61 (0.52 to 0.70)", "0.0312", "mean &amp; more", "fast (control)", "0.44 (0.33 to 0.55)",
        "12 videos.", "Not measured: the model has no actions.", "1.5 minutes on 1 core", "commit abc",
        SECTIONS[0].answer, 'href="#arrow-of-time"', 'id="arrow-of-time"',
    ):  # fmt: skip
        assert shown in text, shown
    plots = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(plots) == 1
    ET.fromstring(plots[0])
    assert math.isnan(SECTIONS[0].rows[0].values["untrained"].low)
    write_exam_page(tmp_path / "again.html", exam)
    assert (tmp_path / "again.html").read_text() == text
