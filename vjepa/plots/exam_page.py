"""One self-contained page about an exam: a plot and a table for each section."""

from __future__ import annotations

import html
import math
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from vjepa.evaluation.exam import Exam, Section, columns_of, shown
from vjepa.files import written_atomically
from vjepa.foreign_text import in_plot
from vjepa.plots.colours import GREEN, PURPLE, TRAINED, UNTRAINED, VERMILION
from vjepa.plots.svg import svg_text

# Colours that the colour-blind tell apart (Okabe and Ito), and markers, so that colour is not needed.
_LOOKS = ((TRAINED, "o"), (UNTRAINED, "s"), (VERMILION, "^"), (PURPLE, "D"), (GREEN, "v"))
_SPREAD = 0.6  # part of a row's height over which its columns are spread


def write_exam_page(path: Path, exam: Exam) -> None:
    """Write the page, which needs no other file and no network.

    Args:
        path: File to write.
        exam: What was found.
    """
    page = Template(files("vjepa.plots").joinpath("exam_page.html").read_text(encoding="utf-8"))
    settings = ", ".join(f"{name} {value}" for name, value in exam.settings.items())
    origin = (
        f"Measured in {exam.seconds / 60:.1f} minutes on {exam.machine}, with the library at commit "
        f"{exam.commit or 'unknown'} and the settings {settings}."
    )
    links = [f'<a href="#{_anchor(section)}">{html.escape(section.name)}</a>' for section in exam.sections]
    text = page.substitute(
        title=html.escape(f"Exam of {exam.model} as a world model"),
        links=" ".join(links),
        sections="".join(map(_section, exam.sections)),
        origin=html.escape(origin),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def _anchor(section: Section) -> str:
    return html.escape(section.name.lower().replace(" ", "-"))


def _section(section: Section) -> str:
    parts = [
        f'<section id="{_anchor(section)}"><h2>{html.escape(section.question)}</h2>',
        f'<p class="answer">{html.escape(section.answer)}</p>',
    ]
    if section.skipped is None:
        label = html.escape(f"Plot: {section.name}. The table below has all numbers.", quote=True)
        parts += [
            f"<p>{html.escape(section.measure)}</p>",
            f'<div role="img" aria-label="{label}">{svg_text(_plot(section))}</div>',
            _table(section),
        ]
        parts += [f'<p class="small">{html.escape(remark)}</p>' for remark in section.remarks]
    return "".join([*parts, "</section>"])


def _table(section: Section) -> str:
    columns, tested = columns_of(section), any(row.p_value is not None for row in section.rows)
    lines = []
    for row in section.rows:
        cells = [shown(row.values[name]) if name in row.values else "-" for name in columns]
        if tested:
            cells.append("-" if row.p_value is None else f"{row.p_value:.4f}")
        body = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{html.escape(_named(row.what, row.control))}</th>{body}</tr>')
    heads = ["", *columns, *(["p"] if tested else [])]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    name = html.escape(section.name, quote=True)
    return f'<div class="wide"><table aria-label="{name}"><tr>{head}</tr>{"".join(lines)}</table></div>'


def _named(what: str, control: bool) -> str:
    return f"{what} (control)" if control else what


def _plot(section: Section) -> Figure:
    """Draw the metrics of every row as dots with their intervals."""
    columns, count = columns_of(section), len(section.rows)
    figure = Figure(figsize=(7.5, 1.1 + 0.45 * count), layout="constrained")
    panel = figure.add_subplot()
    for place, name in enumerate(columns):
        offset = _SPREAD * ((place + 0.5) / len(columns) - 0.5)
        found = [(y + offset, row.values[name]) for y, row in enumerate(section.rows) if name in row.values]
        halves = [
            [
                0.0 if math.isnan(metric.low) else gap
                for gap in (metric.value - metric.low, metric.high - metric.value)
            ]
            for _, metric in found
        ]
        colour, marker = _LOOKS[place % len(_LOOKS)]
        panel.errorbar(
            [metric.value for _, metric in found],
            [y for y, _ in found],
            xerr=list(zip(*halves, strict=True)),
            fmt=marker,
            color=colour,
            markersize=5 if place == 0 else 4,
            capsize=2,
            linewidth=1.2,
            label=in_plot(name),
        )
    if section.chance is not None:
        panel.axvline(section.chance, color="0.3", linestyle="--", linewidth=1)
    names = [in_plot(_named(row.what, row.control)) for row in section.rows]
    panel.set_yticks(range(count), names)
    panel.set_ylim(count - 0.5, -0.5)
    panel.grid(axis="x", color="0.9")
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel("better to the right" if section.higher_is_better else "better to the left")
    figure.legend(loc="outside upper left", ncols=len(columns), frameon=False, fontsize="small")
    return figure
