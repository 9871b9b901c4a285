"""Compare pre-training methods on the same clips and encoder, at equal clips or FLOPs, and write a report.

    vjepa compare --config configs/compare/rendered.yaml

    vjepa compare --config configs/compare/clips.yaml \\
        --splits '[{train: clips.csv?split=train, test: clips.csv?split=test}]'

Trains and measures every arm on every split with every seed. Writes report.html, which contains all plots,
report.md and report.json to output_dir, and prints the first sentences of the report. The same command again
resumes the comparison; finished runs are kept, each with results.json and predictions.csv in cells/.

Exit status: 0 done; 1 an unexpected error, or one that showed during training; 2 a configuration that cannot
be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import read_config
from vjepa.recipes.compare.cells import all_cells, run_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.measure import measure_cell
from vjepa.recipes.compare.report import write_report
from vjepa.recipes.compare.report_answer import answer
from vjepa.recipes.compare.results import Results
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    comparison = read_config(given, CompareConfig, __doc__)
    cells = all_cells(comparison)
    run_cells(cells, measure_cell, comparison.jobs, lambda message: print(message, flush=True))
    typed = "vjepa compare " + shlex.join(given)
    results = Results(cells)
    for line in answer(comparison, results):
        print(line)
    for path in write_report(comparison, results, typed):
        print(path)
    return 0
