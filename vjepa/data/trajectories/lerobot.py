"""LeRobot's dataset layout, versions 2.x (a file an episode) and 3.0 (many episodes a file).

``meta/info.json`` names the features and where files lie; actions are the column ``action``, states ``observation.state``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa.data.trajectories.episode import Episode, Rows, VideoFrames
from vjepa.data.trajectories.tables import Table

ACTION, STATE, EPISODE = "action", "observation.state", "episode_index"


class _Place(NamedTuple):
    """Where an episode lies: in a table, and in a video from its frame `first` on.

    `rows` is their number in a table of many episodes, found by `number`; None where the table is the episode's own.
    """

    number: int
    table: Path
    rows: int | None
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
    info = _info(folder)
    key = _camera(info, camera, folder)
    version = str(info["codebase_version"]).removeprefix("v")
    if version.startswith("2"):
        places = _places_of_files(folder, info, key)
    elif version.startswith("3"):
        places = _places_in_files(folder, info, key)
    else:
        raise ValueError(f"{folder} has LeRobot's layout of version '{version}': 2.x and 3.0 can be read")
    columns = [ACTION, STATE] if states else [ACTION]
    tables: dict[Path, dict[str, Rows]] = {}
    episodes = []
    for place in places:
        if place.table not in tables:
            wanted = columns if place.rows is None else [*columns, EPISODE]
            table = Table(place.table, wanted)
            tables[place.table] = {name: table.rows(name) for name in wanted}
        found = tables[place.table]
        rows = _rows(place, found)
        frames = VideoFrames(str(place.video), place.first, **reading)
        episodes.append(Episode(frames, found[ACTION][rows], found[STATE][rows] if states else None))
    return episodes


def _info(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "info.json"
    try:
        info: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}): download it again") from error
    wanted = ("codebase_version", "features", "data_path", "video_path", "fps")
    if missing := [name for name in wanted if name not in info]:
        raise ValueError(f"{path} has no {', '.join(missing)}: give a folder in LeRobot's layout, 2.x or 3.0")
    return info


def _rows(place: _Place, table: dict[str, Rows]) -> slice:
    """Those of the episode, by the table's own word: a table that was cut short is not read as another episode's."""
    if place.rows is None:
        return slice(None)
    numbers_T = table[EPISODE][:, 0]
    start, end = np.searchsorted(numbers_T, [place.number, place.number + 1]).tolist()
    if end - start != place.rows or (numbers_T[start:end] != place.number).any():
        raise ValueError(
            f"{place.table} has {end - start} rows of episode {place.number} one after the other, and meta/episodes says "
            f"{place.rows}: download the dataset again"
        )
    return slice(start, end)


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
    path = folder / "meta" / "episodes.jsonl"
    try:
        numbers = [json.loads(line)[EPISODE] for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}): download the dataset again"
        ) from error
    for number in numbers:
        names = {"episode_chunk": number // size, "episode_index": number, "video_key": key}
        table, video = (folder / info[kind].format(**names) for kind in ("data_path", "video_path"))
        yield _Place(number, table, None, video, 0)


def _places_in_files(folder: Path, info: dict[str, Any], key: str) -> Iterator[_Place]:
    """Version 3: files hold many episodes; tables of episodes tell which, and where each begins."""
    prefix = f"videos/{key}/"
    wanted = [EPISODE, "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index",
              *(prefix + name for name in ("chunk_index", "file_index", "from_timestamp"))]  # fmt: skip
    paths = sorted((folder / "meta" / "episodes").rglob("*.parquet"))
    if not paths:
        raise ValueError(f"{folder / 'meta' / 'episodes'} has no .parquet: download the dataset again")
    for path in paths:
        listed = Table(path, wanted)
        for row in zip(*(listed.values(name) for name in wanted), strict=True):
            number, chunk, file, start, end, video_chunk, video_file, seconds = row
            table = folder / info["data_path"].format(chunk_index=chunk, file_index=file)
            video = folder / info["video_path"].format(
                video_key=key, chunk_index=video_chunk, file_index=video_file
            )
            # `start` and `end` count over all files: their difference alone says something of this one.
            yield _Place(number, table, end - start, video, int(np.rint(seconds * info["fps"])))
