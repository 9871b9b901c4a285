"""Markdown tables of measured results, written into documents from JSON files, so that nobody types a figure.

A JSON file of results has ``rows``, and ``tables`` that choose from them, by name::

    {
      "command": "accelerate launch -m vjepa pretrain --config configs/pretrain/quickstart.yaml",
      "rows": [{"seed": 1, "metrics": {"probe": {"linear": {"trained": 0.863}}}}],
      "tables": {
        "probe": {
          "title": "Balanced accuracy of the frozen probe",
          "columns": [
            {"header": "seed", "key": "seed"},
            {"header": "trained", "key": "metrics.probe.linear.trained", "format": "{:.1percent} %"}
          ]
        }
      }
    }

A table has one line for each row. A column has these keys:

- ``header``: Text of the heading.
- ``key``: Path of a value in the row. Its parts are separated by dots: keys of objects, numbers of items in
  lists (from 0), or ``length`` for the length of a list.
- ``format``: Format string of Python, ``{}`` by default. The items of a list are ``{0}``, ``{1}`` and so on,
  and those of an object have their names: ``{mean:.1f} ± {half:.1f}``. After the number of decimals,
  ``percent`` shows a share in percent, and ``bare`` leaves out the zero before the point.
- ``missing``: Text of the cell for a row that has no such value, or null (default: empty).

In a document, the table stands between ``<!-- results: NAME TABLE -->`` and ``<!-- end of results -->``, each
on a line by itself.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_IN_WORDS = {"linear": "ridge", "random": "untrained"}  # keys of summary.json that are not the words


def probe_name(key: str) -> str:
    """Return the word for a key of the probes in summary.json: what is fitted, or to what."""
    return _IN_WORDS.get(key, key)


def probe_rows(probes: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return the name and the accuracies of each probe of a run, in words.

    Args:
        probes: `probe` of summary.json, ``{"linear": {"trained": ..., "random": ..., "chance": ...}}``.
    """
    return {
        f"{probe_name(name)} probe, frozen": ", ".join(
            f"{probe_name(key)} {value:.1%}" for key, value in accuracies.items()
        )
        for name, accuracies in probes.items()
    }


_BLOCK = re.compile(
    r"^<!-- results: (?P<name>\S+) (?P<table>\S+) -->\n.*?^<!-- end of results -->$", re.MULTILINE | re.DOTALL
)


def with_tables(text: str, results: Path) -> str:
    """Return the text of a document with all tables of results written anew.

    Args:
        text: Document in Markdown.
        results: Folder of the JSON files of results.

    Raises:
        ValueError: A marker has no partner, or names results, a table or values that are not there.
    """
    blocks = len(_BLOCK.findall(text))
    begun, ended = (len(re.findall(rf"^<!-- {word}\b", text, re.MULTILINE)) for word in ("results", "end of"))
    if not blocks == begun == ended:
        raise ValueError(
            f"{begun} lines begin a table of results, {ended} end one, and {blocks} belong together: put "
            "each table between <!-- results: NAME TABLE --> and <!-- end of results -->"
        )
    return _BLOCK.sub(lambda block: _block(results / f"{block['name']}.json", block["table"]), text)


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, str]]) -> str:
    """Return a Markdown table with a line for each row.

    Args:
        rows: Measured values.
        columns: Header, key, format and missing text of each column, as the text of this module says.

    Raises:
        ValueError: A value has not the parts or the kind that its column's format needs.
    """
    lines = [
        [column["header"] for column in columns],
        *([_cell(row, column) for column in columns] for row in rows),
    ]
    head, *body = ["|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines]
    return "\n".join([head, "|---" * len(columns) + "|", *body])


def _block(path: Path, name: str) -> str:
    """Return a table of results with its markers."""
    if not path.exists():
        raise ValueError(
            f"{path} is not there: write it with `tools/results.py collect`, or correct the name"
        )
    results = json.loads(path.read_text())
    if name not in results["tables"]:
        raise ValueError(f"{path} has no table {name!r}: it has {', '.join(results['tables'])}")
    try:
        table = markdown_table(results["rows"], results["tables"][name]["columns"])
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path}, table {name!r}: {error}") from error
    return f"<!-- results: {path.stem} {name} -->\n\n{table}\n\n<!-- end of results -->"


def _cell(row: Mapping[str, Any], column: Mapping[str, str]) -> str:
    value = _value(row, column["key"])
    if value is None:
        return column.get("missing", "")
    items = value if isinstance(value, list) else [value]
    form = column.get("format", "{}")
    try:
        return _FORMATTER.vformat(form, items, value if isinstance(value, dict) else {})
    except TypeError as error:
        raise ValueError(
            f"the column {column['header']!r} cannot show {value} as {form!r}: change its format or its key"
        ) from error


def _value(row: Any, key: str) -> Any:
    """Return the value at a path of keys separated by dots, or None if there is none."""
    value = row
    for part in key.split("."):
        if isinstance(value, list):
            value = len(value) if part == "length" else dict(enumerate(value)).get(int(part))
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


class _Formatter(string.Formatter):
    """Python's format strings, with ``percent`` and ``bare`` after the number of decimals."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if value is None:
            raise TypeError("a part of a value is null")
        if format_spec.endswith("percent"):
            return format(100 * value, format_spec.removesuffix("percent") + "f")
        if format_spec.endswith("bare"):
            return re.sub(r"^([+-]?)0\.", r"\1.", format(value, format_spec.removesuffix("bare") + "f"))
        return super().format_field(value, format_spec)


_FORMATTER = _Formatter()
