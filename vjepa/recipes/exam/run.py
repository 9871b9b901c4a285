"""Examine a model as a world model, and describe what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vjepa.config import checks
from vjepa.data.manifest import Video
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.window import WindowConfig
from vjepa.evaluation.exam import Exam, Section
from vjepa.models.action_model import ActionModel
from vjepa.models.video_model import VideoModel
from vjepa.profiling.timing import machine_name
from vjepa.recipes.exam import sections
from vjepa.recipes.exam.worlds import home_of, ordinary_videos, world_of
from vjepa.source_commit import source_commit


@dataclass(frozen=True, kw_only=True)
class ExamSettings:
    """Extent of an exam; larger numbers give shorter intervals and take longer.

    Attributes:
        num_sets: Number of rendered sets of each kind of violation.
        num_ordinary: Number of rendered videos in which nothing impossible happens, 20 or more, by which
            surprise is judged.
        num_videos: Number of rendered videos of each other section, and largest number of clips that are
            corrupted.
        nulls: Number of untrained networks, one for each random seed, 2 or more.
        steps: Last horizon of the future in time steps; None takes as many as the model predicts at once.
    """

    num_sets: int = 50
    num_ordinary: int = 100
    num_videos: int = 100
    nulls: int = 5
    steps: int | None = None

    def __post_init__(self) -> None:
        checks.at_least("", self, num_sets=1, num_ordinary=20, num_videos=10, nulls=2, steps=1)


def examine(
    model: VideoModel,
    name: str,
    folder: Path,
    videos: Sequence[Video] | None = None,
    settings: ExamSettings | None = None,
    say: Callable[[str], None] = print,
) -> Exam:
    """Examine a video model.

    Args:
        model: Any video model; what it cannot do is left out, with the reason.
        name: Name of the model in the exam.
        folder: Folder that rendered videos are written to, and kept in for the next exam.
        videos: Videos that the model was not trained on, for the sections on the future, the arrow of time
            and corruption. None takes rendered ones.
        settings: Extent of the exam.
        say: Receives a line before each section.
    """
    settings = settings or ExamSettings()
    world = world_of(model)
    if videos is None:
        videos = ordinary_videos(home_of(model), folder / f"known-{settings.num_videos}", settings.num_videos)
    parts = {
        "future": partial(sections.future, model, videos, settings.nulls, settings.steps),
        "arrow of time": partial(sections.time_arrow, model, videos, settings.nulls),
        "violations": partial(
            sections.violations, model, world, folder, settings.num_sets, settings.num_ordinary,
            settings.nulls,
        ),
        "occlusion": partial(sections.occlusion, model, world, folder, settings.num_videos),
        "tracking": partial(sections.tracking, model, world, folder, settings.num_videos),
        "corruption": partial(sections.corruption, model, videos, settings.num_videos),
    }  # fmt: skip
    device = next(model.parameters()).device
    return _exam(parts, name, {**asdict(settings), "videos": len(videos)}, device, say)


def examine_actions(
    model: ActionModel,
    name: str,
    window: WindowConfig,
    episodes: Sequence[Episode],
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Exam:
    """Examine an action-conditioned model by its imagined steps.

    Args:
        model: Action-conditioned model.
        name: Name of the model in the exam.
        window: Windows that are cut from the episodes.
        episodes: Episodes that the model was not trained on.
        seed: Random seed of the choice of windows.
        say: Receives a line before the section.
    """
    parts = {"actions": partial(sections.actions, model, window, episodes, seed)}
    device = next(model.parameters()).device
    return _exam(parts, name, {"episodes": len(episodes), "seed": seed}, device, say)


def _exam(
    parts: Mapping[str, Callable[[], Section]],
    name: str,
    settings: dict[str, Any],
    device: torch.device,
    say: Callable[[str], None],
) -> Exam:
    begin, found = time.perf_counter(), []
    for title, measure in parts.items():
        say(f"examining: {title}")
        found.append(measure())
    seconds = time.perf_counter() - begin
    return Exam(name, settings, tuple(found), source_commit(), machine_name(device), seconds)
