"""The plots of a report, as SVG text, which its HTML file contains."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vjepa.evaluation.probes.factors import MOVING, NUISANCE, SIGNAL
from vjepa.evaluation.statistics import Metric
from vjepa.foreign_text import in_plot
from vjepa.plots.colours import GREYS, SERIES
from vjepa.plots.svg import svg_text
from vjepa.recipes.compare.cells import base_videos
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_sections import sweep_metrics
from vjepa.recipes.compare.report_words import MEASURES, Named, accuracy, factor, shares_of
from vjepa.recipes.compare.results import Results


def all_plots(comparison: CompareConfig, results: Results) -> dict[str, str]:
    """Return the plots as SVG text, by the names that the sections of the report use."""
    plots = {"accuracy": _draw_accuracy(comparison, results)}
    if len(comparison.label_shares) > 1:
        plots["labels"] = _draw_labels(comparison, results)
    if comparison.synthetic:
        plots["factors"] = _draw_factors(comparison, results)
        plots["horizons"] = _draw_horizons(comparison, results)
    if comparison.sweep is not None:
        plots["sweep"] = _draw_sweep(comparison, results)
    return {name: svg_text(figure) for name, figure in plots.items()}


def _coloured(comparison: CompareConfig) -> Iterator[tuple[str, str, str, str]]:
    """Yield the name, title, colour and line style of each arm."""
    colours = {True: itertools.cycle(SERIES), False: itertools.cycle(GREYS)}
    for name, arm in comparison.arms.items():
        trained = arm.kind == "trained"
        yield name, in_plot(arm.title), next(colours[trained]), "-" if trained else ":"


def _draw_curve(
    panel: Any, places: Sequence[float], metrics: Sequence[Metric | None], scale: float, **look: Any
) -> None:
    """Draw metrics with their intervals against places; metrics that are None are left out."""
    shown = [(place, metric) for place, metric in zip(places, metrics, strict=True) if metric is not None]
    panel.errorbar(
        [place for place, _ in shown],
        [scale * metric.value for _, metric in shown],
        _half_widths([metric for _, metric in shown], scale),
        marker="o",
        markersize=3,
        capsize=2,
        linewidth=1.2,
        **look,
    )


def _half_widths(metrics: Sequence[Metric], scale: float) -> np.ndarray:
    """Return the distances of the values from the ends of their intervals, ``(2, ...)``; 0 without one."""
    ends = [(metric.value - metric.low, metric.high - metric.value) for metric in metrics]
    return scale * np.nan_to_num(np.array(ends).reshape(-1, 2).T)


def _draw_accuracy(comparison: CompareConfig, results: Results) -> Figure:
    """Draw the accuracy of every arm with the most labels, one panel for each measure."""
    videos, arms = base_videos(comparison), list(_coloured(comparison))
    figure = Figure(figsize=(12, 1.2 + 0.3 * len(arms)), layout="constrained")
    panels = figure.subplots(1, len(comparison.measures), sharey=True, squeeze=False)[0]
    chance = results.metric(videos, arms[0][0], "chance")
    assert chance is not None
    for panel, measure in zip(panels, comparison.measures, strict=True):
        of = accuracy(measure, shares_of(comparison, measure)[-1])
        for row, (name, _, colour, _) in enumerate(arms):
            metric = results.metric(videos, name, of.path)
            if metric is not None:
                widths = _half_widths([metric], of.scale)
                panel.errorbar(of.scale * metric.value, row, xerr=widths, fmt="o", color=colour, capsize=2)
        panel.axvline(100 * chance.value, color="black", linewidth=0.6, linestyle="--")
        panel.set(title=of.name, xlabel="balanced accuracy, %")
    panels[0].set_yticks(range(len(arms)), [title for _, title, _, _ in arms])
    panels[0].invert_yaxis()
    return figure


def _draw_labels(comparison: CompareConfig, results: Results) -> Figure:
    """Draw accuracy against the share of labels, one panel for each measure."""
    videos = base_videos(comparison)
    measures = [measure for measure in comparison.measures if measure != "finetune"]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, max(len(measures), 1), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=False):
        shares = shares_of(comparison, measure)
        for name, title, colour, style in _coloured(comparison):
            metrics = [results.metric(videos, name, accuracy(measure, share).path) for share in shares]
            _draw_curve(panel, shares, metrics, 100, label=title, color=colour, linestyle=style)
        panel.set(xscale="log", xlabel="share of labels", title=MEASURES[measure], ylim=(0, 100))
        panel.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
        panel.minorticks_off()
    panels[0].set_ylabel("balanced accuracy, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_factors(comparison: CompareConfig, results: Results) -> Figure:
    """Draw R2 of each factor as bars, signal left and nuisance right."""
    videos, arms = base_videos(comparison), list(_coloured(comparison))
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    parts = [
        [name for name in names if results.metric(videos, arms[0][0], factor(name, 0).path)]
        for names in (SIGNAL, NUISANCE)
    ]
    panels = figure.subplots(1, 2, sharey=True, width_ratios=[max(len(part), 1) for part in parts])
    width = 0.8 / len(arms)
    for panel, names, title in zip(panels, parts, ("signal", "nuisance"), strict=True):
        for place, (arm, label, colour, _) in enumerate(arms):
            found = [results.metric(videos, arm, factor(name, 0).path) for name in names]
            metrics = [metric or Metric(0.0) for metric in found]
            places = [number + place * width for number in range(len(names))]
            heights, errors = [metric.value for metric in metrics], _half_widths(metrics, 1)
            panel.bar(
                places, heights, width, color=colour, label=label, yerr=errors, error_kw={"linewidth": 0.8}
            )
        panel.set_xticks([number + 0.4 - width / 2 for number in range(len(names))], names)
        panel.axhline(0, color="black", linewidth=0.6)
        panel.set(title=title, ylim=(-0.2, 1.05))
    panels[0].set_ylabel("R² on unseen videos")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_horizons(comparison: CompareConfig, results: Results) -> Figure:
    """Draw R2 of the factors that change against the number of frames after the clip."""
    videos, horizons = base_videos(comparison), sorted(comparison.horizons)
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, len(MOVING), sharey=True)
    for panel, name in zip(panels, MOVING, strict=True):
        for arm, title, colour, style in _coloured(comparison):
            metrics = [results.metric(videos, arm, factor(name, ahead).path) for ahead in horizons]
            _draw_curve(panel, horizons, metrics, 1, label=title, color=colour, linestyle=style)
        panel.set(title=name, xlabel="frames after the clip")
    panels[0].set_ylabel("R² on unseen videos")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_sweep(comparison: CompareConfig, results: Results) -> Figure:
    """Draw metrics against the strength of the noise, one row for each regime."""
    assert comparison.sweep is not None
    points, arms = comparison.sweep.points, comparison.sweep.arms
    regimes = list(dict.fromkeys(point.regime for point in points.values()))
    metrics: list[Named] = sweep_metrics(comparison)
    drawn = [coloured for coloured in _coloured(comparison) if coloured[0] in arms]
    figure = Figure(figsize=(12, 3.2 * len(regimes)), layout="constrained")
    panels = figure.subplots(len(regimes), len(metrics), squeeze=False)
    for row, regime in zip(panels, regimes, strict=True):
        names = sorted((n for n in points if points[n].regime == regime), key=lambda n: points[n].strength)
        strengths = [points[name].strength for name in names]
        for panel, of in zip(row, metrics, strict=True):
            for arm, title, colour, style in drawn:
                found = [results.metric([name], arm, of.path) for name in names]
                _draw_curve(panel, strengths, found, of.scale, label=title, color=colour, linestyle=style)
            panel.set_title(f"{in_plot(regime)}:\n{of.name}", fontsize=9)
            panel.set_xlabel("strength")
    panels[0][0].legend(fontsize=8)
    return figure
