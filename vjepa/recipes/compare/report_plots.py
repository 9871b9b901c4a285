"""The plots of a report, as SVG text, which its HTML file contains."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from vjepa.evaluation.probes.factors import NUISANCE, SIGNAL
from vjepa.foreign_text import in_plot
from vjepa.recipes.compare.cells import BASE_POINT
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_sections import PROBES
from vjepa.recipes.compare.results import Results

_COLOURS = (
    "tab:blue",
    "tab:orange",
    "tab:green",
    "tab:red",
    "tab:purple",
    "tab:brown",
    "tab:olive",
    "0.4",
    "0.7",
)


def all_plots(comparison: CompareConfig, results: Results) -> dict[str, str]:
    """Return the plots as SVG text, by the names that the sections of the report use."""
    plots = {"probes": _draw_probes(comparison, results), "factors": _draw_factors(comparison, results)}
    if comparison.sweep is not None:
        plots["sweep"] = _draw_sweep(comparison, results)
    return {name: _svg(figure) for name, figure in plots.items()}


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _draw_probes(comparison: CompareConfig, results: Results) -> Figure:
    """Draw accuracy against the share of labels, one panel for each probe."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, len(PROBES), sharey=True)
    for panel, (probe, title) in zip(panels, PROBES.items(), strict=True):
        for (name, arm), colour in zip(comparison.arms.items(), _COLOURS, strict=False):
            points = [
                results.estimate(BASE_POINT, name, f"probe/{probe}/{share:g}")
                for share in comparison.label_shares
            ]
            panel.errorbar(
                comparison.label_shares,
                [100 * p.mean for p in points if p],
                [100 * p.half for p in points if p],
                label=in_plot(arm.title),
                color=colour,
                marker="o",
                markersize=3,
                capsize=2,
                linewidth=1.2,
                linestyle="-" if arm.kind == "trained" else ":",
            )
        chance = results.values(BASE_POINT, next(iter(comparison.arms)), "chance")[0]
        panel.axhline(100 * chance, color="black", linewidth=0.6, linestyle="--")
        panel.set(xscale="log", xlabel="share of labels", title=f"{title} probe", ylim=(0, 100))
        panel.set_xticks(comparison.label_shares, [f"{100 * share:g} %" for share in comparison.label_shares])
        panel.minorticks_off()
    panels[0].set_ylabel("balanced accuracy, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_factors(comparison: CompareConfig, results: Results) -> Figure:
    """Draw R2 of each factor as bars, signal left and nuisance right."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    first = next(iter(comparison.arms))
    parts = [
        [name for name in names if results.values(BASE_POINT, first, f"factors/{name}")]
        for names in (SIGNAL, NUISANCE)
    ]
    if not any(parts):
        return figure
    panels = figure.subplots(1, 2, sharey=True, width_ratios=[max(len(part), 1) for part in parts])
    width = 0.8 / len(comparison.arms)
    for panel, names, title in zip(panels, parts, ("signal", "nuisance"), strict=True):
        for place, ((arm_name, arm), colour) in enumerate(
            zip(comparison.arms.items(), _COLOURS, strict=False)
        ):
            values = [results.estimate(BASE_POINT, arm_name, f"factors/{name}") for name in names]
            places = [number + place * width for number in range(len(names))]
            panel.bar(
                places,
                [v.mean if v else 0 for v in values],
                width,
                color=colour,
                label=in_plot(arm.title),
                yerr=[v.half if v else 0 for v in values],
                error_kw={"linewidth": 0.8},
            )
        panel.set_xticks([number + 0.4 - width / 2 for number in range(len(names))], names)
        panel.axhline(0, color="black", linewidth=0.6)
        panel.set(title=title, ylim=(-0.2, 1.05))
    panels[0].set_ylabel("R² on unseen videos")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_sweep(comparison: CompareConfig, results: Results) -> Figure:
    """Draw signal and nuisance metrics against the strength of the noise, one row for each regime."""
    assert comparison.sweep is not None
    points = comparison.sweep.points
    regimes = list(dict.fromkeys(point.regime for point in points.values()))
    metrics = {
        "linear probe, %": ("probe/linear/1", 100.0),
        "velocity, R²": ("factors/velocity", 1.0),
        "background, R²": ("factors/background", 1.0),
    }
    figure = Figure(figsize=(12, 3.2 * len(regimes)), layout="constrained")
    panels = figure.subplots(len(regimes), len(metrics), squeeze=False)
    for row, regime in zip(panels, regimes, strict=True):
        names = sorted((n for n in points if points[n].regime == regime), key=lambda n: points[n].strength)
        for panel, (title, (path, scale)) in zip(row, metrics.items(), strict=True):
            for arm, colour in zip(comparison.sweep.arms, _COLOURS, strict=False):
                measured = [(points[n].strength, results.estimate(n, arm, path)) for n in names]
                shown = [(strength, point) for strength, point in measured if point is not None]
                panel.errorbar(
                    [strength for strength, _ in shown],
                    [scale * p.mean for _, p in shown],
                    [0 if p.half != p.half else scale * p.half for _, p in shown],
                    label=in_plot(comparison.arms[arm].title),
                    color=colour,
                    marker="o",
                    capsize=2,
                )
            panel.set(title=f"{in_plot(regime)}: {title}", xlabel="strength")
    panels[0][0].legend(fontsize=8)
    return figure
