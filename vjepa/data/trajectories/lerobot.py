"""LeRobot's dataset layout, versions 2.x (one file per episode) and 3.0 (many episodes per file).

``meta/info.json`` names the features and the places of files; actions are the column ``action``, states the
column ``observation.state``.
"""

from __future__ import annotations

import json
import math
import os
import re
import string
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa.data.trajectories.episode import Episode, ListedEpisode, Rows, VideoFrames
from vjepa.data.trajectories.tables import Table

ACTION, STATE, EPISODE = "action", "observation.state", "episode_index"


class _Place(NamedTuple):
    """Place of an episode: rows of a table, and frames of a video from `first` on.

    `rows` is the number of the episode's rows in a table of many episodes, in which `number` finds them; None
    means that the table holds this episode alone.
    """

    number: int
    table: Path
    rows: int | None
    video: Path
    first: int


def is_lerobot(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / "meta" / "info.json").is_file()


def list_lerobot(
    folder: Path, *, states: bool, camera: str | None, **reading: Any
) -> Iterator[ListedEpisode]:
    """List all episodes in their order.

    Args:
        folder: Folder of the dataset.
        states: Whether to read ``observation.state``, too.
        camera: Name of a feature with videos; None takes the only one.
        reading: Keyword arguments of `VideoFrames`.

    Raises:
        ValueError: The version is not supported, there is no such camera, or descriptions are missing, cannot
            be read or lead out of the folder.
    """
    info = _info(folder)
    key = _camera(info, camera, folder)
    version = info["codebase_version"].removeprefix("v")
    if version.startswith("2"):
        places = _places_of_files(folder, info, key)
    elif version.startswith("3"):
        places = _places_in_files(folder, info, key)
    else:
        raise ValueError(f"{folder} has LeRobot's layout of version '{version}': 2.x and 3.0 can be read")
    columns = [ACTION, STATE] if states else [ACTION]
    tables: dict[Path, dict[str, Rows]] = {}
    for place in places:
        yield ListedEpisode(place.number, partial(_read, place, columns, tables, reading))


def _read(
    place: _Place, columns: list[str], tables: dict[Path, dict[str, Rows]], reading: dict[str, Any]
) -> Episode:
    """Read an episode; the tables that were read are kept in `tables`."""
    if place.table not in tables:
        wanted = columns if place.rows is None else [*columns, EPISODE]
        table = Table(place.table, wanted)
        tables[place.table] = {name: table.rows(name) for name in wanted}
    found = tables[place.table]
    rows = _rows(place, found)
    states = found[STATE][rows] if STATE in columns else None
    frames = VideoFrames(str(place.video), place.first, **reading)
    return Episode(frames, found[ACTION][rows], states, place.number, shared=place.rows is not None)


def _info(folder: Path) -> dict[str, Any]:
    """Read ``meta/info.json``, and check the type of each value that is used."""
    path = folder / "meta" / "info.json"
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}): download it again") from error
    if not isinstance(info, dict):
        raise ValueError(f"{path} holds a {type(info).__name__}: it must be an object; download it again")
    info = {"chunks_size": 1000, **info}
    if missing := [name for name in _RULES if name not in info]:
        raise ValueError(f"{path} has no {', '.join(missing)}: give a folder in LeRobot's layout, 2.x or 3.0")
    for name, (rule, holds) in _RULES.items():
        if not holds(info[name]):
            raise ValueError(f"{path} has {name} = {str(info[name])[:80]}: it must be {rule}")
    return info


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


_RULES = {
    "codebase_version": ("text, such as v2.1", _is_text),
    "features": (
        "an object of objects",
        lambda value: isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()),
    ),
    "data_path": ("text", _is_text),
    "video_path": ("text", _is_text),
    "fps": ("a number above 0", lambda value: _is_number(value) and value > 0),
    "chunks_size": ("a whole number above 0", lambda value: _is_whole(value) and value > 0),
}


def _whole(value: Any, name: str, path: Path) -> int:
    if not _is_whole(value):
        raise ValueError(f"{path} has {name} = {str(value)[:80]}: it must be a whole number of 0 or more")
    return int(value)


def _file(folder: Path, info: dict[str, Any], kind: str, **names: int | str) -> Path:
    """Fill a path template of the description; only known names are allowed, and paths inside the folder.

    A downloaded description must not read attributes of objects, fill the memory, or lead to other files.
    Symbolic links are followed, because they are made on this machine, for example by the cache of the hub.
    """
    template, where = info[kind], folder / "meta" / "info.json"
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"{where} has {kind} = '{template}', which is no template ({error})") from error
    for name, width, conversion in fields:
        if name not in names or conversion or not re.fullmatch(r"(0?[1-9]\d?d?)?", width or ""):
            raise ValueError(
                f"{where} has {kind} = '{template}': in braces it may have {', '.join(names)}, with a width "
                "such as 06d, and "
                "nothing else"
            )
    path = template.format(**names)
    if os.path.isabs(path) or ".." in Path(path).parts or "\0" in path:
        raise ValueError(
            f"{where} has {kind} = '{template}', which gives {path}: it must stay in the dataset's folder"
        )
    return folder / path


def _rows(place: _Place, table: dict[str, Rows]) -> slice:
    """Return the rows of the episode by the episode numbers in the table.

    Row ranges would read another episode in a table that was cut short.
    """
    if place.rows is None:
        return slice(None)
    numbers_T = table[EPISODE][:, 0]
    start, end = np.searchsorted(numbers_T, [place.number, place.number + 1]).tolist()
    if end - start != place.rows or (numbers_T[start:end] != place.number).any():
        raise ValueError(
            f"{place.table} has {end - start} rows of episode {place.number} one after the other, and "
            "meta/episodes says "
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
    """Return the places of episodes in version 2: every episode has its own table and video."""
    path = folder / "meta" / "episodes.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        numbers = [json.loads(line)[EPISODE] for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}): download the dataset again"
        ) from error
    for found in numbers:
        number = _whole(found, EPISODE, path)
        names = {
            "episode_chunk": number // info["chunks_size"], "episode_index": number, "video_key": key,
        }  # fmt: skip
        table, video = (_file(folder, info, kind, **names) for kind in ("data_path", "video_path"))
        yield _Place(number, table, None, video, 0)


def _places_in_files(folder: Path, info: dict[str, Any], key: str) -> Iterator[_Place]:
    """Return the places of episodes in version 3: tables of episodes say where each episode begins."""
    prefix = f"videos/{key}/"
    wanted = [EPISODE, "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index",
              *(prefix + name for name in ("chunk_index", "file_index"))]  # fmt: skip
    paths = sorted((folder / "meta" / "episodes").rglob("*.parquet"))
    if not paths:
        raise ValueError(f"{folder / 'meta' / 'episodes'} has no .parquet: download the dataset again")
    for path in paths:
        seconds_name = f"{prefix}from_timestamp"
        listed = Table(path, [*wanted, seconds_name])
        rows = zip(*(listed.values(name) for name in wanted), strict=True)
        for row, seconds in zip(rows, listed.values(seconds_name), strict=True):
            number, chunk, file, start, end, video_chunk, video_file = (
                _whole(value, name, path) for value, name in zip(row, wanted, strict=True)
            )
            if not _is_number(seconds) or not 0 <= seconds < 2**32:
                raise ValueError(f"{path} has {seconds_name} = {seconds}: it must be seconds of 0 or more")
            table = _file(folder, info, "data_path", chunk_index=chunk, file_index=file)
            video = _file(
                folder, info, "video_path", video_key=key, chunk_index=video_chunk, file_index=video_file
            )
            # `start` and `end` count rows over all files, so only their difference applies to this file.
            yield _Place(number, table, end - start, video, int(np.rint(seconds * info["fps"])))
