"""Compare pre-training methods on the same clips, encoder and budget, and write a report.

    python tools/compare.py --config configs/compare/rendered.yaml

Trains and measures all runs of the comparison, and writes report.html, which contains all plots, and
report.md to its output_dir. The same command again resumes the comparison; finished runs are kept.

Exit status: 0 done; 1 an unexpected error, or one that showed during training; 2 a configuration that cannot
be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.config import read_config
from vjepa.profiling.timing import machine_name
from vjepa.recipes.compare.cells import all_cells, run_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.measure import measure_cell
from vjepa.recipes.compare.report import write_report
from vjepa.recipes.compare.results import Results
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    comparison = read_config(given, CompareConfig, __doc__)
    cells = all_cells(comparison)
    run_cells(cells, measure_cell, comparison.jobs, lambda message: print(message, flush=True))
    typed = "python tools/compare.py " + shlex.join(given)
    made_on = f"Made on {machine_name(torch.device('cpu'))}, {comparison.jobs} runs at a time"
    for path in write_report(comparison, Results(cells), typed, made_on):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
