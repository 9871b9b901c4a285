"""Accuracy against the share of labels, as a plot and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vjepa.evaluation.statistics import estimate
from vjepa.foreign_text import in_plot, in_table
from vjepa.plots.colours import SERIES

Curves = Mapping[str, Mapping[float, Sequence[float]]]
"""Accuracies in [0, 1], one for each seed, by the name of the arm and the share of labels in (0, 1]."""


def draw_label_curve(curves: Curves, path: Path, chance: float) -> None:
    """Draw one line for each arm of a comparison, with its 95 % confidence interval over several seeds.

    Args:
        curves: Accuracies of each arm.
        path: PNG file to write.
        chance: Accuracy of chance, in [0, 1]; drawn as a dotted line.
    """
    # Imported here, because matplotlib takes longer to import than a short run lasts.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        shares, colour = sorted(points), SERIES[number % len(SERIES)]
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
    axes.set(title="accuracy with few labels", ylim=(0, 100))
    axes.set(xlabel="labels used, %", ylabel="mean-class accuracy, %")
    axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=120)


def label_curve_table(curves: Curves) -> str:
    """Return a Markdown table with a row for each arm and a column for each share of labels.

    A cell has the mean over the seeds and half the width of its 95 % confidence interval, in percent.
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
