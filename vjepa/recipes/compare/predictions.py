"""Which class each read-out of a cell gives every test video: a CSV file beside the cell's metrics."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vjepa.data.manifest import BYTES, Video
from vjepa.files import written_atomically
from vjepa.foreign_text import from_cell, in_cell

_COLUMNS = ("path", "group", "label")


@dataclass(frozen=True)
class Predictions:
    """Content of a file of predictions.

    Attributes:
        paths: Path of each test video.
        groups: Group of each test video; its path where it has none.
        labels: True class of each test video.
        predicted: Predicted class of each test video, by the name of the read-out, such as ``ridge/1``.
    """

    paths: list[str]
    groups: list[str]
    labels: list[str]
    predicted: dict[str, list[str]]

    def hits(self, read_out: str) -> list[float]:
        """Return 1 for each test video that a read-out recognises, and 0 for each other."""
        return [
            float(predicted == label)
            for predicted, label in zip(self.predicted[read_out], self.labels, strict=True)
        ]


def write_predictions(path: Path, videos: Sequence[Video], predicted: Mapping[str, Sequence[str]]) -> None:
    """Write one line for each test video: path, group, true class, and the class by each read-out.

    Names that a spreadsheet would take for a formula get an apostrophe before them.

    Args:
        path: File to write.
        videos: Labelled test videos.
        predicted: Predicted class of each of them, by the name of the read-out.
    """
    with written_atomically(path) as draft, draft.open("w", newline="", errors=BYTES) as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *predicted))
        for video, *classes in zip(videos, *predicted.values(), strict=True):
            row = (video.path, video.group or video.path, video.label or "", *classes)
            writer.writerow(map(in_cell, row))


def read_predictions(path: Path) -> Predictions:
    """Read a file that `write_predictions` wrote."""
    with path.open(newline="", errors=BYTES) as file:
        header, *rows = csv.reader(file)
    columns = [[from_cell(row[column]) for row in rows] for column in range(len(header))]
    paths, groups, labels, *classes = columns
    return Predictions(paths, groups, labels, dict(zip(header[len(_COLUMNS) :], classes, strict=True)))
