"""Classify videos with a model trained by vjepa finetune.

    vjepa classify --model runs/finetune --videos clip.mp4
    vjepa classify --model runs/finetune --videos folder --film

Prints the most probable classes of every video and writes to --output:
    scores.csv    the probability of every class for every video
    confusion.png, classes.md, accuracy.json
                  the confusion matrix, and accuracies with 95 % intervals, as vjepa finetune reports them;
                  only for videos with labels (from a manifest, or a folder with one folder per class)
    NAME.mp4      with --film, the video with its most probable classes over time written into the frames

Exit status: 0 done; 1 some videos could not be read (they are named, all others are classified), or an
unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import numpy as np
import torch
from torch import Tensor

from vjepa.config import checks
from vjepa.data.clips import frame_duration
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.rendered import FOREIGN
from vjepa.evaluation.recognition.report import report_of, with_class_names, write_scores_of
from vjepa.files import ready_folder, results_home
from vjepa.foreign_text import one_line
from vjepa.inference.classifier import Answer, VideoClassifier
from vjepa.inference.device_options import add_device_options, placed
from vjepa.plots.confusion import write_confusion
from vjepa.plots.labelled_video import write_labelled_film
from vjepa.training.stop import command

MOST_FRAMES = 100_000  # largest number of frames of a film, which are all in memory at once


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    return _classify(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        required=True,
        help="Run folder of vjepa finetune, its model folder, or a released classifier.",
    )
    parser.add_argument("--videos", required=True, help="Video, folder of videos, or manifest to classify.")
    parser.add_argument(
        "--top",
        type=int,
        default=3,
        help="Number of most probable classes to print for each video (default 3).",
    )
    parser.add_argument(
        "--clips",
        type=int,
        help="Number of clips spread over each video (default: as in the model's evaluation settings).",
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=[1, 3],
        help="Number of crops of each clip (default: as in the model's evaluation settings).",
    )
    parser.add_argument(
        "--film",
        action="store_true",
        help="Also write each video as an .mp4 that shows its classes over time.",
    )
    parser.add_argument(
        "--output",
        help="Output folder (default: classified/ in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    add_device_options(parser)
    return parser


def _classify(options: argparse.Namespace) -> int:
    checks.options_at_least(options, clips=1, top=1)
    classifier = VideoClassifier.from_pretrained(options.model, clips=options.clips, crops=options.crops)
    placed(classifier.network, options)
    videos = read_manifest(options.videos)
    folder = ready_folder(options.output or results_home(options.model) / "classified")
    read: list[Video] = []
    scores: list[Tensor] = []
    for number, video in enumerate(videos):
        try:
            answer = classifier.predict(video.path, start=video.start, end=video.end)
        except ValueError as error:
            print(f"{video.path}: not read: {error}", file=sys.stderr)
            continue
        shown = ", ".join(f"{name} {probability:.1%}" for name, probability in answer.top(options.top))
        print(one_line(f"{video.path}: {shown}"))
        read.append(video)
        scores.append(_in_order(answer, classifier.classes))
        if options.film:
            _write_film(classifier, video, folder / f"{number:04d}_{Path(video.path).stem}.mp4", options.top)
    if read:
        scores_VX = torch.stack(scores)
        write_scores_of(folder, read, scores_VX, classifier.classes)
        _compare(folder, read, scores_VX, classifier.classes)
        print(f"scores of {len(read)} of {len(videos)} videos: {one_line(folder)}")
    foreign = sum(classifier.processor.is_foreign(video.path) for video in read)
    if foreign:
        print(f"warning about {foreign} of {len(videos)} videos: {FOREIGN}")
    return 0 if len(read) == len(videos) else 1


def _compare(folder: Path, videos: Sequence[Video], scores_VX: Tensor, classes: Sequence[str]) -> None:
    """Write the metrics of labelled videos, if there are any, or print why they cannot be computed."""
    rows = [row for row, video in enumerate(videos) if video.label is not None]
    if not rows:
        return
    given = [videos[row] for row in rows]
    labelled = with_class_names(given, classes)
    if labelled != given:
        shown = f"0 is '{classes[0]}', {len(classes) - 1} is '{classes[-1]}'"
        print(one_line(f"the labels are numbers, which are taken as the model's class indices: {shown}"))
    try:
        report = report_of(labelled, scores_VX[rows], classes)
    except ValueError as error:
        print(one_line(f"accuracies are not computed: {error}"), file=sys.stderr)
        return
    write_confusion(folder, report)
    (folder / "accuracy.json").write_text(json.dumps(report.to_json(), indent=2) + "\n")
    print(f"{report.table()}\n{report.headline()}")


def _in_order(answer: Answer, classes: Sequence[str]) -> Tensor:
    found = dict(zip(answer.classes, answer.probabilities, strict=True))
    return torch.tensor([found[name] for name in classes])


def _write_film(classifier: VideoClassifier, video: Video, path: Path, top: int) -> None:
    windows = list(classifier.over_time(video.path))
    with classifier.processor.open(video.path) as reader:
        timestamps = reader.timestamps
        if len(timestamps) > MOST_FRAMES:
            raise ValueError(
                f"{video.path} has {len(timestamps)} frames: a film has at most {MOST_FRAMES}; cut the video"
            )
        frames_TCHW = reader.get_frames(np.arange(len(timestamps)))
    # A frame shows the classes of the window whose middle is nearest in time.
    middles = np.array([(start + end) / 2 for start, end, _ in windows])
    nearest_T = np.abs(timestamps[:, None] - middles).argmin(axis=1)
    lines = [
        [f"{time:.2f} s", *(f"{name} {share:.0%}" for name, share in windows[row][2].top(top))]
        for time, row in zip(timestamps, nearest_T, strict=True)
    ]
    write_labelled_film(frames_TCHW, lines, path, 1 / frame_duration(timestamps))
