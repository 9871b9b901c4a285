"""Plot and film of a video's predicted future.

They show frames, true and predicted embeddings as colours, surprise, and retrieved frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.foreign_text import in_plot
from vjepa.plots.colours import SURPRISE
from vjepa.plots.rgb import as_rgb
from vjepa.plots.strip import write_film

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 24  # Largest number of time steps in a plot; those of a longer video are spread evenly over it.
HEAT = 0.6  # Opacity of the heat map over the frame.

Rows = Mapping[str, Tensor]
"""Rows of a plot by name: RGB images ``(t, h, w, 3)`` in [0, 1], one for each time step.

Images are NaN at time steps that have none.
"""


class EmbeddingColours:
    """The first three principal components of embeddings as red, green and blue.

    One basis serves all embeddings that are compared, so that equal colours mean similar embeddings.

    Args:
        tokens_NY: Embeddings that the basis is fitted to: the true embeddings of a whole video.
    """

    def __init__(self, tokens_NY: Tensor) -> None:
        self.mean_Y = tokens_NY.mean(dim=0)
        _, _, self.basis_YC = torch.pca_lowrank(tokens_NY - self.mean_Y, q=3, center=False, niter=6)
        scores_NC = (tokens_NY - self.mean_Y) @ self.basis_YC
        # The signs of components are arbitrary. They are fixed here, so that the same video gives the same
        # plot.
        self.basis_YC = self.basis_YC * scores_NC.pow(3).sum(dim=0).sign()
        scores_NC = (tokens_NY - self.mean_Y) @ self.basis_YC
        self.low_C, self.high_C = scores_NC.quantile(0.02, dim=0), scores_NC.quantile(0.98, dim=0)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return colours ``(..., 3)`` in [0, 1] of embeddings ``(..., Y)``."""
        scores = (tokens - self.mean_Y) @ self.basis_YC
        return ((scores - self.low_C) / (self.high_C - self.low_C).clamp_min(1e-8)).clamp(0, 1)


def nearest_steps(predicted_VSY: Tensor, true_tSY: Tensor) -> Tensor:
    """Return the index of the true time step that is most similar to each prediction, int64 ``(V,)``.

    Similarity is the cosine of embeddings, averaged over places.

    Args:
        predicted_VSY: Predicted embeddings of one time step of each window.
        true_tSY: True embeddings of all time steps of the video.
    """
    predicted_VSY, true_tSY = F.normalize(predicted_VSY, dim=-1), F.normalize(true_tSY, dim=-1)
    return (predicted_VSY.flatten(1) @ true_tSY.flatten(1).T).argmax(dim=1)


def draw_future(
    frames_tCHW: Tensor,
    rows: Rows,
    curve_t: Tensor | None,
    map_thw: Tensor | None,
    seconds_t: Sequence[float],
    path: Path,
) -> None:
    """Draw a plot with a column for each time step and, below, the curve of surprise.

    Args:
        frames_tCHW: One frame of each time step, uint8.
        rows: Images of each time step, by the name of the row.
        curve_t: Surprise at each time step; None, for a video shorter than a window, draws no curve.
        map_thw: Surprise at each place of each time step; None draws no heat map.
        seconds_t: Time in seconds at which each time step begins.
        path: PNG file to write.
    """
    # Imported here, because matplotlib takes longer to import than a small model to run.
    from matplotlib.figure import Figure

    steps = torch.linspace(0, len(frames_tCHW) - 1, min(COLUMNS, len(frames_tCHW))).round().long().tolist()
    shown = {"frame": as_rgb(frames_tCHW).permute(0, 2, 3, 1) / 255, **rows}
    if map_thw is not None:
        shown["surprise"] = heat(frames_tCHW, map_thw)
    height = 0.85 * len(shown) + (2.6 if curve_t is not None else 0.5)
    figure = Figure(figsize=(0.8 * len(steps) + 2.2, height), layout="constrained")
    ratios = [0.85] * len(shown) + ([1.8] if curve_t is not None else [])
    grid = figure.add_gridspec(len(ratios), len(steps), height_ratios=ratios)
    for row, (name, images) in enumerate(shown.items()):
        for column, step in enumerate(steps):
            axis = figure.add_subplot(grid[row, column])
            _show(axis, images[step])
            if row == 0:
                axis.set_title(f"{seconds_t[step]:.2f} s", fontsize=7)
            if column == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    if curve_t is not None:
        axis = figure.add_subplot(grid[len(shown), :])
        axis.plot(
            list(seconds_t), curve_t[: len(seconds_t)].tolist(), marker="o", markersize=3, color=SURPRISE
        )
        axis.set(xlim=(seconds_t[0], seconds_t[-1] + 1e-6), ylim=(0, 1.1 * float(curve_t.nan_to_num().max())))
        axis.set(title="surprise", ylabel="error of the prediction", xlabel="seconds")
    figure.suptitle(in_plot(path.stem), fontsize=10)
    figure.savefig(path, dpi=110)


def _show(axis: Axes, image: Tensor) -> None:
    if not bool(image.isnan().any()):
        axis.imshow(image.numpy(), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def heat(frames_tCHW: Tensor, map_thw: Tensor) -> Tensor:
    """Overlay grey frames with a heat map: ``(t, H, W, 3)`` in [0, 1], NaN where the map is NaN."""
    colours_tChw = heat_colours(map_thw).permute(0, 3, 1, 2)
    height, width = frames_tCHW.shape[-2:]
    large_tCHW = F.interpolate(colours_tChw, size=(height, width), mode="nearest")
    grey_tCHW = frames_tCHW.float().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) / 255
    return (HEAT * large_tCHW + (1 - HEAT) * grey_tCHW).permute(0, 2, 3, 1)


def heat_colours(map_thw: Tensor) -> Tensor:
    """Colour a map between two of its quantiles, 5 and 99.5 %: ``(t, h, w, 3)`` in [0, 1]; NaN stays NaN."""
    from matplotlib import colormaps

    finite = map_thw[~map_thw.isnan()]
    low, high = (float(finite.quantile(share)) for share in (0.05, 0.995)) if len(finite) else (0.0, 1.0)
    scaled_thw = ((map_thw - low) / max(high - low, 1e-8)).clamp(0, 1)
    colours_thwC = torch.from_numpy(
        np.asarray(colormaps["inferno"](scaled_thw.nan_to_num().numpy()))[..., :3]
    )
    return colours_thwC.float().masked_fill(map_thw.isnan().unsqueeze(-1), torch.nan)


def write_future_film(
    frames_tCHW: Tensor, rows: Rows, map_thw: Tensor | None, path: Path, frame_rate: float
) -> None:
    """Write the rows side by side as an .mp4, one film frame for each time step.

    NaN values are shown as grey.

    Args:
        frames_tCHW: One frame of each time step, uint8.
        rows: Images of each time step, by the name of the row.
        map_thw: Surprise at each place of each time step; None shows no heat map.
        path: Film to write.
        frame_rate: Frame rate of the film, in frames per second.
    """
    height, width = frames_tCHW.shape[-2:]
    panels = {"frame": frames_tCHW}
    shown = dict(rows) if map_thw is None else {**rows, "surprise": heat(frames_tCHW, map_thw)}
    for name, row_thwC in shown.items():
        image_tCHW = row_thwC.permute(0, 3, 1, 2).nan_to_num(0.5)
        large_tCHW = F.interpolate(image_tCHW, size=(height, width), mode="nearest")
        panels[name] = (255 * large_tCHW).round().to(torch.uint8)
    write_film(panels, path, frame_rate)
