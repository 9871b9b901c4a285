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
    """Read the clips of a split; `group` joins the class and the source video, as in ``run/The_Matrix_1``.

    Args:
        annotations: Folder ``testTrainMulti_7030_splits``, whose files ``<class>_test_split<fold>.txt`` have
            lines ``<clip>.avi <mark>``, with mark 1 for training, 2 for testing and 0 for neither.
        videos: Folder with one folder of clips for each class.
        split: Split to read, `train` or `test`.
        fold: Number of the official split, 1 to 3.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.

    The file names and marks are those of the splits' own ``split_readme.txt``, as quoted by others. Clips are
    named ``<source>_<class>_<visible parts>_<camera>_<people>_<side>_<quality>_<number>.avi``, as seen in the
    lists. In five lists (brush_hair, drink, kick_ball, punch and run, split 1), no source video of a class is
    in both splits. But a film may be in training for one class and in testing for another; therefore `group`
    contains the class.

    Raises:
        ValueError: The lists or a folder are missing, a line has another format, or too many videos are
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
    """Read the clips of a split of J-HMDB; `group` joins the class and the source video.

    `annotations` is its folder ``splits`` and `videos` its folder ``ReCompress_Videos``. Marks are 1 and 2.
    The layout was seen in public readers of the data set, and the names of clips in a part of it.
    """
    return read_hmdb51(annotations, videos, split, fold=fold, allow_missing=allow_missing)


def _marks(source: Path) -> list[tuple[str, str]]:
    """Return the clips of a list, without file name suffix, and their marks."""
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
    """Return the part of a clip's name before the class, or the whole name if the class is not in it."""
    return clip.rpartition(f"_{label}_")[0] or clip
