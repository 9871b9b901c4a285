"""HMDB51 (Kuehne et al., ICCV 2011) and J-HMDB (Jhuang et al., ICCV 2013), whose clips are a part of it."""

from __future__ import annotations

import os
from pathlib import Path

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    check_choice,
    keep_present,
    read_lines,
    video_files,
)
from vjepa.data.manifest import Video

SPLITS = {"train": "1", "test": "2"}  # the mark of a clip; 0 is for clips that a split does not use
FOLDS = (1, 2, 3)


def read_hmdb51(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    fold: int = 1,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Clips of a split of an official split; `group` is the class and the source video, ``run/The_Matrix_1``.

    Args:
        annotations: The folder ``testTrainMulti_7030_splits`` of ``<class>_test_split<fold>.txt`` with lines
            ``<clip>.avi <mark>``: 1 for training, 2 for testing, 0 for neither.
        videos: A folder with a folder of clips per class.
        split: Train, test.
        fold: Number of one of the three official splits.
        allow_missing: Rows that may lack their video, a number or a share.

    Names and marks are those of the splits' own ``split_readme.txt``, which others quote. A clip is called
    ``<source>_<class>_<visible parts>_<camera>_<people>_<side>_<quality>_<number>.avi``, seen in the lists.
    In the five lists that were looked at (brush_hair, drink, kick_ball, punch, run; split 1) no source of a
    class is in both splits, but a film may be in training for one class and in testing for another: hence the
    class in the group.

    Raises:
        ValueError: Lists or a folder that are missing, a line that is not of that form, too many videos
            missing.
    """
    check_choice("split", split, tuple(SPLITS))
    check_choice("fold", fold, FOLDS)
    ending = f"_test_split{fold}.txt"
    sources = sorted(Path(os.path.abspath(annotations)).glob(f"*{ending}"))
    if not sources:
        raise ValueError(
            f"{os.path.abspath(annotations)} has no files '<class>{ending}': "
            "give the folder in which the splits lie"
        )
    listed = [
        Video(f"{label}/{clip}", label, group=f"{label}/{_source_video(clip, label)}")
        for source in sources
        for label in [source.name.removesuffix(ending)]
        for clip, mark in _marks(source)
        if mark == SPLITS[split]
    ]
    return keep_present(listed, video_files(videos, by_class=True), videos, allow_missing)


def read_jhmdb(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    fold: int = 1,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """The same of J-HMDB: `annotations` is its folder ``splits``, `videos` its ``ReCompress_Videos``.

    Marks are 1 and 2. Names were seen in public readers of it, the clips' names in a part of the data set.
    See `read_hmdb51`.
    """
    return read_hmdb51(annotations, videos, split, fold=fold, allow_missing=allow_missing)


def _marks(source: Path) -> list[tuple[str, str]]:
    """Clips, without ending, and their marks."""
    marks = []
    for line in read_lines(source):
        name, _, mark = line.rpartition(" ")
        if not name or mark not in ("0", "1", "2"):
            raise ValueError(
                f"{source} has the line '{line[:80]}': it must be the name of a clip, and 0, 1 or 2"
            )
        marks.append((os.path.splitext(name.strip())[0], mark))
    return marks


def _source_video(clip: str, label: str) -> str:
    """What comes before the class in a clip's name; the whole name where the class is not in it."""
    return clip.rpartition(f"_{label}_")[0] or clip
