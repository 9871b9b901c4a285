"""Measure how well a probe of frozen tokens anticipates actions before they start.

    vjepa anticipate --model runs/mine --train 'segments.csv?split=train' \\
        --test 'segments.csv?split=test'

Each row of a manifest is an action: its video, `label`, and `start` in seconds. As in V-JEPA 2, the probe
reads the tokens of the frames up to --horizon seconds before the start, and the model's prediction of the
tokens at the start. For comparison, a second probe reads only the tokens of the frames. Prints a table of
mean-class recalls and writes them to anticipation.json.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split

from vjepa.config import checks
from vjepa.data.manifest import read_manifest
from vjepa.evaluation.future.anticipation import evaluate_anticipation
from vjepa.files import ready_folder, results_home
from vjepa.inference.device_options import add_device_options, placed
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    _anticipate(_parser().parse_args(arguments))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument(
        "--train",
        required=True,
        help="Manifest of actions to train the probe on; FILE?column=value takes the rows with that value.",
    )
    parser.add_argument(
        "--test", required=True, help="Manifest of actions in other videos to test the probe on."
    )
    parser.add_argument(
        "--horizon",
        type=float,
        default=1.0,
        help="Time in seconds from the last frame that the model sees to the start of a test action "
        "(default 1.0).",
    )
    parser.add_argument(
        "--output",
        help="Output folder (default: anticipation/ in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="Random seed of the horizons in training and of the probes (default 0).",
    )
    add_device_options(parser)
    return parser


def _anticipate(options: argparse.Namespace) -> None:
    checks.options_at_least(options, seed=0)
    model = placed(from_pretrained(options.model), options)
    train, test = read_manifest(options.train), read_manifest(options.test)
    folder = ready_folder(options.output or results_home(options.model) / "anticipation")
    report = evaluate_anticipation(
        model,
        train,
        test,
        horizon=options.horizon,
        seed=options.seed,
        progress=True,
    )
    metrics = {
        "model": options.model,
        "train": options.train,
        "test": options.test,
        **report.to_json(),
    }
    (folder / "anticipation.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(report.table())
    print(folder / "anticipation.json")
