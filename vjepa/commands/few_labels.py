"""Measure how many labels are needed: fine-tune several models with 1, 5, 10, 50 and 100 % of them.

    vjepa few_labels --arm V-JEPA=runs/quickstart --arm untrained=random:runs/quickstart \\
        --config finetune/quickstart_probe --grid null --output_dir runs/few_labels

Takes the options below and all those of vjepa finetune. Of each class the given share of labels is used,
at least one; the seed chooses them. Writes few_labels.png, few_labels.md, few_labels.json and all runs to the
output folder. The same command again resumes.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import files_alone, read_config, read_settings
from vjepa.plots.label_curve import label_curve_table
from vjepa.recipes.compare.few_labels import SHARES, few_labels, read_arm
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options, others = _parser().parse_known_args(arguments)
    arms = [read_arm(text) for text in options.arm]
    config = read_config(others, FinetuneConfig)
    recipe = read_settings(files_alone(others), FinetuneConfig)
    curves = few_labels(
        config, arms, recipe=recipe, shares=options.shares, seeds=options.seeds, jobs=options.jobs
    )
    print(label_curve_table(curves))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--arm",
        action="append",
        required=True,
        help="Model to fine-tune, NAME=FOLDER, or NAME=random:FOLDER for an untrained one of the same size; "
        "may be given several times.",
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=SHARES,
        help="Shares of the labels, in (0, 1] (default .01 .05 .1 .5 1).",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help="Random seeds, one run of each arm and share for each (default 0 1 2).",
    )
    parser.add_argument("--jobs", type=int, default=1, help="Number of runs at the same time (default 1).")
    return parser
