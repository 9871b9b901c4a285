"""Name what videos show, with a model that tools/finetune.py made.

    python tools/classify.py --model runs/finetune --videos clip.mp4
    python tools/classify.py --model runs/finetune --videos folder --film

Prints the most probable classes of every video, and writes to --output
    scores.csv  the probabilities of all classes
    NAME.mp4    with --film, the video with what it shows from moment to moment written into it
Exit status: 0 done, 1 some videos could not be read (they are named, the rest is done), 2 arguments that cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from vjepa import build
from vjepa.data.manifest import VIDEO_SUFFIXES, Video
from vjepa.data.readers.open import open_video
from vjepa.data.rendered import FOREIGN
from vjepa.evaluation.labelled_film import write_labelled_film
from vjepa.evaluation.score_file import write_scores
from vjepa.foreign_text import one_line
from vjepa.inference.classifier import Answer, VideoClassifier

MOST_FRAMES = 100_000  # of a film: they are held in memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _classify(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", required=True, help="folder of a run of tools/finetune.py, or of its model"
    )
    parser.add_argument("--videos", required=True, help="a video, a folder of videos, or a manifest")
    parser.add_argument("--top", type=int, default=3, help="classes to print (default 3)")
    parser.add_argument("--clips", type=int, help="clips of each video (default: as the model was evaluated)")
    parser.add_argument("--crops", type=int, choices=[1, 3], help="crops of each clip (default: the same)")
    parser.add_argument("--film", action="store_true", help="write an .mp4 of every video")
    parser.add_argument("--output", help="folder (default: classified/ in the model's)")
    return parser


def _classify(options: argparse.Namespace) -> int:
    classifier = VideoClassifier.from_pretrained(options.model, clips=options.clips, crops=options.crops)
    classifier.to(Accelerator().device)
    folder = Path(options.output or Path(options.model) / "classified")
    folder.mkdir(parents=True, exist_ok=True)
    read: list[Video] = []
    scores: list[Tensor] = []
    videos = _videos(options.videos)
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
        labels = [video.label or "" for video in read]
        paths = [video.path for video in read]
        write_scores(folder / "scores.csv", paths, labels, torch.stack(scores), classifier.classes)
    foreign = sum(classifier.processor.is_foreign(video.path) for video in read)
    if foreign:
        print(f"of {foreign} of {len(videos)} videos: {FOREIGN}")
    return 0 if len(read) == len(videos) else 1


def _videos(source: str) -> list[Video]:
    if Path(source).is_file() and Path(source).suffix.lower() in VIDEO_SUFFIXES:
        return [Video(source)]
    return build.read_source(source)


def _in_order(answer: Answer, classes: Sequence[str]) -> Tensor:
    found = dict(zip(answer.classes, answer.probabilities, strict=True))
    return torch.tensor([found[name] for name in classes])


def _write_film(classifier: VideoClassifier, video: Video, path: Path, top: int) -> None:
    windows = list(classifier.over_time(video.path))
    with open_video(video.path) as reader:
        timestamps = reader.timestamps
        if len(timestamps) > MOST_FRAMES:
            raise ValueError(
                f"{video.path} has {len(timestamps)} frames: a film has at most {MOST_FRAMES}; cut it before"
            )
        frames_TCHW = reader.get_frames(np.arange(len(timestamps)))
    # A frame shows the answer of the window whose middle is nearest.
    middles = np.array([(start + end) / 2 for start, end, _ in windows])
    nearest_T = np.abs(timestamps[:, None] - middles).argmin(axis=1)
    lines = [
        [f"{time:.2f} s", *(f"{name} {share:.0%}" for name, share in windows[row][2].top(top))]
        for time, row in zip(timestamps, nearest_T, strict=True)
    ]
    rate = 1 / float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 25.0
    write_labelled_film(frames_TCHW, lines, path, rate)


if __name__ == "__main__":
    sys.exit(main())
