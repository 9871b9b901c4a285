"""Class scores of every video in a file. V videos, X classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

_COLUMNS = ("path", "label", "predicted", "probability")


class Scores(NamedTuple):
    """What a file of scores holds.

    Attributes:
        paths: of the videos.
        labels: their true classes, empty where unknown.
        scores_VX: probabilities.
        classes: names of the columns.
    """

    paths: list[str]
    labels: list[str]
    scores_VX: Tensor
    classes: list[str]


def write_scores(
    path: Path, paths: Sequence[str], labels: Sequence[str], scores_VX: Tensor, classes: Sequence[str]
) -> None:
    """A CSV with a line a video: path, true class, most probable class, its probability, and that of every class."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *classes))
        for video, label, scores in zip(paths, labels, scores_VX.tolist(), strict=True):
            best = max(range(len(classes)), key=scores.__getitem__)
            writer.writerow(
                (video, label, classes[best], f"{scores[best]:.6g}", *(f"{s:.6g}" for s in scores))
            )


def read_scores(path: Path) -> Scores:
    """What `write_scores` wrote; ValueError where it is something else."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
        raise ValueError(
            f"{path} begins with the columns {', '.join(header[:4])}: give a file that write_scores wrote"
        )
    scores_VX = torch.tensor([[float(cell) for cell in row[len(_COLUMNS) :]] for row in rows])
    return Scores([row[0] for row in rows], [row[1] for row in rows], scores_VX, header[len(_COLUMNS) :])
