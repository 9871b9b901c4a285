"""Jester v1, hand gestures (Materzynska et al., ICCV workshops 2019)."""

from __future__ import annotations

import os

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    annotation_file,
    answers_of_test,
    check_choice,
    check_labels,
    existing_folder,
    keep_present,
    read_answers,
    read_lines,
)
from vjepa.data.manifest import Video

SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read_jester(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Folders of frames of a split; the label is the gesture ("Swiping Left"). There are no groups.

    Frames were taken 12 times a second, but a manifest has no column for that, and folders of frames are read
    as 25 a second: times are then half as long as they were. Count clips in frames (a stride), not seconds.

    Args:
        annotations: The folder with ``jester-v1-labels.csv`` (a label a line), ``jester-v1-train.csv`` and
            ``jester-v1-validation.csv`` (``id;label`` a line), ``jester-v1-test.csv`` (``id`` a line), all
            also without ``jester-v1-``. Labels of the test split are in ``test-answers.csv``, ``id;label``;
            without it they are None.
        videos: The folder ``20bn-jester-v1``, of folders ``<id>`` of ``00001.jpg`` and so on.
        split: Train, val, test.
        allow_missing: Rows that may lack their folder, a number or a share.

    The labels and the form of the lists were seen in copies and in mmaction2's `parse_file_list.py`, names
    without prefix and ``test-answers.csv`` in a list of files; its form, taken to be that of the other lists,
    and the frames a second are from memory. Several videos show the same person: the lists do not say which.

    Raises:
        ValueError: An annotation file or folder that is missing or not of that form, a label that is not in
            the list of labels, too many videos missing.
    """
    check_choice("split", split, tuple(SPLITS))
    source = annotation_file(annotations, *_names(f"{SPLITS[split]}.csv"))
    labels_file = annotation_file(annotations, *_names("labels.csv"))
    label_of: dict[str, str | None]
    if split == "test":
        keys = [line.partition(";")[0] for line in read_lines(source)]
        label_of = answers_of_test(annotations, keys, *_names("test-answers.csv"))
    else:
        label_of = dict(read_answers(source))
    check_labels(label_of, set(read_lines(labels_file)), labels_file)
    with os.scandir(existing_folder(videos)) as entries:
        folders = {entry.name: entry.path for entry in entries if entry.is_dir()}
    return keep_present(
        [Video(key, label) for key, label in label_of.items()], folders, videos, allow_missing
    )


def _names(name: str) -> tuple[str, str]:
    return f"jester-v1-{name}", name
