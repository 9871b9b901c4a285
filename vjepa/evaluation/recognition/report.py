"""Metrics of classified videos and the files that hold them: one way for every tool. V videos, X classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from vjepa.data.manifest import Video
from vjepa.evaluation.recognition.metrics import ClassificationReport, classification_report, number_labels
from vjepa.evaluation.recognition.score_file import write_scores


def report_of(videos: Sequence[Video], scores_VX: Tensor, classes: Sequence[str]) -> ClassificationReport:
    """Accuracies of labelled videos; those of classes that are not among `classes` count as missed.

    Raises:
        ValueError: no video has one of the classes.
    """
    labels_V, unseen = number_labels([video.label or "" for video in videos], classes)
    groups = [video.group for video in videos]
    return classification_report(scores_VX, labels_V, classes, groups, unseen=unseen)


def write_scores_of(folder: Path, videos: Sequence[Video], scores_VX: Tensor, classes: Sequence[str]) -> None:
    """Write ``scores.csv``: probabilities of every video."""
    labels, paths = [video.label or "" for video in videos], [video.path for video in videos]
    write_scores(folder / "scores.csv", paths, labels, scores_VX, classes)


def with_class_names(videos: Sequence[Video], classes: Sequence[str]) -> list[Video]:
    """The videos with names in place of numbers, where a list gives all classes by their numbers and the model by names.

    Number n is the n-th class of the model: of released weights the official number, of a model of this library that of the
    sorted names. Lists that have a name of the model, or a number that is none of its classes, stay as they are.
    """
    labels = {video.label for video in videos if video.label is not None}
    numbers = {label: int(label) for label in labels if label.isdecimal()}
    if (
        len(numbers) < len(labels)
        or labels & set(classes)
        or max(numbers.values(), default=0) >= len(classes)
    ):
        return list(videos)
    return [
        video if video.label is None else replace(video, label=classes[numbers[video.label]])
        for video in videos
    ]
