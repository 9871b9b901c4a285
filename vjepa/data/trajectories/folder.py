"""A folder of videos with actions beside them: ``0001.mp4`` and ``0001.npz`` or ``0001.parquet``.

The file of actions has ``actions``, one row for each frame, and may have ``states``. In a Parquet table these
are columns of lists.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vjepa.data.readers.arrays import files_in
from vjepa.data.trajectories.episode import MOST_NUMBERS, Episode, ListedEpisode, Rows, VideoFrames, as_rows
from vjepa.data.trajectories.tables import Table

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".npy")
ACTION_SUFFIXES = (".npz", ".parquet")


def is_video_folder(folder: Path) -> bool:
    """Return whether a folder contains videos."""
    return bool(files_in(folder, VIDEO_SUFFIXES))


def list_video_folder(folder: Path, *, states: bool, **reading: Any) -> Iterator[ListedEpisode]:
    """List the episodes in the order of their names, numbered from 0.

    Reading an episode raises ValueError if its video has no actions, or they cannot be read.

    Args:
        folder: Folder with the videos.
        states: Whether to read states, too.
        reading: Keyword arguments of `VideoFrames`.
    """
    for number, path in enumerate(files_in(folder, VIDEO_SUFFIXES)):
        yield ListedEpisode(number, partial(_episode, path, number, states, reading))


def _episode(video: Path, number: int, states: bool, reading: dict[str, Any]) -> Episode:
    found = [video.with_suffix(suffix) for suffix in ACTION_SUFFIXES if video.with_suffix(suffix).is_file()]
    if not found:
        raise ValueError(
            f"{video} has no actions: put {video.stem}.npz or {video.stem}.parquet with 'actions' beside it, "
            "one row a frame"
        )
    actions, found_states = _read(found[0])
    if states and found_states is None:
        raise ValueError(f"{found[0]} has no 'states': add them, one row a frame, or set data.states false")
    return Episode(VideoFrames(str(video), **reading), actions, found_states if states else None, number)


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
            for name in wanted:
                _check_size(arrays.zip, name)
            return {name: as_rows(arrays[name], name) for name in wanted}
    except Exception as error:  # errors of archives, of their compression and of their contents
        raise ValueError(
            f"{path} cannot be read as .npz ({type(error).__name__}: {error}): write it again"
        ) from error


def _check_size(archive: zipfile.ZipFile, name: str) -> None:
    """Raise ValueError if an archive would unpack to more than an episode can have."""
    size = archive.getinfo(f"{name}.npy").file_size
    if size > 8 * MOST_NUMBERS:
        raise ValueError(f"'{name}' unpacks to {size} bytes, more than an episode's {8 * MOST_NUMBERS}")
