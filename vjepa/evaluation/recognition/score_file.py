"""CSV files of the class probabilities of videos."""

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
    """Content of a score file.

    Attributes:
        paths: Path of each video.
        labels: True class of each video; empty where it is unknown.
        scores_VX: Probabilities of the classes.
        classes: Names of the classes, one for each column of the scores.
    """

    paths: list[str]
    labels: list[str]
    scores_VX: Tensor
    classes: list[str]


def write_scores(
    path: Path, paths: Sequence[str], labels: Sequence[str], scores_VX: Tensor, classes: Sequence[str]
) -> None:
    """Write a CSV with one line for each video.

    The columns are path, true class, most probable class, its probability, and the probability of every
    class. Names that a spreadsheet would compute (``=1+1``) get an apostrophe before them; paths that are
    not UTF-8 keep their bytes.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *map(in_cell, classes)))
        for video, label, scores in zip(paths, labels, scores_VX.tolist(), strict=True):
            best = max(range(len(classes)), key=scores.__getitem__)
            names = (in_cell(name) for name in (video, label, classes[best]))
            writer.writerow((*names, f"{scores[best]:.6g}", *(f"{s:.6g}" for s in scores)))


def read_scores(path: Path) -> Scores:
    """Read a file of `write_scores`.

    Raises:
        ValueError: The file has other columns.
    """
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
        raise ValueError(
            f"{path} begins with the columns {', '.join(header[:4])}: give a file that write_scores wrote"
        )
    scores_VX = torch.tensor([[float(cell) for cell in row[len(_COLUMNS) :]] for row in rows])
    paths, labels = ([from_cell(row[column]) for row in rows] for column in range(2))
    return Scores(paths, labels, scores_VX, [from_cell(name) for name in header[len(_COLUMNS) :]])
