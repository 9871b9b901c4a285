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
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from vjepa.data.manifest import VIDEO_SUFFIXES, Video, read_manifest
from vjepa.data.processor import Frames, read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.rendered import FOREIGN
from vjepa.evaluation.future.skill import Embedded, embed_clips, horizon_reports, skill_table, window_and_last
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
        help="Horizons in time steps after the context (default: all up to twice as far as the model's "
        "window reaches).",
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
    parser.add_argument("--output", help="Output folder (default: future/ in the folder given by --model).")
    return parser


def _predict(options: argparse.Namespace) -> int:
    """Predict in every video; returns the number of videos that cannot be read, which are named on stderr."""
    if options.plots < 0:
        raise ValueError(f"--plots is {options.plots}: give 0 or more")
    model = placed(from_pretrained(options.model, options.which), options)
    videos = _videos(options.videos)
    folder = Path(options.output or Path(options.model) / "future")
    window, _ = window_and_last(model, None, options.context)
    found: list[Embedded] = []
    durations: set[float] = set()
    asked: set[int] = set()
    names = _names(videos)
    for number, video in enumerate(tqdm(videos, unit="video", disable=len(videos) == 1 or None)):
        try:
            frames = read_frames(video.path, model.processor, start=video.start, end=video.end)
        except VideoDecodeError as error:
            if len(videos) == 1:
                raise
            tqdm.write(one_line(f"not read: {error}"), file=sys.stderr)
            continue
        depth = model.encoder.tubelet.t
        duration = frames.period * depth
        horizons = _horizons(options, window, len(frames.video_TCHW) // depth, duration)
        asked |= set(horizons)
        embedded = embed_video(model, frames, window, max(horizons))
        found.append(embedded)
        durations.add(round(duration, 9))
        folder.mkdir(parents=True, exist_ok=True)
        _save(folder / names[number], embedded, horizons, window, frames, model, options.format)
        if number < options.plots:
            _draw(folder / names[number], model, frames, embedded, window, options)
    if not found:
        raise ValueError(f"none of the {len(videos)} videos can be read: vjepa validate reports why")
    foreign = sum(model.processor.is_foreign(video.path) for video in videos)
    _report(folder, found, asked, window, durations.pop() if len(durations) == 1 else None, foreign, options)
    return len(videos) - len(found)


def _videos(source: str) -> list[Video]:
    if Path(source).suffix.lower() in VIDEO_SUFFIXES:
        return [Video(str(Path(source).absolute()))]
    return [dataclasses.replace(video, label=None) for video in read_manifest(source)]


def _names(videos: Sequence[Video]) -> list[str]:
    """Return the file names without suffix, numbered where they are not unique."""
    stems = [Path(video.path).stem for video in videos]
    return [stem if stems.count(stem) == 1 else f"{stem}_{number}" for number, stem in enumerate(stems)]


def _horizons(options: argparse.Namespace, window: Window, steps: int, duration: float) -> list[int]:
    """Return the horizons in time steps, ascending.

    Without --steps and --seconds: up to twice as far as the window reaches, or to the end of the video.

    Args:
        options: Command-line options.
        window: Window of the predictor.
        steps: Length of the video in time steps.
        duration: Duration of a time step in seconds.
    """
    if options.seconds is not None:
        horizons = [math.ceil(seconds / duration - 1e-6) for seconds in options.seconds]
    else:
        most = max(min(2 * window.rest, steps - window.context_steps), 1)
        horizons = options.steps or list(range(1, most + 1))
    if min(horizons) < 1:
        raise ValueError(
            f"horizons are {options.seconds or options.steps}: the future begins after the context, so give "
            "numbers above 0"
        )
    return sorted(set(horizons))


def embed_video(model: VideoModel, frames: Frames, window: Window, last: int) -> Embedded:
    """Embed every context of a video that has `last` time steps after it, with predictions of these.

    Raises:
        ValueError: The video is too short.
    """
    steps, depth = window.context_steps + last, model.encoder.tubelet.t
    if len(frames.video_TCHW) < steps * depth:
        raise ValueError(
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
        title = f"What {Path(options.model).name} predicts in {path.name}"
        notes = [f"Warning: {FOREIGN}."] if model.processor.is_foreign(frames.path) else []
        write_video_page(path.with_name(f"{path.name}.html"), page_of(watched, title, notes))


def _report(
    folder: Path,
    found: Sequence[Embedded],
    asked: set[int],
    window: Window,
    duration: float | None,
    foreign: int,
    options: argparse.Namespace,
) -> None:
    """Write and print metrics over all videos.

    `foreign` of them show what a model that saw only this library's rendered videos cannot know.
    """
    last = min(
        len(embedded.true_VFSY[0]) for embedded in found
    )  # horizons for which every video is long enough
    befores = [embedded.before_VSY for embedded in found if embedded.before_VSY is not None]
    together = Embedded(
        torch.cat([embedded.true_VFSY[:, :last] for embedded in found]),
        torch.cat([embedded.predicted_VFSY[:, :last] for embedded in found]),
        torch.cat([embedded.last_VSY for embedded in found]),
        torch.cat(befores) if befores else None,
        torch.cat([embedded.motion_V for embedded in found]),
    )
    video_of_each = [number for number, embedded in enumerate(found) for _ in embedded.true_VFSY]
    reports = horizon_reports(together, window, duration, groups=video_of_each)
    reports = tuple(report for report in reports if report.step in asked)
    metrics: dict[str, Any] = {
        "model": options.model,
        "videos": len(found),
        "foreign_videos": foreign,
        "contexts": len(together.true_VFSY),
        "horizons": [dataclasses.asdict(report) for report in reports],
    }
    (folder / "future.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(
        f"{len(together.true_VFSY)} contexts of {len(found)} videos; intervals are over "
        f"{'videos' if len(found) > 1 else 'contexts, which overlap in time'}"
    )
    print(skill_table(reports))
    if foreign:
        print(f"warning about {foreign} of {len(found)} videos: {FOREIGN}")
    print(folder)
