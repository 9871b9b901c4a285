"""Summary of a finished pre-training run: a short table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vjepa.foreign_text import in_plot, one_line
from vjepa.plots.colours import BLUE, GREEN, ORANGE, PURPLE, TRAINED, UNTRAINED, VERMILION
from vjepa.result_tables import probe_name, probe_rows


def summary_table(summary: dict[str, Any], folder: Path) -> str:
    """Return the loss, collapse measures, probe accuracies and speed of a run as aligned text.

    Args:
        summary: Summary of the run.
        folder: Run folder, named in the last row.
    """
    final = summary["final"]
    rows = [("loss", f"{final['loss']:.4f}")]
    if "relative_error" in final:
        rows.append(("error / error of the mean", f"{final['relative_error']:.3f}"))
    for part in ("context", "target", "predicted"):
        if f"{part}/std" in final:
            measures = ", ".join(f"{key} {final[f'{part}/{key}']:.3g}" for key in ("std", "rank", "cosine"))
            rows.append((f"{part} embeddings", measures))
    rows += [(one_line(name), metrics) for name, metrics in probe_rows(summary["probe"]).items()]
    if "online_probe" in summary:
        rows += _online_rows(summary)
    rows.append(("clips/s in training", f"{summary['clips_per_second']:.0f}"))
    minutes = summary["seconds"] / 60
    rows.append(("minutes in all", f"{minutes:.1f}" if minutes >= 1 else f"{minutes:.2f}"))
    rows.append(("collapse alarms", str(len(summary["alarms"]) or "none")))
    rows.append(("plot, model, metrics", one_line(folder)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {metrics}" for name, metrics in rows)


def _online_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of a run with an online probe: its accuracies, and what followed from them."""
    online, steps = summary["online_probe"], summary["steps"]
    best, last = (f"{online[key]['value']:.1%} at step {online[key]['step']}" for key in ("best", "last"))
    rows = [(f"online probe ({_online_name(online)})", f"best {best}, last {last}")]
    if summary["model_step"] != steps:
        rows.append(("weights of the model", f"those of step {summary['model_step']}"))
    if "ended_early" in summary:
        rows.append(("steps", f"{steps}: {one_line(summary['ended_early'])}"))
    return rows


def _online_name(online: dict[str, Any]) -> str:
    name = str(online["metric"]).removeprefix("probe/")
    return {"knn": "k-NN"}.get(name, name)


def draw_report(records: list[dict[str, Any]], summary: dict[str, Any], path: Path) -> None:
    """Draw panels: the loss, the effective rank of the embeddings, the online probe and the final probes.

    Panels of probes that were not measured are left out.

    Args:
        records: Metrics of each logged step.
        summary: Summary of the run.
        path: PNG file to write.
    """
    # Imported here, because matplotlib takes longer to import than a short run lasts.
    from matplotlib.figure import Figure

    online, probed = "online_probe" in summary, bool(summary["probe"])
    widths = (1, 1, *[1] * online, *[0.8] * probed)
    figure = Figure(figsize=(4.2 * sum(widths), 3.8), layout="constrained")
    panels = figure.subplots(1, len(widths), width_ratios=widths)
    loss, life = panels[0], panels[1]
    if online:
        _draw_online(panels[2], records, summary)
    if probed:
        _draw_probes(panels[-1], summary["probe"])
    for kind in dict.fromkeys(record["kind"] for record in records):
        _draw_kind(loss, life, [record for record in records if record["kind"] == kind], kind)
    loss.set(xlabel="step", ylabel="error", ylim=(0, None), title="prediction error")
    loss.legend()
    life.set(xlabel="step", ylabel="dimensions", ylim=(0, None), title="effective rank of embeddings")
    life.legend()
    figure.suptitle(in_plot(path.parent.name))
    figure.savefig(path, dpi=120)


def _draw_probes(panel: Any, probes: dict[str, dict[str, float]]) -> None:
    """Draw the accuracy of each final probe, beside that of the same encoder untrained."""
    looks = (("random", UNTRAINED, "untrained"), ("trained", TRAINED, "trained"))
    for position, (name, probe) in enumerate(probes.items()):
        for offset, (key, colour, label) in enumerate(looks):
            bars = panel.bar(position + 0.4 * offset, 100 * probe[key], 0.38, color=colour, label=label)
            panel.bar_label(bars, fmt="%.1f")
        panel.axhline(100 * probe["chance"], color="black", linestyle=":", label="chance")
        panel.set_title(f"{in_plot(probe_name(name))} probe of frozen features")
    panel.set(ylabel="balanced accuracy, %", xticks=[], ylim=(0, 105))
    panel.legend(loc="upper left")


def _draw_online(panel: Any, records: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Draw the accuracy of the online probe over the steps, and mark the step whose weights the model has."""
    online = summary["online_probe"]
    measured = [record for record in records if online["metric"] in record]
    steps = [record["step"] for record in measured]
    values = [100 * record[online["metric"]] for record in measured]
    panel.plot(steps, values, "-o", markersize=3, color=TRAINED, label="balanced accuracy")
    panel.axvline(summary["model_step"], color="black", linestyle=":", label="weights of the model")
    title = f"online {in_plot(_online_name(online))} probe"
    panel.set(xlabel="step", ylabel="balanced accuracy, %", xlim=(0, None), ylim=(0, 105), title=title)
    panel.legend()


def _draw_kind(loss: Any, life: Any, records: list[dict[str, Any]], kind: str) -> None:
    """Draw loss and effective rank of one kind of step: solid for videos, dotted for images."""
    style = {"videos": "-", "images": ":"}[kind]
    steps = [record["step"] for record in records]
    for key, name, color in (
        ("loss", "loss", BLUE),
        ("relative_error", "error / error of the mean", ORANGE),
    ):
        if key in records[-1]:
            loss.plot(steps, [record[key] for record in records], style, label=f"{name}, {kind}", color=color)
    for part, color in (("context", GREEN), ("target", VERMILION), ("predicted", PURPLE)):
        key = f"{part}/rank"
        if key in records[-1]:
            life.plot(steps, [record[key] for record in records], style, label=f"{part}, {kind}", color=color)
