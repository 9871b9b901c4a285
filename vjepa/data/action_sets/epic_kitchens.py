"""EPIC-KITCHENS-100 (arXiv 2006.13256): actions in long videos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    annotation_file,
    check_choice,
    keep_present,
    read_rows,
    video_files,
)
from vjepa.data.manifest import Video

SPLITS = {
    "train": "EPIC_100_train.csv",
    "val": "EPIC_100_validation.csv",
    "test": "EPIC_100_test_timestamps.csv",
}
LABELS = ("verb", "noun", "action")
_SEGMENT = ("narration_id", "video_id", "start_timestamp", "stop_timestamp")


def read_epic_kitchens(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    label: str = "action",
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Read the action segments of a split; `start` and `end` are in seconds, `group` is the video.

    The official splits share no video, but most participants (``P01`` in the video ``P01_11``) are in all of
    them. Labels of the test split are None.

    Args:
        annotations: Folder with ``EPIC_100_train.csv``, ``EPIC_100_validation.csv`` or
            ``EPIC_100_test_timestamps.csv`` and, for class names, ``EPIC_100_verb_classes.csv`` and
            ``EPIC_100_noun_classes.csv`` (or ``..._v2.csv``) with the columns ``id,key``.
        videos: Folder of ``<video_id>.MP4``, at any depth (``P01/videos/P01_101.MP4``).
        split: Split to read: `train`, `val` or `test`.
        label: What is labelled: `verb`, `noun`, or `action`, which joins both (``turn-on tap``).
        allow_missing: Number (int) or share (float in [0, 1]) of the segments whose video may be missing.

    The columns, files, classes and time format are those of the annotations' own README and files; the
    folders of videos were seen in descriptions by others.

    Raises:
        ValueError: A file or folder is missing, a header lacks a column, a time cannot be read, a class has
            no name, or too many videos are missing.
    """
    # That splits share no video, but participants, is from memory of the paper.
    check_choice("split", split, tuple(SPLITS))
    check_choice("label", label, LABELS)
    source = annotation_file(annotations, SPLITS[split])
    parts = () if split == "test" else ("verb", "noun") if label == "action" else (label,)
    rows = read_rows(source, (*_SEGMENT, *(f"{part}_class" for part in parts)))
    names = {part: _class_names(annotations, part) for part in parts}
    listed = [_segment(row, names, source) for row in rows]
    return keep_present(listed, video_files(videos), videos, allow_missing)


def _class_names(annotations: str | os.PathLike[str], part: str) -> dict[str, str]:
    """Return the name of each verb or noun class by its index, as text."""
    source = annotation_file(annotations, f"EPIC_100_{part}_classes.csv", f"EPIC_100_{part}_classes_v2.csv")
    return {row["id"]: row["key"] for row in read_rows(source, ("id", "key"))}


def _segment(row: Mapping[str, str], names: Mapping[str, Mapping[str, str]], source: Path) -> Video:
    where = f"{source}, {row['narration_id']}"
    start, end = _seconds(row["start_timestamp"], where), _seconds(row["stop_timestamp"], where)
    if end <= start:
        raise ValueError(
            f"{where} stops at {end} s and starts at {start} s: correct the row, or leave it out"
        )
    words = []
    for part, name_of in names.items():
        number = row[f"{part}_class"]
        if number not in name_of:
            raise ValueError(
                f"{where} has the {part}_class {number}, which the list of classes does not have"
            )
        words.append(name_of[number])
    return Video(row["video_id"], " ".join(words) or None, start, end, row["video_id"])


def _seconds(text: str, where: str) -> float:
    """Convert a time, ``HH:mm:ss.SS``, to seconds."""
    try:
        hours, minutes, seconds = text.split(":")
        return round(3600 * int(hours) + 60 * int(minutes) + float(seconds), 3)
    except ValueError:
        raise ValueError(f"{where} has the time '{text}': it must be HH:mm:ss.SS") from None
