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
    """Read the clips of a split; `group` joins the class and one of its 25 groups, as in ``Archery_g01``.

    Args:
        annotations: Folder ``ucfTrainTestlist`` with ``classInd.txt`` (lines ``1 ApplyEyeMakeup``),
            ``trainlist01.txt`` (lines ``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``) and
            ``testlist01.txt`` (the same without the class index), also for the folds 02 and 03.
        videos: Folder ``UCF-101``, with a folder of ``v_<class>_<group>_<clip>.avi`` for each class.
        split: Split to read, `train` or `test`.
        fold: Number of the official split, 1 to 3.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.

    The names and lines were seen in copies of the lists and in a third party's readme. The data set's page
    says that clips of a group "may share some common features, such as similar background".

    Raises:
        ValueError: A list or folder is missing or has another format, ``classInd.txt`` lacks a class or gives
            it another index, or too many videos are missing.
    """
    # That no group is in both splits is from memory; it holds for the part of the lists that was seen.
    check_choice("split", split, SPLITS)
    check_choice("fold", fold, FOLDS)
    number_of = _classes(annotation_file(annotations, "classInd.txt"))
    source = annotation_file(annotations, f"{split}list{fold:02d}.txt")
    listed = [_row(line, number_of, source) for line in read_lines(source)]
    return keep_present(listed, video_files(videos), videos, allow_missing)


def _classes(source: Path) -> dict[str, str]:
    """Return the index of each class, as text."""
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
