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
    """Videos of a split; labels are templates ("Pushing something from left to right").

    There are no groups: several videos may show the same person, and the annotations do not say which.

    Args:
        annotations: The folder with ``labels.json`` (template to number) and ``train.json``,
            ``validation.json``, ``test.json`` (objects with ``id`` and, but for the test split, ``template``
            with [brackets]), all also with ``something-something-v2-`` before their names. Labels of the test
            part are in ``test-answers.csv`` (``id;label``); without it they are None.
        videos: A folder of ``<id>.webm`` (``20bn-something-something-v2``), at any depth.
        split: Train, val, test.
        allow_missing: Rows that may lack their video, a number or a share.

    Names and formats were seen in mmaction2's `parse_file_list.py`, and ``test-answers.csv`` in readers and
    lists of files of others; the data set's own readme was not at hand.

    Raises:
        ValueError: An annotation file or folder that is missing or not of that form, a template that is no
            label, too many videos missing.
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
