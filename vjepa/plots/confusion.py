"""The confusion matrix of a classifier as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vjepa.evaluation.recognition.metrics import ClassificationReport
from vjepa.foreign_text import in_plot

_MOST_NUMBERS = 20  # Largest number of classes for which the cells show counts.
_MOST_NAMES = 60  # Largest number of class names on an axis.


def write_confusion(folder: Path, report: ClassificationReport) -> None:
    """Write ``confusion.png`` and ``classes.md``, which holds the accuracy of each class."""
    draw_confusion(report.confusion_XX, report.classes, folder / "confusion.png")
    (folder / "classes.md").write_text(report.per_class_table() + "\n", encoding="utf-8")


def draw_confusion(counts_XX: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draw the confusion matrix: rows are true classes, columns are predicted classes.

    A cell's colour is its share of the row, its number is the count.

    Args:
        counts_XX: Number of videos of each true class (rows) that got each predicted class (columns).
        classes: Class names in the order of rows and columns.
        path: PNG file to write.
    """
    # Imported here, because matplotlib takes longer to import than a short run lasts.
    from matplotlib.figure import Figure

    shares_XX = counts_XX / np.maximum(counts_XX.sum(axis=1, keepdims=True), 1)
    side = min(max(3.0, 0.35 * len(classes)), 14.0)
    figure = Figure(figsize=(side + 2.5, side + 2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares_XX, cmap="Blues", vmin=0, vmax=1)
    step = -(-len(classes) // _MOST_NAMES)
    places = list(range(0, len(classes), step))
    names = [in_plot(_short(classes[place])) for place in places]
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set(title="classes of the test videos", xlabel="given by the model", ylabel="true")
    if len(classes) <= _MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts_XX):
            colour = "white" if shares_XX[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.7)
    figure.savefig(path, dpi=110)


def _short(name: str, most: int = 44) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
