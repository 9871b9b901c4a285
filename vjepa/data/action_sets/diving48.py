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
    """Dives of a split; the label is the four words of the vocabulary, ``Back_15som_05Twis_FREE``.

    There are no groups: dives of one broadcast (``<youtube id>_<number>``) are in both splits, as far as
        known.

    Args:
        annotations: The folder with ``Diving48_vocab.json`` (a list of four words for each of the 48 classes)
            and ``Diving48_V2_train.json``, ``Diving48_V2_test.json`` (objects with ``vid_name`` and
            ``label``, the place in the vocabulary; also ``start_frame`` and ``end_frame``).
        videos: A folder of ``<vid_name>.mp4`` (``rgb``).
        split: Train, test.
        allow_missing: Rows that may lack their video, a number or a share.

    Names and forms were seen in the readme of others, which prints the beginnings of the files, in a copy of
    the vocabulary, and in mmaction2's instructions. ``start_frame`` is 0 in what was seen, as files are cut
    to their dive: it and ``end_frame`` are not used, and whole files are taken.

    Raises:
        ValueError: An annotation file or folder that is missing or not of that form, a label beyond the
            vocabulary, too many videos missing.
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
