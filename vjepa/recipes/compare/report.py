"""The report of a comparison: one self-contained HTML file with plots, a Markdown file, a JSON file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vjepa.evaluation.statistics import Metric
from vjepa.foreign_text import in_table
from vjepa.recipes.compare.cells import base_videos
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_answer import answer
from vjepa.recipes.compare.report_plots import all_plots
from vjepa.recipes.compare.report_sections import Section, Table, all_sections, cost_metrics
from vjepa.recipes.compare.report_words import all_metrics, budget_phrase, predicts
from vjepa.recipes.compare.results import Results

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
table { display: block; max-width: 100%; overflow-x: auto; }  /* a wide one scrolls by itself */
th, td { border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr:hover { background: #f6f6f6; } svg { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


def write_report(comparison: CompareConfig, results: Results, command: str) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``report.json`` into the comparison's folder.

    Args:
        comparison: Configuration of the comparison.
        results: Metrics of all cells.
        command: Command that made the report, which is printed in it.

    Returns:
        Paths of the three files.
    """
    folder = Path(comparison.output_dir)
    sections = [*all_sections(comparison, results), _settings_section(comparison, results, command)]
    figures = _figures(comparison, results, command)
    written = {
        folder / "report.html": _html(comparison.title, sections, all_plots(comparison, results)),
        folder / "report.md": _markdown(comparison.title, sections),
        folder / "report.json": json.dumps(figures, indent=1, ensure_ascii=False) + "\n",
    }
    for path, text in written.items():
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return list(written)


def _figures(comparison: CompareConfig, results: Results, command: str) -> dict[str, Any]:
    """Return the figures of the report as JSON values; its rows are those that `tools/results.py` collects.

    A row has the metrics of an arm, as value and ends of the interval, by the parts of their paths; a share
    of the labels is in percent. Each contrast has its differences in the same form.
    """
    videos = base_videos(comparison)
    metrics = [*all_metrics(comparison), *cost_metrics()]
    rows = [
        {
            "label": arm.title,
            "kind": arm.kind,
            "predicts": predicts(results, videos, name),
            "metrics": _tree({of.path: results.metric(videos, name, of.path) for of in metrics}),
        }
        for name, arm in comparison.arms.items()
    ]
    contrasts = [
        {
            "first": comparison.arms[first].title,
            "second": comparison.arms[second].title,
            "budget": budget_phrase(results, videos, first, second),
            "metrics": _tree({of.path: results.difference(videos, first, second, of.path) for of in metrics}),
        }
        for first, second in comparison.contrasts
    ]
    return {
        "command": command,
        "commit": results.origins("commit"),
        "machine": results.origins("machine"),
        "answer": answer(comparison, results),
        "rows": rows,
        "contrasts": contrasts,
    }


def _tree(metrics: dict[str, Metric | None]) -> dict[str, Any]:
    """Return metrics as nested dictionaries by the parts of their paths, without those that are None."""
    tree: dict[str, Any] = {}
    for path, metric in metrics.items():
        if metric is None:
            continue
        *above, last = path.split("/")
        if above and above[0] == "accuracy":
            last = f"{100 * float(last):g}"
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        ends = {"low": metric.low, "high": metric.high} if metric.low == metric.low else {}
        branch[last] = {"value": metric.value, **ends}
    return tree


def _settings_section(comparison: CompareConfig, results: Results, command: str) -> Section:
    arms = ", ".join(f"{name} ({arm.title})" for name, arm in comparison.arms.items())
    base = yaml.safe_dump(comparison.base, sort_keys=False, default_flow_style=None, width=100)
    overrides = {name: arm.overrides for name, arm in comparison.arms.items() if arm.overrides}
    differing = yaml.safe_dump(overrides, sort_keys=False, default_flow_style=None, width=100)
    splits = "".join(f" Split: {split.train}, {split.test}." for split in comparison.splits or ())
    splits += (
        f" Trained on in addition: {', '.join(comparison.extra_train)}." if comparison.extra_train else ""
    )
    text = [
        f"`{command}`",
        f"Arms: {arms}. Seeds: {', '.join(map(str, comparison.seeds))}.{splits}",
        f"Commit: {results.origins('commit')}. Machine: {results.origins('machine')}; {comparison.jobs} runs "
        "at a time.",
        f"Settings that all arms share:\n\n```yaml\n{base}```",
        f"Settings that each arm changes:\n\n```yaml\n{differing}```",
    ]
    return Section("Command and settings", text)


def _markdown(title: str, sections: Sequence[Section]) -> str:
    parts = [f"# {in_table(title)}"]
    for section in sections:
        parts += [f"## {section.title}", *section.text, *(_markdown_table(table) for table in section.tables)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [table.header, ["---"] + ["---:"] * (len(table.header) - 1), *table.rows]
    return "\n".join("| " + " | ".join(map(in_table, line)) + " |" for line in lines)


def _html(title: str, sections: Sequence[Section], plots: dict[str, str]) -> str:
    body = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        body += [_html_text(paragraph) for paragraph in section.text]
        body += [plots[name] for name in section.plots]
        body += [_html_table(table) for table in section.tables]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _html_text(paragraph: str) -> str:
    """Return a paragraph as HTML; the only Markdown in sections is inline code and a final code block."""
    before, _, block = paragraph.partition("\n\n```yaml\n")
    if before.startswith("`") and before.endswith("`"):
        return f"<pre>{html.escape(before.strip('`'))}</pre>"
    shown = f"<p>{html.escape(before)}</p>"
    return shown + (f"<pre>{html.escape(block.removesuffix('```'))}</pre>" if block else "")


def _html_table(table: Table) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = "\n".join(row(cells, "td") for cells in table.rows)
    return f"<table>\n<thead>{row(table.header, 'th')}</thead>\n<tbody>{rows}</tbody>\n</table>"
