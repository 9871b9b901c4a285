"""Class probabilities of videos, and their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.data.sampling import SampleKey
from vjepa.evaluation.features.cache import FeatureShards
from vjepa.evaluation.features.extract import LeftOut, stack_samples
from vjepa.foreign_text import from_cell, in_cell
from vjepa.inference.views import view_probabilities
from vjepa.models.classifier import Classifier
from vjepa.models.head_grid import TokenClassifier
from vjepa.workers import Loader

BATCH = 16  # videos
_COLUMNS = ("path", "label", "predicted", "probability")


def score_rows(
    network: Classifier | TokenClassifier,
    dataset: ClipDataset | FeatureShards,
    rows: Sequence[int],
    *,
    segments: int = 1,
    crops: int = 1,
    num_workers: int = 0,
    left_out: LeftOut,
) -> Tensor:
    """Compute the class probabilities of some rows of a dataset, ``(G, V, X)``, on the CPU.

    G is 1 for a network with one head. A row that cannot be read gets another video's probabilities, and
    `left_out` receives the row.

    Args:
        network: Classifier in evaluation mode, on the device to use.
        dataset: Dataset whose samples hold all views of a video, or the cached tokens of these views.
        rows: Rows of the dataset to score.
        segments: Number of clips of a video that the head sees together, see `view_probabilities`.
        crops: Number of crops of each clip.
        num_workers: Number of processes that decode videos.
        left_out: Receives the rows that cannot be read.

    Raises:
        ValueError: There are no rows.
    """
    device = next(network.parameters()).device
    stack = _stack_tokens if isinstance(dataset, FeatureShards) else stack_samples
    keys = [SampleKey(serial=row, index=row, step=0) for row in rows]
    batches = [keys[first : first + BATCH] for first in range(0, len(keys), BATCH)]
    loader: Loader[tuple[Tensor, Tensor, LeftOut]] = Loader(
        dataset, num_workers=num_workers, batch_sampler=batches, collate_fn=stack
    )
    found = []
    for views, _, unreadable in loader:
        left_out |= unreadable
        found.append(view_probabilities(network, views.to(device), segments=segments, crops=crops).cpu())
    if not found:
        raise ValueError("there is no video to score: give one or more")
    return torch.cat([part if part.ndim == 3 else part.unsqueeze(0) for part in found], dim=1)


def _stack_tokens(samples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, LeftOut]:
    tokens, labels = torch.utils.data.default_collate(list(samples))
    return tokens, labels, {}


class Scores(NamedTuple):
    """Content of a file of class probabilities.

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
    """Write class probabilities to a CSV file with one line for each video.

    The columns are path, true class, most probable class, its probability, and the probability of every
    class. Names that a spreadsheet would take for a formula (``=1+1``) get an apostrophe before them. Paths
    that are not UTF-8 keep their bytes.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *map(in_cell, classes)))
        for video, label, scores in zip(paths, labels, scores_VX.tolist(), strict=True):
            best = max(range(len(classes)), key=scores.__getitem__)
            names = (in_cell(name) for name in (video, label, classes[best]))
            writer.writerow((*names, f"{scores[best]:.6g}", *(f"{s:.6g}" for s in scores)))


def read_scores(path: Path) -> Scores:
    """Read a file that `write_scores` wrote.

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
