"""Examine a model as a world model: what does it know of the future, of objects and of time?

    vjepa exam --model runs/quickstart
    vjepa exam --model RUN --videos 'videos.csv?split=test'
    vjepa exam --model runs/two_rooms --episodes runs/two_rooms/episodes/test

Any model can be examined, trained here or released; what it cannot do is left out, with the reason. Sections:
skill over copying at every horizon, the arrow of time, violations, occlusion, tracking and corruption, each
beside untrained networks and pixels; for an action-conditioned model, whether what it imagines depends on the
actions. Prints tables, and writes exam.json and exam.html, one page with plots that needs no other file.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.data.manifest import read_manifest
from vjepa.data.trajectories.open import read_episodes
from vjepa.data.trajectories.window import WindowConfig
from vjepa.evaluation.exam import Exam
from vjepa.files import name_of_model, ready_folder, results_home
from vjepa.inference.device_options import add_device_options, placed
from vjepa.plots.exam_page import write_exam_page
from vjepa.recipes.exam.run import ExamSettings, examine, examine_actions
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained, load_action_model


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    folder = Path(options.output or results_home(options.model) / "exam")
    exam = _examined(options, folder)
    (folder / "exam.json").write_text(json.dumps(exam.to_json(), indent=2) + "\n")
    write_exam_page(folder / "exam.html", exam)
    print(exam.table())
    print(folder / "exam.html")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--videos",
        help="Folder or manifest of videos that the model was not trained on, for the sections on the "
        "future, the arrow of time and corruption (default: rendered videos).",
    )
    source.add_argument(
        "--episodes",
        help="Episodes with actions that the model was not trained on: needed for an action-conditioned "
        "model, and only for one.",
    )
    default = ExamSettings()
    parser.add_argument(
        "--num_sets",
        type=int,
        default=default.num_sets,
        help=f"Number of rendered sets of each kind of violation (default {default.num_sets}).",
    )
    parser.add_argument(
        "--num_ordinary",
        type=int,
        default=default.num_ordinary,
        help="Number of rendered videos without violations, by which surprise is judged; 20 or more "
        f"(default {default.num_ordinary}).",
    )
    parser.add_argument(
        "--num_videos",
        type=int,
        default=default.num_videos,
        help=f"Number of videos of each other section (default {default.num_videos}).",
    )
    parser.add_argument(
        "--nulls",
        type=int,
        default=default.nulls,
        help=f"Number of untrained networks, one for each random seed; 2 or more (default {default.nulls}).",
    )
    parser.add_argument(
        "--steps",
        type=int,
        help="Last horizon of the future in time steps (default: as many as the model predicts at once).",
    )
    parser.add_argument(
        "--output",
        help="Output folder (default: exam/ in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    add_device_options(parser)
    return parser


def _examined(options: argparse.Namespace, folder: Path) -> Exam:
    name = name_of_model(options.model)
    if options.episodes is not None:
        given = [name for name, value in asdict(ExamSettings()).items() if getattr(options, name) != value]
        if given:
            raise ValueError(
                f"--{', --'.join(given)} are for video models, and --episodes for an action-conditioned one: "
                "leave out one or the other"
            )
        action_model, config = load_action_model(options.model)
        placed(action_model, options)
        window = WindowConfig(**config["trajectories"])
        states = action_model.dynamics.state_size > 0
        episodes = read_episodes(options.episodes, states=states, least_frames=window.span)
        ready_folder(folder)
        return examine_actions(action_model, name, window, episodes)
    model = placed(from_pretrained(options.model), options)
    if "dynamics" in model.config:
        raise ValueError(
            f"{options.model} is an action-conditioned model, which is examined by episodes with actions: "
            "give --episodes"
        )
    settings = ExamSettings(
        num_sets=options.num_sets,
        num_ordinary=options.num_ordinary,
        num_videos=options.num_videos,
        nulls=options.nulls,
        steps=options.steps,
    )
    videos = None if options.videos is None else read_manifest(options.videos)
    return examine(model, name, ready_folder(folder), videos, settings)


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
