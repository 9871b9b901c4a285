"""Something-Something v2 (arXiv 1706.04261, 1804.09235)."""

from __future__ import annotations

import os

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    annotation_file,
    answers_of_test,
    check_choice,
    check_labels,
    keep_present,
    read_json,
    read_objects,
    video_files,
)
from vjepa.data.manifest import Video

SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read_something_something(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Read the videos of a split; a label is a template, such as "Pushing something from left to right".

    `group` is empty: several videos may show the same person, and the annotations do not say which.

    Args:
        annotations: Folder with ``labels.json`` (template to class index) and ``train.json``,
            ``validation.json`` or ``test.json`` (objects with ``id`` and, except in the test split,
            ``template``, which has [brackets]), all also with the prefix ``something-something-v2-``. Labels
            of the test split are read from ``test-answers.csv`` (lines ``id;label``); without that file they
            are None.
        videos: Folder of ``<id>.webm`` (``20bn-something-something-v2``), at any depth.
        split: Split to read: `train`, `val` or `test`.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.

    The names and formats were seen in mmaction2's `parse_file_list.py`, and ``test-answers.csv`` in
    third-party readers and lists of files. The data set's own readme was not available.

    Raises:
        ValueError: An annotation file or folder is missing or has another format, a template is not in the
            list of labels, or too many videos are missing.
    """
    check_choice("split", split, tuple(SPLITS))
    source = annotation_file(annotations, *_names(f"{SPLITS[split]}.json"))
    labels_file = annotation_file(annotations, *_names("labels.json"))
    labels = read_json(labels_file)
    if not isinstance(labels, dict):
        raise ValueError(
            f"{labels_file} holds a {type(labels).__name__}: it must map each template to its number"
        )
    items = read_objects(source, ("id",) if split == "test" else ("id", "template"))
    keys = [str(item["id"]) for item in items]
    label_of: dict[str, str | None]
    if split == "test":
        label_of = answers_of_test(annotations, keys, *_names("test-answers.csv"))
    else:
        label_of = {str(item["id"]): str(item["template"]).translate(_NO_BRACKETS) for item in items}
    check_labels(label_of, labels, labels_file)
    listed = [Video(key, label_of[key]) for key in keys]
    return keep_present(listed, video_files(videos), videos, allow_missing)


_NO_BRACKETS = str.maketrans("", "", "[]")


def _names(name: str) -> tuple[str, str]:
    return name, f"something-something-v2-{name}"
