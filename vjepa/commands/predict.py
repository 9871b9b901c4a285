"""Predict what comes next in videos: embeddings, their errors, and plots.

    vjepa predict --model runs/quickstart --videos video.mp4
    vjepa predict --model runs/quickstart --videos videos.csv --seconds 0.5 1.0 --film

At every time step with a complete context before it, the model predicts the embeddings of the following time
steps from the frames of the context alone. Writes to --output:
    NAME.safetensors  predicted embeddings (contexts, horizons, h, w, width) with metadata; or NAME.npz
    NAME.png          frames; colours of true and predicted embeddings (one basis per video); the true frames
                      nearest to each prediction; surprise over the frame and over time
    NAME.mp4          with --film, the frames and these maps as a film
    NAME.html         with --page, one page that plays the video with these maps and the curve of surprise
    future.json       errors, baselines and skills at every horizon, over all contexts of all videos

Exit status: 0 done; 1 some videos could not be read and were left out, or an unexpected error; 2 arguments
that cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from vjepa.config import checks
from vjepa.data.clips import EmptyRangeError
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.processor import Frames, read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.rendered import FOREIGN
from vjepa.evaluation.future.skill import (
    AtHorizon,
    Embedded,
    HorizonReport,
    embed_clips,
    horizon_report,
    skill_table,
    window_and_last,
)
from vjepa.files import name_of_model, ready_folder, results_home
from vjepa.foreign_text import one_line
from vjepa.inference.device_options import add_device_options, placed
from vjepa.inference.forecast import Window
from vjepa.inference.surprise import sliding_windows
from vjepa.models.video_model import VideoModel
from vjepa.plots.future import draw_future, write_future_film
from vjepa.plots.video_page import write_video_page
from vjepa.plots.watched import page_of, watch
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    return 1 if _predict(_parser().parse_args(arguments)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument("--videos", required=True, help="Video, folder of videos, or manifest to predict in.")
    parser.add_argument(
        "--context", type=int, help="Length of the context in time steps (default: as in training)."
    )
    horizons = parser.add_mutually_exclusive_group()
    horizons.add_argument(
        "--steps",
        type=int,
        nargs="+",
        help="Horizons in time steps after the context (default: all as far as the model's window reaches, "
        "and as many again if its predictions can be rolled out, within the video).",
    )
    horizons.add_argument(
        "--seconds", type=float, nargs="+", help="Horizons in seconds after the context, instead of --steps."
    )
    parser.add_argument(
        "--which",
        choices=["target_encoder", "encoder"],
        help="Encoder of the videos (default: the target encoder, where there is one).",
    )
    parser.add_argument(
        "--format",
        choices=["safetensors", "npz"],
        default="safetensors",
        help="File format of the predicted embeddings (default safetensors).",
    )
    parser.add_argument(
        "--film", action="store_true", help="Also write a film (.mp4) of every video that gets a plot."
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="Also write a page (.html) of every video that gets a plot: it plays the video with the maps "
        "over it and the curve of surprise below.",
    )
    parser.add_argument(
        "--plots", type=int, default=8, help="Largest number of videos that get a plot (default 8)."
    )
    add_device_options(parser)
    parser.add_argument(
        "--output",
        help="Output folder (default: future/ in the folder given by --model; for a file or a model on the "
        "hub, in a new folder of its name).",
    )
    return parser


def _predict(options: argparse.Namespace) -> int:
    """Predict in every video; returns the number of videos that cannot be read, which are named on stderr."""
    checks.options_at_least(options, plots=0)
    model = placed(from_pretrained(options.model, options.which), options)
    videos = [dataclasses.replace(video, label=None) for video in read_manifest(options.videos)]
    folder = ready_folder(options.output or results_home(options.model) / "future")
    window, last = window_and_last(model, None, options.context)
    found: list[_Found] = []
    names = _names(videos)
    depth = model.encoder.tubelet.t
    for number, video in enumerate(tqdm(videos, unit="video", disable=len(videos) == 1 or None)):
        try:
            frames = read_frames(video.path, model.processor, start=video.start, end=video.end)
            duration = frames.period * depth
            most = min(last, len(frames.video_TCHW) // depth - window.context_steps - 1)
            horizons = _horizons(options, most, duration)
            embedded = embed_video(model, frames, window, max(horizons.values()))
        except (VideoDecodeError, EmptyRangeError) as error:
            if len(videos) == 1:
                raise
            tqdm.write(one_line(f"not read: {error}"), file=sys.stderr)
            continue
        found.append(_Found(embedded, horizons, round(duration, 9), video.group or video.path))
        steps = sorted(set(horizons.values()))
        _save(folder / names[number], embedded, steps, window, frames, model, options.format)
        if number < options.plots:
            _draw(folder / names[number], model, frames, embedded, window, options)
    if not found:
        raise ValueError(f"none of the {len(videos)} videos can be read: vjepa validate reports why")
    foreign = sum(model.processor.is_foreign(video.path) for video in videos)
    _report(folder, found, window, foreign, options)
    return len(videos) - len(found)


class _Found(NamedTuple):
    """Predictions in a video: embeddings, horizons, duration of a time step, and group.

    Horizons are time steps, by what was asked for: the same steps, or seconds.
    """

    embedded: Embedded
    horizons: dict[float, int]
    duration: float
    group: str


def _names(videos: Sequence[Video]) -> list[str]:
    """Return the file names without suffix, numbered where they are not unique."""
    stems = [Path(video.path).stem for video in videos]
    taken = {stem for stem in stems if stems.count(stem) == 1}
    names = []
    for stem in stems:
        free = (f"{stem}_{number}" for number in itertools.count())
        names.append(stem if stem in taken else next(name for name in free if name not in taken))
        taken.add(names[-1])
    return names


def _horizons(options: argparse.Namespace, most: int, duration: float) -> dict[float, int]:
    """Return the horizons in time steps, by the number of steps or seconds that was asked for, ascending.

    Args:
        options: Command-line options.
        most: Last horizon without --steps and --seconds, which is at least 1.
        duration: Duration of a time step in seconds.
    """
    asked = options.seconds or options.steps or range(1, max(most, 1) + 1)
    if min(asked) <= 0:
        raise ValueError(
            f"horizons are {options.seconds or options.steps}: the future begins after the context, so give "
            "numbers above 0"
        )
    if options.seconds is None:
        return {step: step for step in sorted(asked)}
    return {seconds: math.ceil(seconds / duration - 1e-6) for seconds in sorted(asked)}


def embed_video(model: VideoModel, frames: Frames, window: Window, last: int) -> Embedded:
    """Embed every context of a video that the model's window and `last` time steps follow, with predictions.

    In a video that is shorter than the window, `last` time steps are enough.

    Raises:
        EmptyRangeError: The video is too short.
    """
    depth = model.encoder.tubelet.t
    steps = window.context_steps + max(last, window.rest)
    if len(frames.video_TCHW) < steps * depth:
        steps = window.context_steps + last
    if len(frames.video_TCHW) < steps * depth:
        raise EmptyRangeError(
            f"{frames.path} has {len(frames.video_TCHW)} frames at the model's rate; a context of "
            f"{window.context_steps} and a horizon of {last} time steps of {depth} frames need "
            f"{steps * depth}: give a longer video, fewer --steps, or a shorter --context"
        )
    return embed_clips(model, sliding_windows(frames.video_TCHW, steps, depth), window, last)


def _save(
    path: Path,
    embedded: Embedded,
    horizons: Sequence[int],
    window: Window,
    frames: Frames,
    model: VideoModel,
    kind: str,
) -> None:
    """Write predicted embeddings with the metadata needed to use them."""
    depth, duration = model.encoder.tubelet.t, frames.period * model.encoder.tubelet.t
    chosen_VFSY = embedded.predicted_VFSY[:, [horizon - 1 for horizon in horizons]]
    predicted = chosen_VFSY.unflatten(2, (window.grid.h, window.grid.w)).contiguous()
    ends = [
        float(frames.starts[(row + window.context_steps) * depth - 1] + frames.period)
        for row in range(len(predicted))
    ]
    metadata = {
        "video": frames.path,
        "steps": list(horizons),
        "seconds": [horizon * duration for horizon in horizons],
        "context_steps": window.context_steps,
        "grid": [window.grid.h, window.grid.w],
        "encoder": model.config["which"],
        "mask_token": window.mask_token,
        "normalisation": model.config["future"]["normalisation"],
    }
    tensors = {"predicted": predicted, "context_end": torch.tensor(ends, dtype=torch.float64, device="cpu")}
    if kind == "npz":
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays["metadata"] = np.array(json.dumps(metadata))
        np.savez(path.with_name(f"{path.name}.npz"), **arrays)  # type: ignore[arg-type]
        return
    text = {name: json.dumps(value) for name, value in metadata.items()}
    save_file(tensors, path.with_name(f"{path.name}.safetensors"), metadata=text)


def _draw(
    path: Path,
    model: VideoModel,
    frames: Frames,
    embedded: Embedded,
    window: Window,
    options: argparse.Namespace,
) -> None:
    """Draw plot, film and page of a video, for horizon 1 and the last one that is predicted at once."""
    watched = watch(model, frames, embedded, window)
    map_thw = None if watched.surprise is None else watched.surprise.map_thw
    curve_t = None if watched.surprise is None else watched.surprise.curve
    drawn = (watched.frames_tCHW, watched.rows)
    draw_future(*drawn, curve_t, map_thw, watched.step_seconds, path.with_name(f"{path.name}.png"))
    if options.film:
        rate = 1 / (frames.period * watched.depth)
        write_future_film(*drawn, map_thw, path.with_name(f"{path.name}.mp4"), rate)
    if options.page:
        title = f"What {name_of_model(options.model)} predicts in {path.name}"
        notes = [f"Warning: {FOREIGN}."] if model.processor.is_foreign(frames.path) else []
        write_video_page(path.with_name(f"{path.name}.html"), page_of(watched, title, notes))


def _report(
    folder: Path, found: Sequence[_Found], window: Window, foreign: int, options: argparse.Namespace
) -> None:
    """Write and print metrics over all videos.

    `foreign` of them show what a model that saw only this library's rendered videos cannot know.
    """
    asked = sorted({horizon for video in found for horizon in video.horizons})
    reports = [
        report for horizon in asked if (report := _pooled(found, horizon, window, options)) is not None
    ]
    contexts = sum(len(video.embedded.true_VFSY) for video in found)
    metrics: dict[str, Any] = {
        "model": options.model,
        "videos": len(found),
        "foreign_videos": foreign,
        "contexts": contexts,
        "horizons": [dataclasses.asdict(report) for report in reports],
    }
    (folder / "future.json").write_text(json.dumps(metrics, indent=2) + "\n")
    if reports:
        over = "videos or groups" if len({v.group for v in found}) > 1 else "contexts, which overlap in time"
        print(f"{contexts} contexts of {len(found)} videos; intervals are over {over}")
        print(skill_table(reports))
    else:
        print("one context alone: skills over baselines need two, so give a longer video, or several")
    if foreign:
        print(f"warning about {foreign} of {len(found)} videos: {FOREIGN}")
    print(folder)


def _pooled(
    found: Sequence[_Found], asked: float, window: Window, options: argparse.Namespace
) -> HorizonReport | None:
    """Measure a horizon over all contexts of the videos that reach it; None for a single context."""
    videos = [video for video in found if asked in video.horizons]
    clips = AtHorizon.joined([video.embedded.at(video.horizons[asked]) for video in videos])
    if len(clips.true_VSY) < 2:
        return None
    steps, durations = ({one[asked] for one in (v.horizons for v in videos)}, {v.duration for v in videos})
    step = steps.pop() if len(steps) == 1 else None
    seconds = step * durations.pop() if step is not None and len(durations) == 1 else None
    if options.seconds is not None and seconds is None:
        seconds = asked
    groups = [video.group for video in videos for _ in video.embedded.true_VFSY]
    return horizon_report(clips, window, step=step, seconds=seconds, groups=groups)
