"""Class scores of every video in a file. V videos, X classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vjepa.foreign_text import from_cell, in_cell

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
    """A CSV with a line a video: path, true class, most probable class, its probability, and that of every class.

    Names that a spreadsheet would compute (``=1+1``) have an apostrophe before them; paths that are no UTF-8 keep their
    bytes.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *map(in_cell, classes)))
        for video, label, scores in zip(paths, labels, scores_VX.tolist(), strict=True):
            best = max(range(len(classes)), key=scores.__getitem__)
            names = (in_cell(name) for name in (video, label, classes[best]))
            writer.writerow((*names, f"{scores[best]:.6g}", *(f"{s:.6g}" for s in scores)))


def read_scores(path: Path) -> Scores:
    """What `write_scores` wrote; ValueError where it is something else."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
        raise ValueError(
            f"{path} begins with the columns {', '.join(header[:4])}: give a file that write_scores wrote"
        )
    scores_VX = torch.tensor([[float(cell) for cell in row[len(_COLUMNS) :]] for row in rows])
    paths, labels = ([from_cell(row[column]) for row in rows] for column in range(2))
    return Scores(paths, labels, scores_VX, [from_cell(name) for name in header[len(_COLUMNS) :]])
