"""UCF101 (arXiv 1212.0402)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    annotation_file,
    check_choice,
    keep_present,
    read_lines,
    video_files,
)
from vjepa.data.manifest import Video

SPLITS = ("train", "test")
FOLDS = (1, 2, 3)
_CLIP = re.compile(r"v_(\w+_g\d+)_c\d+")


def read_ucf101(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    fold: int = 1,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Clips of a split of an official split; `group` is the class and one of its 25 groups, ``Archery_g01``.

    Args:
        annotations: The folder ``ucfTrainTestlist``: ``classInd.txt`` (``1 ApplyEyeMakeup`` a line) and
            ``trainlist01.txt`` (``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`` a line), ``testlist01.txt``
            (the same without number).
        videos: The folder ``UCF-101`` of a folder of ``v_<class>_<group>_<clip>.avi`` per class.
        split: Train, test.
        fold: Number of one of the three official splits.
        allow_missing: Rows that may lack their video, a number or a share.

    Names and lines were seen in copies of the lists and in the readme of others. That clips of a group "may
    share some common features, such as similar background" is said on the data set's page; that no group is
    in both parts of a split is from memory, and holds in the part of the lists that was seen.

    Raises:
        ValueError: A list or folder that is missing or not of that form, a class or number that
            ``classInd.txt`` does not have, too many videos missing.
    """
    check_choice("split", split, SPLITS)
    check_choice("fold", fold, FOLDS)
    number_of = _classes(annotation_file(annotations, "classInd.txt"))
    source = annotation_file(annotations, f"{split}list{fold:02d}.txt")
    listed = [_row(line, number_of, source) for line in read_lines(source)]
    return keep_present(listed, video_files(videos), videos, allow_missing)


def _classes(source: Path) -> dict[str, str]:
    """Number of each class, as text."""
    numbers = {}
    for line in read_lines(source):
        number, _, name = line.partition(" ")
        if not number.isdigit() or not name.strip():
            raise ValueError(
                f"{source} has the line '{line[:60]}': it must be a number and the name of a class"
            )
        numbers[name.strip()] = number
    return numbers


def _row(line: str, number_of: dict[str, str], source: Path) -> Video:
    path, _, number = line.partition(" ")
    label, _, name = path.rpartition("/")
    clip = os.path.splitext(name)[0]
    match = _CLIP.fullmatch(clip)
    if match is None:
        raise ValueError(
            f"{source} has the line '{line[:60]}': it must be 'Class/v_Class_g01_c01.avi', "
            "in training lists with a number"
        )
    if label not in number_of or number.strip() not in ("", number_of[label]):
        raise ValueError(
            f"{source} has the line '{line[:60]}', but classInd.txt numbers '{label}' as "
            f"{number_of.get(label)}: take both files from the same archive"
        )
    return Video(clip, label, group=match[1])
