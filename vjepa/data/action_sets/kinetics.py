"""Kinetics-400, -600 and -700 (arXiv 1705.06950, 1808.01340, 1907.06987, 2010.10864)."""

from __future__ import annotations

import os
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

SPLITS = {"train": ("train",), "val": ("val", "validate"), "test": ("test",)}


def read_kinetics(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Read the clips of a split; `group` is the YouTube video. Labels are None if a test list has none.

    Args:
        annotations: CSV file with the columns ``label,youtube_id,time_start,time_end,split``, or a folder
            with ``train.csv``, ``val.csv`` (or ``validate.csv``) and ``test.csv``, also as
            ``kinetics_train.csv``.
        videos: Folder of ``<youtube_id>_<start>_<end>.mp4``, with times of six digits: without subfolders,
            with a folder for each class (in any spelling), or CVDF's tree (``k400/train`` and so on). Files
            in ``replacement`` are preferred to those of the same name, which are broken.
        split: Split to read: `train`, `val` or `test`.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.
            Some clips are no longer on YouTube.

    The names of files and columns were seen in torchvision's `Kinetics` and in CVDF's README, scripts and
    `arrange_by_classes.py` (replacements); ``validate`` and the additional column ``is_cc`` in printed
    extracts of the lists.

    Raises:
        ValueError: There is no list or folder, a header lacks a column, the split has no row, or too many
            videos are missing.
    """
    # That splits share no YouTube video is from memory.
    check_choice("split", split, tuple(SPLITS))
    source = Path(os.path.abspath(annotations))
    if not source.is_file():
        names = [f"{start}{name}.csv" for name in SPLITS[split] for start in ("", "kinetics_")]
        source = annotation_file(source, *names)
    rows = read_rows(source, ("youtube_id", "time_start", "time_end", "split"))
    chosen = [row for row in rows if row["split"].strip() in SPLITS[split]]
    if not chosen:
        values = sorted({row["split"] for row in rows})
        raise ValueError(
            f"no row of {source} has the split {split}: the splits there are {', '.join(values)}"
        )
    listed = [
        Video(_clip(row, source), (row.get("label") or "").strip() or None, group=row["youtube_id"])
        for row in chosen
    ]
    files, replacements = video_files(videos), Path(videos) / "replacement"
    if replacements.is_dir():
        files |= video_files(replacements)
    return keep_present(listed, files, videos, allow_missing)


def _clip(row: dict[str, str], source: Path) -> str:
    """Return the name of a clip's file, without suffix."""
    try:
        start, end = (int(float(row[column])) for column in ("time_start", "time_end"))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{source} has the times '{row['time_start']}' and '{row['time_end']}' for "
            f"{row['youtube_id']}: they must be seconds"
        ) from None
    return f"{row['youtube_id']}_{start:06d}_{end:06d}"
