"""Diving48, version 2 of its labels (Li et al., ECCV 2018)."""

from __future__ import annotations

import os

from vjepa.data.action_sets.reading import (
    MISSING_SHARE,
    annotation_file,
    check_choice,
    keep_present,
    read_json,
    read_objects,
    video_files,
)
from vjepa.data.manifest import Video

SPLITS = ("train", "test")


def read_diving48(
    annotations: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    split: str = "train",
    *,
    allow_missing: float = MISSING_SHARE,
) -> list[Video]:
    """Read the dives of a split; a label joins the four terms of its class, as in ``Back_15som_05Twis_FREE``.

    `group` is empty: dives of one broadcast (``<youtube id>_<number>``) are in both splits, as far as is
    known.

    Args:
        annotations: Folder with ``Diving48_vocab.json`` (a list of four terms for each of the 48 classes) and
            ``Diving48_V2_train.json`` or ``Diving48_V2_test.json`` (objects with ``vid_name`` and ``label``,
            an index of the vocabulary; ``start_frame`` and ``end_frame`` are ignored).
        videos: Folder of ``<vid_name>.mp4`` (``rgb``).
        split: Split to read, `train` or `test`.
        allow_missing: Number (int) or share (float in [0, 1]) of the listed videos that may be missing.

    The file names and formats were seen in a third party's readme, which prints the first lines of the files,
    in a copy of the vocabulary, and in the instructions of mmaction2. The files are already cut to their dive
    (``start_frame`` is 0 wherever it was seen), so that whole files are read.

    Raises:
        ValueError: An annotation file or folder is missing or has another format, a label is outside the
            vocabulary, or too many videos are missing.
    """
    check_choice("split", split, SPLITS)
    vocabulary_file = annotation_file(annotations, "Diving48_vocab.json")
    vocabulary = read_json(vocabulary_file)
    if not isinstance(vocabulary, list) or not all(isinstance(words, list) for words in vocabulary):
        raise ValueError(f"{vocabulary_file} must be a list with a list of words for each class")
    source = annotation_file(annotations, f"Diving48_V2_{split}.json")
    items = read_objects(source, ("vid_name", "label"))
    for item in items:
        if item["label"] not in range(len(vocabulary)):
            raise ValueError(
                f"{source} gives {item['vid_name']} the label {item['label']!r}: {vocabulary_file} "
                f"has the classes 0 to {len(vocabulary) - 1}"
            )
    listed = [Video(str(item["vid_name"]), "_".join(vocabulary[item["label"]])) for item in items]
    return keep_present(listed, video_files(videos), videos, allow_missing)
