"""Plot of one pair of videos for each kind of violation: frames, a heat map and curves of surprise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vjepa.data.processor import read_frames
from vjepa.data.violation_sets import Matched
from vjepa.foreign_text import in_plot
from vjepa.inference.surprise import surprise
from vjepa.models.video_model import VideoModel
from vjepa.plots.colours import IMPOSSIBLE, POSSIBLE
from vjepa.plots.future import heat
from vjepa.plots.rgb import as_rgb

COLUMNS = 8  # Largest number of time steps in a plot, around the violation.


def draw_violations(model: VideoModel, sets: Sequence[Matched], path: Path) -> None:
    """Draw the first pair of each kind of violation.

    A block has frames of the possible and the impossible video, the heat map of the impossible one, and the
    curves of surprise of both.

    Args:
        model: Model whose surprise is drawn.
        sets: Matched videos; the first possible and the first impossible video of a set are drawn.
        path: PNG file to write.
    """
    # Imported here, because matplotlib takes longer to import than a small model to run.
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(matched.kind for matched in sets))
    figure = Figure(figsize=(COLUMNS + 6, 3.0 * len(kinds)), layout="constrained")
    for block, kind in zip(figure.subfigures(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
        matched = next(matched for matched in sets if matched.kind == kind)
        _draw_pair(block, model, matched)
    figure.savefig(path, dpi=100)


def _draw_pair(block: object, model: VideoModel, matched: Matched) -> None:
    clip, depth = model.processor, model.encoder.tubelet.t
    paths = (matched.possible[0], matched.impossible[0])
    read = [read_frames(path, clip) for path in paths]
    found = [surprise(model, path) for path in paths]
    steps = min(len(frames.video_TCHW) for frames in read) // depth
    middles = [
        frames.video_TCHW[: steps * depth].unflatten(0, (steps, depth))[:, depth // 2] for frames in read
    ]
    rows = {
        "possible": as_rgb(middles[0]).permute(0, 2, 3, 1) / 255,
        "impossible": as_rgb(middles[1]).permute(0, 2, 3, 1) / 255,
        "surprise": heat(middles[1], found[1].map_thw[:steps]),
    }
    event = _sampled(matched.first_difference, read[1].numbers[: steps * depth])
    first = 0 if event is None else max(min(event // depth - COLUMNS // 2, steps - COLUMNS), 0)
    grid = block.add_gridspec(3, COLUMNS + 5)  # type: ignore[attr-defined]
    for row, (name, images) in enumerate(rows.items()):
        for column, step in enumerate(range(first, min(first + COLUMNS, steps))):
            axis = block.add_subplot(grid[row, column])  # type: ignore[attr-defined]
            if not bool(torch.isnan(images[step]).any()):
                axis.imshow(images[step].numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[], title=f"step {step}" if row == 0 else "")
            if column == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center")
    axis = block.add_subplot(grid[:, COLUMNS:])  # type: ignore[attr-defined]
    for name, result, colour in (("possible", found[0], POSSIBLE), ("impossible", found[1], IMPOSSIBLE)):
        axis.plot(result.curve.tolist(), marker="o", markersize=3, color=colour, label=name)
    if event is not None:
        axis.axvline(event / depth - 0.5, color="black", linestyle=":", label="they differ from here")
    axis.set(title=in_plot(matched.kind), xlabel="time step", ylabel="surprise: error of the prediction")
    axis.legend(fontsize=8)


def _sampled(frame: int | None, numbers_T: NDArray[np.int64]) -> int | None:
    """Return which of the frames that were read is the first from a frame of the file on; None without one.

    Args:
        frame: Number of the frame in the file; None if it is not known.
        numbers_T: Number in the file of each frame that was read.
    """
    if frame is None or frame > numbers_T[-1]:
        return None
    return int(np.searchsorted(numbers_T, frame))
