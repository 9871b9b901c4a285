"""Metrics of classification, with bootstrap intervals.

labels_V, unseen = number_labels(labels, classes)
report = classification_report(scores_VX, labels_V, classes, groups, unseen=unseen)
print(report.table())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import Metric, interval
from vjepa.foreign_text import in_table

DRAWS = 1000  # of the bootstrap
_TOP = 5

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationReport:
    """Metrics of the classification of a set of videos, as shares in [0, 1] with 95 % intervals.

    Means over classes leave out classes without a video.

    Attributes:
        classes: Names of the classes; those that the model cannot name come last.
        top1: Share of the videos whose most probable class is right.
        top5: Share of the videos whose class is among the five most probable ones, or among all if there are
            fewer.
        mean_class: Mean over classes of the share of their videos whose most probable class is right.
        macro_f1: Mean over classes of the harmonic mean of precision and recall.
        confusion_XX: Number of videos of the row's class whose most probable class is the column's.
        videos: Number of videos.
        units: Number of units that the bootstrap draws: groups of videos, or single videos.
        unseen: Names of the classes that the model cannot name; their videos count as missed.
    """

    classes: tuple[str, ...]
    top1: Metric
    top5: Metric
    mean_class: Metric
    macro_f1: Metric
    confusion_XX: NDArray[np.int64]
    videos: int
    units: int
    unseen: tuple[str, ...] = ()

    @property
    def unseen_videos(self) -> int:
        """Number of videos whose class the model cannot name."""
        return int(self.confusion_XX[len(self.classes) - len(self.unseen) :].sum())

    def headline(self) -> str:
        """Return the accuracy in one sentence, with its interval."""
        low, high = self.top1.low, self.top1.high
        interval = f" (95 %: {low:.1%} to {high:.1%})" if low == low else ""
        missed = (
            f", {self.unseen_videos} of them of classes that the model lacks and missed"
            if self.unseen
            else ""
        )
        return f"accuracy {self.top1.value:.1%}{interval} on {self.videos} videos{missed}"

    def table(self) -> str:
        """Format the metrics as a Markdown table."""
        names = {
            "top-1": self.top1,
            "top-5": self.top5,
            "mean class": self.mean_class,
            "macro F1": self.macro_f1,
        }
        lines = [f"| {self.videos} videos | % | 95 % interval |", "|---|---|---|"]
        for name, metric in names.items():
            interval = (
                f"{100 * metric.low:.1f} to {100 * metric.high:.1f}" if metric.low == metric.low else "-"
            )
            lines.append(f"| {name} | {100 * metric.value:.1f} | {interval} |")
        if self.unseen:
            lines.append(
                f"| missed, as the model does not know their class | {self.unseen_videos} videos | - |"
            )
        return "\n".join(lines)

    def per_class_table(self) -> str:
        """Format a Markdown table of each class: videos, recall, precision and most frequent confusion."""
        lines = [
            "| class | videos | recall % | precision % | most often taken for |",
            "|---|---|---|---|---|",
        ]
        given_X = self.confusion_XX.sum(axis=0)
        for number, name in enumerate(self.classes):
            row_X = self.confusion_XX[number]
            hits, videos = int(row_X[number]), int(row_X.sum())
            wrong_X = row_X.copy()
            wrong_X[number] = 0
            other = f"{self.classes[wrong_X.argmax()]} ({wrong_X.max()})" if wrong_X.any() else ""
            recall, precision = _percent(hits, videos), _percent(hits, int(given_X[number]))
            lines.append(f"| {in_table(name)} | {videos} | {recall} | {precision} | {in_table(other)} |")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        names = ("top1", "top5", "mean_class", "macro_f1")
        metrics = {name: getattr(self, name) for name in names}
        return {
            **{name: [metric.value, metric.low, metric.high] for name, metric in metrics.items()},
            "videos": self.videos,
            "units": self.units,
            "known_classes": len(self.classes) - len(self.unseen),
            "unseen": {"classes": list(self.unseen), "videos": self.unseen_videos},
            "confusion": self.confusion_XX.tolist(),
        }


def number_labels(labels: Sequence[str], classes: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Turn the labels of videos into class numbers: classes of the model first, then all other labels.

    Official test splits (EPIC-KITCHENS-100) have classes that the training split lacks. No model can name
    them, so their videos count as missed.

    Args:
        labels: Label of each video.
        classes: Classes of the model.

    Returns:
        Class numbers ``(V,)``, int64, and the names of the classes that are not among `classes`.

    Raises:
        ValueError: No label is a class of the model.
    """
    unseen = sorted(set(labels) - set(classes))
    if labels and len(unseen) == len(set(labels)):
        raise ValueError(
            f"no label of the test split is a class of the model: it has {', '.join(unseen[:5])}, ..., the "
            f"model {', '.join(classes[:5])}, ...; write the labels as the model does"
        )
    numbers = {name: number for number, name in enumerate([*classes, *unseen])}
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64), unseen


def classification_report(
    scores_VX: Tensor,
    labels_V: Tensor,
    classes: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    unseen: Sequence[str] = (),
    seed: int = 0,
) -> ClassificationReport:
    """Measure classification, with intervals by a bootstrap of 1,000 draws.

    If there is only one unit to draw, a video or a group, the ends of the intervals are NaN.

    Args:
        scores_VX: Scores of the classes, finite; greater is more likely.
        labels_V: Int64 class numbers. Those of the X classes are 0 to X - 1, and those of `unseen` follow.
        classes: Names of the X columns of the scores.
        groups: Group of each video, such as its source. The bootstrap draws whole groups, since their videos
            are alike; a video without a group is a group by itself. None draws single videos.
        unseen: Names of further classes, which have no scores: their videos count as missed.
        seed: Random seed of the bootstrap.

    Returns:
        Accuracies with their intervals, and the confusion matrix; `table` formats them as text.

    Raises:
        ValueError: Shapes do not match, a score is not finite, or a label is not a class number.
    """
    _check(scores_VX, labels_V, classes, len(unseen))
    names = (*classes, *unseen)
    labels, scores = labels_V.numpy(), in_double(scores_VX)
    predicted = scores.argmax(dim=1).numpy()
    best = scores.topk(min(_TOP, len(classes)), dim=1).indices.numpy()
    drawn_as = [group or f"\0{row}" for row, group in enumerate(groups or [None] * len(labels))]
    unit_V = np.unique(drawn_as, return_inverse=True)[1]
    units = int(unit_V.max()) + 1

    def counts(numbers: NDArray[np.int64], kept: NDArray[np.bool_] | None = None) -> Counts:
        found = np.zeros((units, len(names)))
        np.add.at(found, (unit_V, numbers), 1.0 if kept is None else kept.astype(float))
        return found

    tables = (
        counts(labels),
        counts(predicted),
        counts(labels, predicted == labels),
        counts(labels, (best == labels[:, None]).any(axis=1)),
    )
    weights_bu = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=DRAWS)
    values = _metrics(*(table.sum(axis=0, keepdims=True) for table in tables))
    drawn = _metrics(*(weights_bu @ table for table in tables))
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    metrics = {name: _metric(values[name], drawn[name], units) for name in values}
    return ClassificationReport(
        classes=names, confusion_XX=confusion, videos=len(labels), units=units, unseen=tuple(unseen),
        **metrics,
    )  # fmt: skip


def _metrics(true_bX: Counts, given_bX: Counts, right_bX: Counts, near_bX: Counts) -> dict[str, Counts]:
    """Compute each metric of every draw, ``(b,)``, from counts by class.

    The counts are those of videos by true class, of videos by predicted class, of right predictions, and of
    videos whose class is among the five most probable.
    """
    videos_b, occurs_bX = true_bX.sum(axis=1), true_bX > 0
    recall_bX = np.where(occurs_bX, right_bX / np.maximum(true_bX, 1), 0)
    f1_bX = np.where(occurs_bX, 2 * right_bX / np.maximum(true_bX + given_bX, 1), 0)
    classes_b = occurs_bX.sum(axis=1)
    return {
        "top1": right_bX.sum(axis=1) / videos_b,
        "top5": near_bX.sum(axis=1) / videos_b,
        "mean_class": recall_bX.sum(axis=1) / classes_b,
        "macro_f1": f1_bX.sum(axis=1) / classes_b,
    }


def _metric(value_1: Counts, drawn_b: Counts, units: int) -> Metric:
    if units < 2:
        return Metric(float(value_1[0]))
    return interval(value_1[0], drawn_b)


def _check(scores_VX: Tensor, labels_V: Tensor, classes: Sequence[str], unseen: int) -> None:
    if scores_VX.shape != (len(labels_V), len(classes)) or not len(labels_V):
        raise ValueError(
            f"scores have shape {tuple(scores_VX.shape)} for {len(labels_V)} videos and "
            f"{len(classes)} classes: give a row a video and a column a class"
        )
    if not bool(scores_VX.isfinite().all()):
        raise ValueError("scores are not all finite: the model has broken down, or its input")
    wrong = labels_V[(labels_V < 0) | (labels_V >= len(classes) + unseen)]
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} labels are no class, e.g. {int(wrong[0])} (-1 is a video without a label): a "
            f"test needs labels from 0 to {len(classes) + unseen - 1}"
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
