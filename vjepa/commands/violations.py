"""Measure surprise at physically impossible events, with controls.

    vjepa violations --model runs/box --synthetic --rival VideoMAE=runs/box-pixels
    vjepa violations --model RUN --intphys dev/

With --synthetic, matched possible and impossible videos are rendered under OUTPUT/matched, with the settings
of the model's training videos. Prints a table, and writes violations.json and violations.png, which shows one
pair of every kind with its surprise over time.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.config import checks
from vjepa.data.manifest import read_manifest
from vjepa.data.violation_lists import read_intphys2, read_mvp, read_reversed
from vjepa.data.violation_sets import Matched, read_grasp, read_inflevel, read_intphys, read_matched
from vjepa.evaluation.violations.benchmark import evaluate_violations
from vjepa.files import ready_folder, results_home
from vjepa.inference.device_options import add_device_options, placed
from vjepa.models.video_model import VideoModel
from vjepa.plots.violations import draw_violations
from vjepa.recipes.exam.worlds import calibration_videos, matched_sets, trained_on
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained

LOADERS: dict[str, Callable[[str], list[Matched]]] = {
    "matched": read_matched,
    "intphys": read_intphys,
    "grasp": read_grasp,
    "inflevel": read_inflevel,
    "intphys2": read_intphys2,
    "mvp": read_mvp,
    "reversed": read_reversed,
}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    _measure(_parser().parse_args(arguments))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--synthetic",
        action="store_true",
        help="Render matched videos with the settings of the model's training videos, and measure on these.",
    )
    source.add_argument("--matched", help="Folder of matched videos that were rendered before.")
    source.add_argument("--intphys", help="Folder of IntPhys' dev set.")
    source.add_argument("--grasp", help="Folder of GRASP's level 2.")
    source.add_argument("--inflevel", help="Folder of InfLevel-lab.")
    source.add_argument("--intphys2", help="Folder of a labelled split of IntPhys 2, such as IntPhys2/Main.")
    source.add_argument(
        "--mvp", help="Folder of Minimal Video Pairs: videos/ and the annotations as *.jsonl."
    )
    source.add_argument("--reversed", help="Folder of YoCausal's forward and reversed videos.")
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME=RUN",
        help="Another model to compare with; may be given several times (default: none).",
    )
    parser.add_argument(
        "--num_sets",
        type=int,
        default=50,
        help="Number of rendered sets of each kind, with --synthetic; most sets are two pairs (default 50).",
    )
    parser.add_argument(
        "--ordinary",
        help="Manifest of 20 or more videos without violations that were not trained on: surprise is then "
        "also judged by what is normal in them (default: none; with --synthetic, rendered ones).",
    )
    parser.add_argument(
        "--num_ordinary",
        type=int,
        default=200,
        help="Number of rendered videos without violations, with --synthetic (default 200).",
    )
    parser.add_argument(
        "--nulls",
        type=int,
        default=5,
        help="Number of untrained models, one per random seed, as the baseline; 2 or more (default 5).",
    )
    parser.add_argument(
        "--output",
        help="Output folder (default: violations/ in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    add_device_options(parser)
    return parser


def _measure(options: argparse.Namespace) -> None:
    checks.options_at_least(options, num_sets=1, num_ordinary=20, nulls=2)
    model = placed(from_pretrained(options.model), options)
    rivals = {name: placed(rival, options) for name, rival in map(_rival, options.rival)}
    folder = ready_folder(options.output or results_home(options.model) / "violations")
    ordinary = read_manifest(options.ordinary) if options.ordinary else None
    if options.synthetic:
        world = trained_on(model)
        if world is None:
            raise ValueError(
                "the model was not trained on rendered videos: give --matched, or the folder of a data set"
            )
        sets = matched_sets(world, folder / "matched", options.num_sets, print)
        ordinary = ordinary or calibration_videos(world, folder / "ordinary", options.num_ordinary)
    else:
        sets = _sets(options)
    report = evaluate_violations(
        model, sets, nulls=options.nulls, rivals=rivals, ordinary=ordinary, progress=True
    )
    (folder / "violations.json").write_text(json.dumps(report.to_json(), indent=2) + "\n")
    draw_violations(model, sets, folder / "violations.png")
    print(
        f"{len(sets)} sets, {options.nulls} untrained models, context of {report.reports['model'].fixed} "
        "frames"
    )
    print(report.table())
    print(folder)


def _rival(text: str) -> tuple[str, VideoModel]:
    name, equals, source = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--rival is '{text}': give NAME=RUN, e.g. VideoMAE=runs/pixels")
    return name, from_pretrained(source)


def _sets(options: argparse.Namespace) -> list[Matched]:
    kind = next(name for name in LOADERS if getattr(options, name) is not None)
    return LOADERS[kind](getattr(options, kind))


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
