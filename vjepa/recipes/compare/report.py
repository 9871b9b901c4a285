"""The report of a comparison: one self-contained HTML file with plots, and a Markdown file without."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import yaml

from vjepa.foreign_text import in_table
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_plots import all_plots
from vjepa.recipes.compare.report_sections import Section, Table, all_sections
from vjepa.recipes.compare.results import Results

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr:hover { background: #f6f6f6; } svg { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


def write_report(comparison: CompareConfig, results: Results, command: str, made_on: str) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the comparison's folder.

    Args:
        comparison: Configuration of the comparison.
        results: Metrics of all cells.
        command: Command that made the report, which is printed in it.
        made_on: Sentence that describes the machine, without a full stop.

    Returns:
        Paths of the two files.
    """
    folder = Path(comparison.output_dir)
    sections = [*all_sections(comparison, results), _settings_section(comparison, command, made_on)]
    written = {
        folder / "report.html": _html(comparison.title, sections, all_plots(comparison, results)),
        folder / "report.md": _markdown(comparison.title, sections),
    }
    for path, text in written.items():
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return list(written)


def _settings_section(comparison: CompareConfig, command: str, made_on: str) -> Section:
    arms = ", ".join(f"{name} ({arm.title})" for name, arm in comparison.arms.items())
    base = yaml.safe_dump(comparison.base, sort_keys=False, default_flow_style=None, width=100)
    overrides = {name: arm.overrides for name, arm in comparison.arms.items() if arm.overrides}
    differing = yaml.safe_dump(overrides, sort_keys=False, default_flow_style=None, width=100)
    text = [
        f"`{command}`",
        f"Arms: {arms}. Seeds: {', '.join(map(str, comparison.seeds))}. {made_on}.",
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
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
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
