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
    """Read the folders of frames of a split; a label is a gesture, such as ``Swiping Left``.

    `group` is empty: several videos show the same person, but the lists do not say which. Frames were
    recorded at 12 per second, but a manifest has no column for the frame rate, and folders of frames are read
    as 25 per second, which halves all times. Therefore specify clips in frames (`stride`), not in seconds.

    Args:
        annotations: Folder with ``jester-v1-labels.csv`` (lines ``label``), ``jester-v1-train.csv`` and
            ``jester-v1-validation.csv`` (lines ``id;label``) and ``jester-v1-test.csv`` (lines ``id``), all
            also without ``jester-v1-``. Labels of the test split are read from ``test-answers.csv`` (lines
            ``id;label``); without that file they are None.
        videos: Folder ``20bn-jester-v1``, with a folder ``<id>`` of ``00001.jpg`` and so on for each video.
        split: Split to read: `train`, `val` or `test`.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.

    The labels and the format of the lists were seen in copies and in mmaction2's `parse_file_list.py`, names
    without prefix and ``test-answers.csv`` in a list of files. The format of ``test-answers.csv`` is assumed
    to be that of the other lists.

    Raises:
        ValueError: An annotation file or folder is missing or has another format, a label is not in the list
            of labels, or too many videos are missing.
    """
    # The frame rate is from memory.
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
