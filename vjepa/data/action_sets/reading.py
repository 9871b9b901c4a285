"""Reading of annotation files, and handling of listed videos that are missing."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vjepa.data.manifest import BYTES, VIDEO_SUFFIXES, Video

MISSING_SHARE = 0.01  # default share of the listed videos that may be missing
_NAMED = 3  # largest number of missing videos, or of classes, that a message names


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise ValueError if an argument is none of its choices."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(map(str, choices))}")


def annotation_file(folder: str | os.PathLike[str], *names: str) -> Path:
    """Return the first of these files that exists in the folder; raise ValueError if none does."""
    source = _first(folder, names)
    if source is None:
        raise ValueError(
            f"{os.path.abspath(folder)} has no {' or '.join(names)}: "
            "give the folder in which the annotations lie as distributed"
        )
    return source


def _first(folder: str | os.PathLike[str], names: Sequence[str]) -> Path | None:
    paths = [Path(os.path.abspath(folder)) / name for name in names]
    return next((path for path in paths if path.is_file()), None)


def answers_of_test(
    folder: str | os.PathLike[str], keys: Sequence[str], *names: str
) -> dict[str, str | None]:
    """Return the label of each test video, from the first of these files that exists; all None without one.

    Raises:
        ValueError: The file has no label for some of the videos.
    """
    source = _first(folder, names)
    if source is None:
        return dict.fromkeys(keys)
    answers = read_answers(source)
    absent = [key for key in keys if key not in answers]
    if absent:
        raise ValueError(
            f"{source} has no answer for {len(absent)} of {len(keys)} test videos, e.g. {absent[0]}: "
            "delete it to leave the labels out, or fetch the one that belongs to the list"
        )
    return {key: answers[key] for key in keys}


def check_labels(label_of: Mapping[str, str | None], labels: Container[str], source: Path) -> None:
    """Raise ValueError if a video has a label that is not in the list of labels."""
    for key, label in label_of.items():
        if label is not None and label not in labels:
            raise ValueError(
                f"the video {key} has the label '{label}', which {source} does not have: "
                "take both lists from the same release"
            )


def read_rows(source: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file whose header has at least these columns; raise ValueError if it lacks one."""
    with source.open(newline="", encoding="utf-8-sig", errors=BYTES) as file:
        reader = csv.DictReader(file)
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(
                f"{source} begins with '{','.join(reader.fieldnames or ())}': its header must name "
                f"{', '.join(columns)}, and lacks {', '.join(absent)}"
            )
        rows = []
        for row in reader:
            if None in row.values():
                raise ValueError(
                    f"{source} line {reader.line_num} has fewer cells than the header: is it cut off?"
                )
            rows.append(row)
        return rows


def read_answers(source: Path) -> dict[str, str]:
    """Read lines ``id;label``, without a header; raise ValueError for any other line."""
    answers = {}
    for number, line in enumerate(read_lines(source), 1):
        key, mark, label = line.partition(";")
        if not (mark and key.strip() and label.strip()):
            raise ValueError(f"{source} line {number} is '{line[:60]}': it must be 'id;label'")
        answers[key.strip()] = label.strip()
    return answers


def read_lines(source: Path) -> list[str]:
    """Read the lines that are not empty, without surrounding white space."""
    lines = source.read_text(encoding="utf-8-sig", errors=BYTES).split("\n")
    return [line.strip() for line in lines if line.strip()]


def read_objects(source: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Read a JSON list of objects that have these keys; raise ValueError for any other content."""
    content = read_json(source)
    if not isinstance(content, list):
        raise ValueError(f"{source} holds a {type(content).__name__}: it must be a list of objects")
    for number, item in enumerate(content):
        absent = [key for key in keys if not isinstance(item, dict) or key not in item]
        if absent:
            raise ValueError(
                f"{source} entry {number} is {str(item)[:60]}: it must be an object with {', '.join(keys)}"
            )
    return content


def read_json(source: Path) -> Any:
    """Return the content of a JSON file; raise ValueError if it is not JSON."""
    try:
        return json.loads(source.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{source} is not JSON: {error}") from error


def video_files(folder: str | os.PathLike[str], *, by_class: bool = False) -> dict[str, str]:
    """Return the absolute paths of the video files in a folder, at any depth, by their names without suffix.

    With `by_class`, the keys are ``folder/name``, for data sets in which the same name stands for different
    videos. Of files with equal keys, the first in sorted order is returned.

    Raises:
        ValueError: The folder does not exist.
    """
    files: dict[str, str] = {}
    for where, folders, names in os.walk(existing_folder(folder), followlinks=True):
        folders.sort()
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if ending.lower() in VIDEO_SUFFIXES:
                key = f"{os.path.basename(where)}/{stem}" if by_class else stem
                files.setdefault(key, os.path.join(where, name))
    return files


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a folder; raise ValueError if it does not exist."""
    root = Path(os.path.abspath(folder))
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}: give the one to which the videos were unpacked")
    return root


def keep_present(
    rows: Sequence[Video], files: Mapping[str, str], folder: str | os.PathLike[str], allow_missing: float
) -> list[Video]:
    """Return the rows whose video exists, with the path of its file.

    Missing videos are counted in a warning, which names classes that have no video left.

    Args:
        rows: Rows that the annotations list; their `path` is a key of `files`.
        files: Path of each existing file, by key.
        folder: Folder that was searched, for messages.
        allow_missing: Number (int) or share (float in [0, 1]) of the rows whose video may be missing.

    Raises:
        ValueError: More videos than allowed are missing, or all of them; the annotations list no video; or
            `allow_missing` is neither a number nor a share.
    """
    if allow_missing < 0 or (isinstance(allow_missing, float) and not allow_missing <= 1):
        raise ValueError(
            f"allow_missing is {allow_missing}: give a whole number of rows, or a share of them in [0, 1]"
        )
    if not rows:
        raise ValueError("the annotations list no video of this split: are the files complete?")
    missing = [row.path for row in rows if row.path not in files]
    present = [replace(row, path=files[row.path]) for row in rows if row.path in files]
    names = list(dict.fromkeys(missing))
    shown = ", ".join(names[:_NAMED])
    if not present:
        raise ValueError(
            f"none of the {len(rows)} listed rows has its video under {folder} (it was looked for {shown}): "
            "give the folder to which the videos were unpacked"
        )
    count = f"{len(missing)} of {len(rows)} rows have no video"
    text = f"{count} under {folder} ({len(names)} missing, e.g. {shown})"
    counted = len(missing) if isinstance(allow_missing, int) else len(missing) / len(rows)
    if counted > allow_missing:
        raise ValueError(
            f"{text}: allow_missing is {allow_missing}; fetch them, or allow a number or share of the rows"
        )
    if missing:
        lost = sorted({row.label for row in rows if row.label} - {row.label for row in present})
        classes = f"; no video is left of {', '.join(lost[:_NAMED])} ({len(lost)} classes)" if lost else ""
        warnings.warn(f"{text}; they are left out{classes}", stacklevel=3)
    return present
