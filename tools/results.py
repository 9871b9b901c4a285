"""Collect the metrics of runs into a JSON file, and write the tables of documents from such files.

    python tools/results.py collect runs/quickstart-0 runs/quickstart-1 \\
        --output .results/quickstart.json \\
        --command "accelerate launch tools/pretrain.py --config configs/pretrain/quickstart.yaml --seed N"
    python tools/results.py tables
    python tools/results.py tables --check

`collect` writes the command, the commit of the library, the machine, the date, and a row for each run. Runs
of the same label (V-JEPA=runs/a-0 V-JEPA=runs/a-1) differ only in their seed: they become one row, in which
every number is its mean over the runs with half the width of its 95 % interval. A file that has rows itself,
such as the report.json of a comparison, adds them as they are, with its own commit and machine.
`tables` writes every table of the documents that stands between <!-- results: NAME TABLE --> and
<!-- end of results --> from .results/NAME.json, whose "tables" say which values are shown, and how
(vjepa/result_tables.py). Run it in the root of the repository.

Exit status: 0 done; 1 --check found a document that `tables` would change, or an unexpected error;
2 arguments or files that cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vjepa.evaluation.statistics import estimate
from vjepa.files import written_atomically
from vjepa.result_tables import with_tables
from vjepa.source_commit import source_commit
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.action == "collect":
        collect(options.run, Path(options.output), options.command, options.machine)
        return 0
    return write_tables([Path(name) for name in options.document] or _documents(), check=options.check)


def collect(runs: Sequence[str], output: Path, made_by: str, machine: str | None) -> None:
    """Write the metrics of runs to a JSON file of results.

    The tables of a file that exists are kept. A new file has one table, ``all``, with every metric that is a
    number or a list of numbers, as a draft.

    Args:
        runs: Run folders, or JSON files of other tools; each as PATH or LABEL=PATH.
        output: JSON file to write.
        made_by: Command that made the runs.
        machine: Machine on which the runs were made; None for this one.

    Raises:
        ValueError: A run is not finished.
    """
    found = [result for run in runs for result in _results_of(run)]
    rows = _over_seeds([result.row for result in found])
    tables = json.loads(output.read_text())["tables"] if output.exists() else {"all": _draft(rows[0])}
    results = {
        "command": made_by,
        "commit": _all_of(result.commit for result in found) or source_commit(),
        "machine": machine or _all_of(result.machine for result in found) or _this_machine(),
        "date": max(result.date for result in found),
        "rows": rows,
        "tables": tables,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(output) as draft:
        draft.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {output}: {len(rows)} rows, tables {', '.join(tables)}")


def write_tables(documents: Sequence[Path], *, check: bool) -> int:
    """Write the tables of documents anew, and return the exit status.

    Args:
        documents: Files in Markdown.
        check: Change nothing; return 1 if a document would change.

    Raises:
        ValueError: A marker of a document has no partner, or names something that is not there.
    """
    changed = []
    for document in documents:
        before = document.read_text()
        try:
            after = with_tables(before, Path(".results"))
        except ValueError as error:
            raise ValueError(f"{document}: {error}") from error
        if after == before:
            continue
        changed.append(document)
        if not check:
            with written_atomically(document) as draft:
                draft.write_text(after)
    for document in changed:
        print(f"{document}: {'differs from .results: run tools/results.py tables' if check else 'written'}")
    return int(check and bool(changed))


class _Result(NamedTuple):
    """A row of results, and where it comes from.

    Attributes:
        row: Label, seed and metrics.
        date: Day on which the metrics were written.
        commit: Commit of the library that is stored with the metrics; None if there is none.
        machine: Machine that is stored with the metrics; None if there is none.
    """

    row: dict[str, Any]
    date: str
    commit: str | None
    machine: str | None


def _results_of(text: str) -> list[_Result]:
    """Read the rows of a run folder or of another tool's file: one, unless the file has rows itself."""
    label, _, name = ("", "", text) if Path(text).exists() or "=" not in text else text.partition("=")
    path = Path(name)
    metrics = path / "summary.json" if path.is_dir() else path
    if not metrics.is_file():
        raise ValueError(f"{metrics} is not there: give a run folder that is finished, or a tool's JSON file")
    date = datetime.fromtimestamp(metrics.stat().st_mtime, UTC).date().isoformat()
    known = json.loads(metrics.read_text())
    origin = (date, known.get("commit"), known.get("machine"))
    if isinstance(known.get("rows"), list):
        return [_Result(row, *origin) for row in known["rows"]]
    row = {"label": label or path.name, "seed": known.get("seed"), "metrics": known}
    if path.is_dir():
        row["seed"] = yaml.safe_load((path / "config.yaml").read_text())["seed"]
    return [_Result(row, *origin)]


def _over_seeds(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each label: a single row as it is, several with their metrics averaged."""
    by_label: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row)
    return [same[0] if len(same) == 1 else _mean_row(same) for same in by_label.values()]


def _mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average the rows of runs that differ in their seed."""
    metrics = _mean_metrics([row["metrics"] for row in rows])
    return {"label": rows[0]["label"], "seeds": [row["seed"] for row in rows], "metrics": metrics}


def _mean_metrics(values: Sequence[Any]) -> Any:
    """Average every number that all runs have, in dictionaries and in lists of equal length.

    Lists of texts, such as alarms, are joined. Of all else, what is the same in all runs is kept, and the
    rest becomes None.
    """
    first = values[0]
    if all(isinstance(value, dict) for value in values):
        shared = [key for key in first if all(key in value for value in values)]
        return {key: _mean_metrics([value[key] for value in values]) for key in shared}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        found = estimate([float(value) for value in values])
        return {"mean": found.mean, "half": found.half, "count": found.count}
    if all(isinstance(value, list) for value in values):
        if all(isinstance(item, str) for value in values for item in value):
            return [item for value in values for item in value]
        if len({len(value) for value in values}) == 1:
            return [_mean_metrics(items) for items in zip(*values, strict=True)]
    return first if all(value == first for value in values) else None


def _all_of(texts: Iterable[str | None]) -> str | None:
    """Return the different texts, separated by semicolons; None if there are none."""
    return "; ".join(dict.fromkeys(text for text in texts if text)) or None


def _draft(row: dict[str, Any]) -> dict[str, Any]:
    """Return a table of all numbers of a row, from which columns can be chosen."""
    keys = ["label", "seed", *(f"metrics.{key}" for key in _numbers(row["metrics"]))]
    return {"title": "", "columns": [{"header": key, "key": key, "format": "{}"} for key in keys]}


def _numbers(metrics: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all numbers, and of all lists that begin with a number."""
    for key, value in metrics.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(first, int | float):
            yield prefix + key


def _this_machine() -> str:
    """Describe this machine's accelerator, or its processor if it has none."""
    # Imported here, because the tables of documents need no torch.
    import torch

    from vjepa.profiling.timing import machine_name

    return machine_name(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))


def _documents() -> list[Path]:
    """Return all documents that may have tables of results; pages that are made of others have none."""
    pages = Path("docs/pages")
    written = [page for page in sorted(pages.rglob("*.md")) if page.relative_to(pages).parts[0] != "made"]
    return [Path("README.md"), Path("vjepa/README.md"), *written]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    collecting = actions.add_parser("collect", help="Write the metrics of runs to a JSON file.")
    collecting.add_argument(
        "run",
        nargs="+",
        help="Folder of a finished run, or a JSON file that another tool wrote; LABEL=FOLDER labels its row "
        "(default: the folder's name). Runs of one label become one row, averaged over their seeds.",
    )
    collecting.add_argument(
        "--output", required=True, help="JSON file to write; if it exists, its tables are kept."
    )
    collecting.add_argument("--command", required=True, help="Command that made the runs.")
    collecting.add_argument("--machine", help="Machine on which the runs were made (default: this one).")
    writing = actions.add_parser("tables", help="Write the tables of documents from the JSON files.")
    writing.add_argument(
        "document",
        nargs="*",
        help="Document in Markdown (default: README.md, vjepa/README.md and those in docs/pages).",
    )
    writing.add_argument(
        "--check", action="store_true", help="Change nothing; exit with status 1 if a document would change."
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
