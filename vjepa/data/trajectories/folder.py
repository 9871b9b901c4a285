"""A folder of videos, each with its actions beside it: ``0001.mp4`` and ``0001.npz`` or ``0001.parquet``.

The file of actions has ``actions``, one row a frame, and may have ``states``. In a table (Parquet) these are columns of lists.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vjepa.data.readers.arrays import natural_key
from vjepa.data.trajectories.episode import Episode, Rows, VideoFrames
from vjepa.data.trajectories.tables import Table

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".npy")
ACTION_SUFFIXES = (".npz", ".parquet")


def is_video_folder(folder: Path) -> bool:
    """Whether videos lie in it."""
    return any(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir())


def read_video_folder(folder: Path, *, states: bool, **reading: Any) -> list[Episode]:
    """Episodes in the order of their names.

    Args:
        folder: with the videos.
        states: read them, too.
        reading: of `VideoFrames`.

    Raises:
        ValueError: a video has no actions, or they cannot be read.
    """
    videos = [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    return [
        _episode(path, states, reading) for path in sorted(videos, key=lambda path: natural_key(path.name))
    ]


def _episode(video: Path, states: bool, reading: dict[str, Any]) -> Episode:
    found = [video.with_suffix(suffix) for suffix in ACTION_SUFFIXES if video.with_suffix(suffix).exists()]
    if not found:
        raise ValueError(
            f"{video} has no actions: put {video.stem}.npz or {video.stem}.parquet with 'actions' beside it, one row a frame"
        )
    actions, found_states = _read(found[0])
    if states and found_states is None:
        raise ValueError(f"{found[0]} has no 'states': add them, one row a frame, or set data.states false")
    return Episode(VideoFrames(str(video), **reading), actions, found_states if states else None)


def _read(path: Path) -> tuple[Rows, Rows | None]:
    found = _load_parquet(path) if path.suffix == ".parquet" else _load_npz(path)
    if "actions" not in found:
        raise ValueError(f"{path} has no 'actions': add them, one row a frame")
    return found["actions"], found.get("states")


def _load_parquet(path: Path) -> dict[str, Rows]:
    table = Table(path)
    return {name: table.rows(name) for name in ("actions", "states") if name in table}


def _load_npz(path: Path) -> dict[str, Rows]:
    try:
        with np.load(path) as arrays:
            wanted = [name for name in ("actions", "states") if name in arrays.files]
            return {name: np.asarray(arrays[name], dtype=np.float32) for name in wanted}
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as .npz ({error}): write it again") from error
