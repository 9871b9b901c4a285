"""Which action comes next? Mean-class recall of a probe on frozen tokens, some time before the action starts.

    python tools/anticipate.py --model runs/mine --train segments.csv?split=train --test segments.csv?split=test

Each row of a manifest is an action: its video, `label`, and `start` in seconds. As in V-JEPA 2, the probe reads what was seen
until --horizon seconds before the start, and what the model predicts for the start. Beside it stands a probe that reads only
what was seen. Prints a table; writes anticipation.json. Exit status: 0 done, 2 arguments that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.data.manifest import read_manifest
from vjepa.evaluation.future.anticipation import evaluate_anticipation
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    _anticipate(_parser().parse_args(arguments))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder of a run or of a model")
    parser.add_argument(
        "--train",
        required=True,
        help="manifest of actions to train the probe on; FILE?column=value for a part",
    )
    parser.add_argument("--test", required=True, help="manifest of actions in other videos, to measure it on")
    parser.add_argument(
        "--horizon", type=float, default=1.0, help="seconds before the start, in the test split (default 1.0)"
    )
    parser.add_argument("--output", help="folder (default: anticipation/ in the model's)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of horizons in training and of probes (default 0)"
    )
    return parser


def _anticipate(options: argparse.Namespace) -> None:
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    report = evaluate_anticipation(
        from_pretrained(options.model).to(device),
        read_manifest(options.train),
        read_manifest(options.test),
        horizon=options.horizon,
        seed=options.seed,
        progress=True,
    )
    folder = Path(options.output or Path(options.model) / "anticipation")
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {
        "model": options.model,
        "train": options.train,
        "test": options.test,
        **report.to_json(),
    }
    (folder / "anticipation.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(report.table())
    print(folder / "anticipation.json")


if __name__ == "__main__":
    sys.exit(main())
