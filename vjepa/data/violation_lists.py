"""Readers of violation-of-expectation data sets that come with a list of their videos.

    for matched in read_intphys2("IntPhys2/Main"):
        ...  # surprise at matched.possible[0] against that at matched.impossible[0]

See `vjepa.data.violation_sets` for what a reader returns, and for data sets whose folders say it all. The
readers were written after public code that reads these layouts, named in each docstring, and were not tested
on the data sets.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vjepa.data.violation_sets import Matched, existing_folder, some_sets

INTPHYS2_COLUMNS = ("file_name", "type", "condition")
INTPHYS2_TYPES = ("1_Possible", "2_Possible", "1_Impossible", "2_Impossible")
MVP_ANSWERS = {"yes": True, "plausible": True, "possible": True}
MVP_ANSWERS |= {"no": False, "implausible": False, "impossible": False}


def read_intphys2(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read a split of IntPhys 2 (arXiv 2506.09849), a set of two pairs per scene.

    The kinds are the conditions, such as `permanence`. The folder is that of a split with labels (``Debug``
    or ``Main``) and contains ``metadata.csv`` with the columns ``file_name``, a path relative to the folder,
    ``condition`` and ``type``: ``1_Possible``, ``1_Impossible``, ``2_Possible`` or ``2_Impossible``. The four
    videos of a scene are in consecutive rows of one condition; videos of the same number are a pair. Source
    of the layout: the README of facebookresearch/IntPhys2, and public code that reads it with polars.

    Raises:
        ValueError: The list is missing or malformed, a scene is incomplete, or a video is missing.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    source = folder / "metadata.csv"
    if not source.is_file():
        raise ValueError(f"{folder} has no metadata.csv: give the folder of a split, such as IntPhys2/Main")
    with source.open(newline="") as file:
        rows = csv.DictReader(file)
        missing = [name for name in INTPHYS2_COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{source} has no column {missing[0]}: give a split that has labels")
        by_condition: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in rows:
            by_condition[row["condition"]].append(row)
    sets = [
        _intphys2_scene(rows[first : first + 4], condition, folder)
        for condition, rows in by_condition.items()
        for first in range(0, len(rows), 4)
    ]
    return some_sets(sets, folder, "scenes")


def _intphys2_scene(rows: Sequence[dict[str, str]], condition: str, folder: Path) -> Matched:
    paths = {row["type"]: _existing_video(folder / row["file_name"]) for row in rows}
    if set(paths) != set(INTPHYS2_TYPES):
        raise ValueError(
            f"{folder / 'metadata.csv'} has a scene of {condition} with the types {sorted(paths)}, beginning "
            f"with {rows[0]['file_name']}: every four rows of a condition must be of "
            f"{', '.join(INTPHYS2_TYPES)}"
        )
    possible_1, possible_2, impossible_1, impossible_2 = (paths[name] for name in INTPHYS2_TYPES)
    return Matched(condition, (possible_1, possible_2), (impossible_1, impossible_2))


def read_mvp(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read the pairs of Minimal Video Pairs (arXiv 2506.09987) that ask whether a video is possible.

    The folder contains ``videos/`` with a folder for each source of videos, as the scripts of
    facebookresearch/minimal_video_pairs (at 149e336) arrange them, and the annotations as files ``*.jsonl``,
    to which the data set facebook/minimal_video_pairs exports (``dataset.to_json``). A row has ``video_id``,
    that of the pair followed by ``_`` and the video's place, ``video_path`` in ``videos/``, and ``answer``.
    Only pairs are read of which one answer is yes, plausible or possible and the other no, implausible or
    impossible; other questions have no impossible side. The kinds are the sources, such as `intphys`.

    Raises:
        ValueError: Annotations are missing or malformed, no pair asks whether a video is possible, or a video
            is missing.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    pairs: dict[str, dict[bool, str]] = defaultdict(dict)
    for source in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(source.read_text().split("\n"), start=1):
            if not line.strip():
                continue
            row = _json(line, f"{source} line {number}", ("video_id", "video_path", "answer"))
            answer = MVP_ANSWERS.get(row["answer"].strip().lower())
            if answer is not None:
                pairs[row["video_id"].rpartition("_")[0]][answer] = row["video_path"].lstrip("/")
    sets = []
    for paths in pairs.values():
        if len(paths) == 2:
            possible, impossible = (
                _existing_video(folder / "videos" / paths[side]) for side in (True, False)
            )
            sets.append(Matched(PurePosixPath(paths[True]).parts[0], (possible,), (impossible,)))
    return some_sets(sets, folder, "annotations *.jsonl of pairs that ask whether a video is possible")


def read_reversed(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read videos that run forwards, and in reverse, in the layout of YoCausal (arXiv 2605.30346).

    The folder contains a folder for each kind (``animal``, ``general``, ``human``, ``physics``) with a
    ``dataset_metadata.json``: a list of entries with ``video_path_forward`` and ``video_path_backward``. A
    path may begin with folders of the machine on which it was written; these are left out until the file is
    found in the folder of the list or in `folder`. The reversed video takes the impossible side, so the
    relative accuracy is the authors' RSI, except that here equal losses count half. Source of the layout:
    ``evaluation/evaluate.py`` of youzhe0305/YoCausal at 2cee25b.

    Raises:
        ValueError: A list is missing or malformed, or a video is missing.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    sets = []
    for source in sorted(folder.glob("*/dataset_metadata.json")):
        try:
            entries = json.loads(source.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{source} is no JSON: {error}") from error
        for number, entry in enumerate(entries, start=1):
            names = ("video_path_forward", "video_path_backward")
            row = _checked(entry, f"{source} entry {number}", names)
            forward, backward = (_moved(row[name], source.parent, folder) for name in names)
            sets.append(Matched(source.parent.name, (forward,), (backward,)))
    return some_sets(sets, folder, "folders with a dataset_metadata.json")


def _moved(text: str, *folders: Path) -> str:
    """Find a file by the end of its path in one of the folders."""
    parts = PurePosixPath(text.lstrip("/")).parts
    for first in range(len(parts)):
        for folder in folders:
            path = folder.joinpath(*parts[first:])
            if path.is_file():
                return str(path)
    raise ValueError(f"there is no video {text} in {folders[0]} or {folders[-1]}: is the data set unpacked?")


def _existing_video(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"there is no video {path}, which the list names: is the data set unpacked?")
    return str(path)


def _json(text: str, where: str, names: Sequence[str]) -> dict[str, str]:
    try:
        return _checked(json.loads(text), where, names)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON: {error}") from error


def _checked(row: Any, where: str, names: Sequence[str]) -> dict[str, str]:
    wrong = [name for name in names if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if wrong:
        raise ValueError(f"{where} has no text {wrong[0]}: it must have {', '.join(names)}")
    return {name: row[name] for name in names}
