"""Names that are commands elsewhere are shown as names."""

import csv
import html

import numpy as np
import pytest
import torch
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

from vjepa.evaluation.recognition.metrics import classification_report
from vjepa.evaluation.recognition.scores import read_scores, write_scores
from vjepa.foreign_text import from_cell, in_cell, in_page, in_plot, in_table, one_line
from vjepa.plots.confusion import draw_confusion
from vjepa.plots.label_curve import draw_label_curve, label_curve_table
from vjepa.plots.labelled_video import write_labelled_film
from vjepa.plots.strip import draw_strip
from vjepa.recipes.compare.report import _markdown_table
from vjepa.recipes.compare.report_sections import Table

NAMES = [
    "$x_$",
    r"\$a$b$",
    "a|b",
    "two\nlines",
    "=1+1",
    "'=2",
    "-1",
    "@SUM(A1)",
    "_hidden",
    "caf\udce9",
    "<b>",
    "\x07",
]


@pytest.mark.parametrize("name", NAMES)
def test_matplotlib_shows_the_name_and_no_formula(name):
    shown = in_plot(name)
    text = Figure().text(0, 0, shown)
    assert not is_math_text(shown)
    assert text._preprocess_math(shown)[0].strip() == one_line(name)
    assert not shown.startswith("_")


def test_plots_and_films_take_any_name(tmp_path):
    draw_confusion(np.eye(len(NAMES), dtype=int), NAMES, tmp_path / "confusion.png")
    draw_label_curve({name: {0.1: [0.5], 1.0: [0.6]} for name in NAMES}, tmp_path / "curve.png", 0.1)
    video = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    draw_strip([dict.fromkeys(NAMES[:3], video)], tmp_path / "strip.png", NAMES[0])
    write_labelled_film(video, [NAMES], tmp_path / "film.mp4", 10)


@pytest.mark.parametrize("name", NAMES)
def test_pages_show_any_name_in_utf8(name):
    assert html.unescape(in_page(name).encode().decode()) == one_line(name)
    assert "<" not in in_page(name)


def test_tables_keep_their_cells():
    report = classification_report(torch.eye(len(NAMES)).flip(0), torch.arange(len(NAMES)), NAMES)
    tables = (
        report.per_class_table(),
        label_curve_table({name: {1.0: [0.5]} for name in NAMES}),
        _markdown_table(Table(["", "a"], [[name, "1"] for name in NAMES])),
    )
    for table in tables:
        lines = table.splitlines()
        assert len(lines) == 2 + len(NAMES)
        bars = {line.replace(r"\|", "").count("|") for line in lines}
        assert len(bars) == 1, table
        assert "<b>" not in table
    assert in_table("brush_hair (left)") == "brush_hair (left)"
    assert in_table("_a_ $b$ &lt;") == r"\_a\_ \$b\$ \&lt;"


def test_a_spreadsheet_computes_no_score(tmp_path):
    paths = ["=cmd|' /C calc'!A0.mp4", "caf\udce9.mp4"]
    path, scores_VX = tmp_path / "scores.csv", torch.full((2, len(NAMES)), 1 / len(NAMES))
    write_scores(path, paths, NAMES[:2], scores_VX, NAMES)
    with path.open(newline="", errors="surrogateescape") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    read = read_scores(path)
    assert (read.paths, read.labels, read.classes) == (paths, NAMES[:2], NAMES)
    assert all(from_cell(in_cell(name)) == name for name in NAMES)
