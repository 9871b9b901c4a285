"""What an exam of a model finds: sections with one question each, and rows of metrics with baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vjepa.evaluation.statistics import Metric

MODEL = "model"  # column of the examined model


@dataclass(frozen=True)
class Row:
    """Metrics of one row of a section.

    Attributes:
        what: What is measured, such as a horizon or a kind of violation.
        values: Metric of each column: ``model`` and its baselines.
        p_value: Two-sided p-value of the model's metric against the section's chance; None if unknown.
        control: Whether the right value is the chance of the section, because the model should not react.
    """

    what: str
    values: dict[str, Metric]
    p_value: float | None = None
    control: bool = False


@dataclass(frozen=True)
class Section:
    """One part of an exam.

    Attributes:
        name: Short name.
        question: The question that the section answers.
        measure: What the numbers are, and on which videos.
        against: What the model is compared with, in words.
        rows: Rows of metrics; empty if the section was skipped.
        higher_is_better: Whether higher numbers are better.
        chance: Value that it is compared with; None if that is a column.
        baseline: Name of that column.
        remarks: Further sentences.
        skipped: Why nothing was measured; None if the section has rows.
    """

    name: str
    question: str
    measure: str
    against: str
    rows: tuple[Row, ...] = ()
    higher_is_better: bool = True
    chance: float | None = None
    baseline: str = "untrained"
    remarks: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def answer(self) -> str:
        """The answer to the question in one sentence, from the intervals of the rows that are no controls."""
        if self.skipped is not None:
            return f"Not measured: {self.skipped}."
        rows = [row for row in self.rows if not row.control]
        better, worse = (sum(self.side(row) == side for row in rows) for side in (1, -1))
        same = len(rows) - better - worse
        return (
            f"The model is better than {self.against} in {better} of {len(rows)} rows, worse in {worse}, and "
            f"not told apart from it in {same}."
        )

    def side(self, row: Row) -> int:
        """Return 1 if the model's interval is on the better side of what it is compared with, else 0 or -1.

        Compared with chance, chance must lie outside the interval; compared with a column, the two intervals
        must not overlap.
        """
        other = row.values[self.baseline] if self.chance is None else Metric(self.chance)
        low, high = _ends(row.values[MODEL])
        other_low, other_high = _ends(other)
        sign = 1 if self.higher_is_better else -1
        return sign if low > other_high else -sign if high < other_low else 0


@dataclass(frozen=True)
class Exam:
    """All sections of an exam.

    Attributes:
        model: The examined model, as it was named.
        settings: Numbers of videos and sets, and random seeds.
        sections: Sections in order.
        commit: Commit of the library; None if unknown.
        machine: Machine of the exam.
        seconds: Duration of the exam.
    """

    model: str
    settings: dict[str, Any]
    sections: tuple[Section, ...]
    commit: str | None
    machine: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the exam as plain dictionaries and lists, with None for NaN."""
        return {
            "model": self.model,
            "settings": self.settings,
            "commit": self.commit,
            "machine": self.machine,
            "seconds": self.seconds,
            "sections": [_section_json(section) for section in self.sections],
        }

    def table(self) -> str:
        """Format text tables, one for each section."""
        return "\n\n".join("\n".join(_section_lines(section)) for section in self.sections)


def shown(metric: Metric) -> str:
    """Format a metric with its interval."""
    if math.isnan(metric.low):
        return f"{metric.value:.2f}"
    return f"{metric.value:.2f} ({metric.low:.2f} to {metric.high:.2f})"


def _ends(metric: Metric) -> tuple[float, float]:
    """Return the ends of the interval; twice the value where there is none."""
    return (metric.value, metric.value) if math.isnan(metric.low) else (metric.low, metric.high)


def _section_lines(section: Section) -> list[str]:
    lines = [f"{section.name}: {section.question}", section.answer]
    if section.skipped is not None:
        return lines
    columns = columns_of(section)
    tested = any(row.p_value is not None for row in section.rows)
    heads = "".join(f"{name:>24}" for name in columns) + ("       p" if tested else "")
    lines += [section.measure, f"{'':<28}{heads}"]
    for row in section.rows:
        cells = "".join(f"{shown(row.values[name]) if name in row.values else '-':>24}" for name in columns)
        lines.append(f"{row.what:<28}{cells}{'' if row.p_value is None else f'{row.p_value:.4f}':>8}")
    return [*lines, *section.remarks]


def columns_of(section: Section) -> list[str]:
    """Return the names of the columns of a section, the model first."""
    return list(dict.fromkeys(name for row in section.rows for name in row.values))


def _section_json(section: Section) -> dict[str, Any]:
    rows = [
        {
            "what": row.what,
            "values": {
                name: {part: None if math.isnan(value) else value for part, value in vars(metric).items()}
                for name, metric in row.values.items()
            },
            "p_value": row.p_value,
            "control": row.control,
        }
        for row in section.rows
    ]
    return {**vars(section), "rows": rows, "remarks": list(section.remarks), "answer": section.answer}
