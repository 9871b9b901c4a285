"""Accuracy over the share of labels, as a plot and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vjepa.evaluation.statistics import estimate
from vjepa.foreign_text import in_plot, in_table

Curves = Mapping[str, Mapping[float, Sequence[float]]]
"""Accuracies of all seeds, by the name of an arm and the share of the labels."""


def draw_label_curve(curves: Curves, path: Path, chance: float) -> None:
    """Write a PNG with one line for each arm, its 95 % interval over the seeds if there are several, and
    chance dotted.
    """
    # Imported here: matplotlib takes longer to import than a short run has time to give.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        shares, colour = sorted(points), f"C{number}"
        found = [estimate(points[share]) for share in shares]
        percent = [100 * share for share in shares]
        axes.plot(percent, [100 * e.mean for e in found], marker="o", color=colour, label=in_plot(name))
        low, high = (
            [100 * bound for bound in bounds] for bounds in ([e.low for e in found], [e.high for e in found])
        )
        axes.fill_between(percent, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(100 * chance, color="black", linestyle=":", label="chance")
    ticks = sorted({100 * share for points in curves.values() for share in points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="labels used, %", ylabel="mean-class accuracy, %", ylim=(0, 100))
    axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=120)


def label_curve_table(curves: Curves) -> str:
    """Markdown: a row an arm, a column a share of the labels.

    Mean and half of the 95 % interval, in percent.
    """
    shares = sorted({share for points in curves.values() for share in points})
    lines = [
        "| | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |",
        "|---" * (len(shares) + 1) + "|",
    ]
    for name, points in curves.items():
        cells = [_shown(points.get(share, ())) for share in shares]
        lines.append(f"| {in_table(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(values: Sequence[float]) -> str:
    if not values:
        return "-"
    found = estimate(values)
    return f"{100 * found.mean:.1f}" + (f" ±{100 * found.half:.1f}" if found.count > 1 else "")
