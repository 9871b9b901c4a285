"""LeRobot's dataset layout, versions 2.x (a file an episode) and 3.0 (many episodes a file).

``meta/info.json`` names the features and where files lie; actions are the column ``action``, states ``observation.state``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa.data.trajectories.episode import Episode, VideoFrames
from vjepa.data.trajectories.tables import Table

ACTION, STATE = "action", "observation.state"


class _Place(NamedTuple):
    """Where an episode lies: rows of a table, and frames of a video from a first one on."""

    table: Path
    rows: slice
    video: Path
    first: int


def is_lerobot(folder: Path) -> bool:
    """Whether a folder has the layout."""
    return (folder / "meta" / "info.json").is_file()


def read_lerobot(folder: Path, *, states: bool, camera: str | None, **reading: Any) -> list[Episode]:
    """All episodes, in their order.

    Args:
        folder: of the dataset.
        states: read ``observation.state``, too.
        camera: name of a feature with videos; None where there is one alone.
        reading: of `VideoFrames`.

    Raises:
        ValueError: another version, no such camera, files that are missing or cannot be read.
    """
    info = json.loads((folder / "meta" / "info.json").read_text())
    key = _camera(info, camera, folder)
    version = str(info.get("codebase_version", "")).removeprefix("v")
    if version.startswith("2"):
        places = _places_of_files(folder, info, key)
    elif version.startswith("3"):
        places = _places_in_files(folder, info, key)
    else:
        raise ValueError(f"{folder} has LeRobot's layout of version '{version}': 2.x and 3.0 can be read")
    columns = [ACTION, STATE] if states else [ACTION]
    tables: dict[Path, Table] = {}
    episodes = []
    for place in places:
        if place.table not in tables:
            tables[place.table] = Table(place.table, columns)
        found = [tables[place.table].rows(name)[place.rows] for name in columns]
        frames = VideoFrames(str(place.video), place.first, **reading)
        episodes.append(Episode(frames, found[0], found[1] if states else None))
    return episodes


def _camera(info: dict[str, Any], camera: str | None, folder: Path) -> str:
    cameras = [name for name, feature in info["features"].items() if feature.get("dtype") == "video"]
    if not cameras:
        raise ValueError(
            f"{folder} has no videos: features of dtype 'video' can be read, images in tables cannot"
        )
    if camera is None and len(cameras) == 1:
        return cameras[0]
    if camera is None or camera not in cameras:
        raise ValueError(
            f"{folder} has the cameras {', '.join(cameras)} and data.camera is {camera}: give one of them"
        )
    return camera


def _places_of_files(folder: Path, info: dict[str, Any], key: str) -> Iterator[_Place]:
    """Version 2: every episode has a table and a video of its own."""
    size = int(info.get("chunks_size", 1000))
    for line in (folder / "meta" / "episodes.jsonl").read_text().splitlines():
        number = int(json.loads(line)["episode_index"])
        names = {"episode_chunk": number // size, "episode_index": number, "video_key": key}
        table, video = (folder / info[path].format(**names) for path in ("data_path", "video_path"))
        yield _Place(table, slice(None), video, 0)


def _places_in_files(folder: Path, info: dict[str, Any], key: str) -> Iterator[_Place]:
    """Version 3: files hold many episodes; tables of episodes tell where each begins and ends."""
    begins: dict[Path, int] = {}
    prefix = f"videos/{key}/"
    wanted = ["data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index",
              *(prefix + name for name in ("chunk_index", "file_index", "from_timestamp"))]  # fmt: skip
    for path in sorted((folder / "meta" / "episodes").rglob("*.parquet")):
        listed = Table(path, wanted)
        for row in zip(*(listed.values(name) for name in wanted), strict=True):
            chunk, file, start, end, video_chunk, video_file, seconds = row
            table = folder / info["data_path"].format(chunk_index=chunk, file_index=file)
            video = folder / info["video_path"].format(
                video_key=key, chunk_index=video_chunk, file_index=video_file
            )
            offset = begins.setdefault(table, start)  # rows are counted over all files
            first = int(np.rint(seconds * info["fps"]))
            yield _Place(table, slice(start - offset, end - offset), video, first)
