"""Rendered videos to examine a model with: they look like those that it was trained on, where possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vjepa.config import config_from_tree
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.synthetic.matched import CONTROLS, VIOLATIONS, check_violation
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.synthetic.write_matched import write_matched
from vjepa.data.violation_sets import Matched, read_matched
from vjepa.foreign_text import one_line
from vjepa.models.video_model import VideoModel
from vjepa.recipes.pretrain.config import SyntheticConfig

WINDOWS = 2  # length of a rendered video in windows of the model, if that is longer than
FRAMES = 32  # as many frames at the model's rate, in which every violation finds its scenes
_TICK = 1e-6  # a millionth of a frame, by which quotients of frame rates may err


def trained_on(model: VideoModel) -> SyntheticConfig | None:
    """Return the settings of the rendered videos that a model was trained on; None if there were none."""
    synthetic = model.config.get("training", {}).get("data", {}).get("synthetic")
    return None if synthetic is None else config_from_tree(synthetic, SyntheticConfig)


def home_of(model: VideoModel) -> SyntheticConfig:
    """Return the settings of the rendered videos that a model knows, or those of `world_of` for others."""
    known = trained_on(model)
    if known is None:
        return world_of(model)
    return replace(known, render=_long_enough(model, known.render))


def _long_enough(model: VideoModel, render: RenderSettings) -> RenderSettings:
    fewest = max(WINDOWS * model.config["clip"]["num_frames"], FRAMES) * _spacing(model, render)
    return replace(render, frames=max(render.frames, FRAMES, math.ceil(fewest - _TICK)))


def _spacing(model: VideoModel, render: RenderSettings) -> float:
    """Return the number of rendered frames from one frame at the model's rate to the next."""
    period = model.processor.period(render.frame_rate)
    assert period is not None
    return period * render.frame_rate


def windows_of(model: VideoModel, render: RenderSettings) -> int:
    """Return how many windows of the model fit into a rendered video, one after the other."""
    return int(render.frames / _spacing(model, render) + _TICK) // model.processor.num_frames


def world_of(model: VideoModel) -> SyntheticConfig:
    """Return the settings of a box of colliding objects, in which every violation can happen.

    A model that was trained on such boxes is examined in its own. For other models, they are boxes with the
    objects, background and noise that they were trained on, or with coloured objects before a textured
    background, at the model's size and rate.
    """
    known, clip = trained_on(model), model.config["clip"]
    own = known or SyntheticConfig(
        render=RenderSettings(
            size=max(min(clip["size"]) // 2 * 2, 8), frame_rate=round(clip["fps"] or 8), objects=(2, 3),
            radius=(0.1, 0.13), speed=(0.02, 0.05), noise=0.0,
        ),
        seed=0,
    )  # fmt: skip
    render = _long_enough(model, own.render)
    if any(_allowed(render, kind) is not None for kind in VIOLATIONS):
        render = replace(
            render, motions=("collide",), labels="motion", bounce="mirror", camera=0.0, wall=0.06,
            occluder=0.25, occluder_place="shared", objects=(2, 3), radius=(0.1, 0.12),
        )  # fmt: skip
    return replace(own, render=render)


def _allowed(render: RenderSettings, kind: str) -> str | None:
    """Return why the settings allow no sets of a kind; None if they do."""
    try:
        check_violation(render, kind)
    except ValueError as error:
        return str(error)
    return None


def matched_sets(
    world: SyntheticConfig, folder: Path, num_sets: int, say: Callable[[str], None]
) -> list[Matched]:
    """Render and read sets of every kind that the settings allow; `say` receives why others are left out.

    Raises:
        ValueError: The settings allow no violation.
    """
    refused = {kind: _allowed(world.render, kind) for kind in (*VIOLATIONS, *CONTROLS)}
    for kind, why in refused.items():
        if why is not None:
            say(one_line(f"no videos of '{kind}': {why}"))
    kinds = [kind for kind, why in refused.items() if why is None]
    if not set(kinds) & set(VIOLATIONS):
        raise ValueError(
            "the settings of the rendered videos allow no violation: train a model with "
            "configs/predict/box.yaml"
        )
    # The same seed as the training videos: with `background: shared`, sets then have their background.
    write_matched(folder, world.render, num_sets, 2 * world.seed, kinds)
    return read_matched(folder)


def calibration_videos(world: SyntheticConfig, folder: Path, num_videos: int) -> Sequence[Video]:
    """Render videos without violations, by which surprise at matched sets is judged.

    Their scenes are in no training video and no set, but they have the background of the sets.

    Args:
        world: Settings of the sets.
        folder: Folder that they are written to, or kept from an earlier call with the same arguments.
        num_videos: Number of videos.
    """
    write_videos(folder, world.render, num_videos, 2 * world.seed, first=world.num_train)
    return read_manifest(folder / "manifest.csv")


def ordinary_videos(
    world: SyntheticConfig, folder: Path, num_videos: int, **changes: object
) -> Sequence[Video]:
    """Render videos without violations, of other scenes than the training videos.

    A background that all training videos share is another one here, as in the test videos of a run.

    Args:
        world: Settings of the videos.
        folder: Folder that they are written to, or kept from an earlier call with the same arguments.
        num_videos: Number of videos.
        changes: Settings that differ from those of the world.
    """
    render = replace(world.render, **changes)  # type: ignore[arg-type]
    write_videos(folder, render, num_videos, 2 * world.seed + 1)
    return read_manifest(folder / "manifest.csv")
