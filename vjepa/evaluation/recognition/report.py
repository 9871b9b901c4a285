"""Accuracies and score files of classified videos, shared by all tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from vjepa.data.manifest import Video
from vjepa.evaluation.recognition.metrics import ClassificationReport, classification_report, number_labels
from vjepa.evaluation.recognition.scores import write_scores


def report_of(videos: Sequence[Video], scores_VX: Tensor, classes: Sequence[str]) -> ClassificationReport:
    """Measure the classification of labelled videos; videos of other classes than `classes` are missed.

    Args:
        videos: Labelled videos. The bootstrap draws the videos of a group together.
        scores_VX: Scores of the classes; greater is more likely.
        classes: Names of the columns of the scores.

    Raises:
        ValueError: No video has one of the classes, or what `classification_report` raises.
    """
    labels_V, unseen = number_labels([video.label or "" for video in videos], classes)
    groups = [video.group for video in videos]
    return classification_report(scores_VX, labels_V, classes, groups, unseen=unseen)


def write_scores_of(folder: Path, videos: Sequence[Video], scores_VX: Tensor, classes: Sequence[str]) -> None:
    """Write the class probabilities of every video to ``scores.csv`` in a folder."""
    labels, paths = [video.label or "" for video in videos], [video.path for video in videos]
    write_scores(folder / "scores.csv", paths, labels, scores_VX, classes)


def with_class_names(videos: Sequence[Video], classes: Sequence[str]) -> list[Video]:
    """Replace labels that are class numbers by the class names of the model.

    Class numbers count from 0. They are the official ones for released weights, and places among the sorted
    names for a model of this library. The labels stay as they are if any of them is a class name of the
    model, not a number, or a number without a class.
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
