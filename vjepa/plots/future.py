"""The future of a video to look at: frames, colours of true and predicted embeddings, surprise, and retrieved frames.

Shape letters as in `vjepa.tokens`; X contexts of one video, one a time step, U time steps of a video, Y width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.plots.strip import write_film

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 24  # time steps in a plot, evenly chosen from longer videos
HEAT = 0.6  # opacity of the heat map over the frame

Rows = Mapping[str, Tensor]  # (U, h, w, 3) in [0, 1], NaN where there is nothing


class EmbeddingColours:
    """First three principal components of embeddings as red, green and blue: one basis for all that is compared.

    Args:
        tokens_XY: embeddings to fit on: the true ones of a whole video.
    """

    def __init__(self, tokens_XY: Tensor) -> None:
        self.mean_Y = tokens_XY.mean(dim=0)
        _, _, self.basis_YC = torch.pca_lowrank(tokens_XY - self.mean_Y, q=3, center=False, niter=6)
        scores_XC = (tokens_XY - self.mean_Y) @ self.basis_YC
        # The signs of components mean nothing: fixed, so that a plot can be made again.
        self.basis_YC = self.basis_YC * scores_XC.pow(3).sum(dim=0).sign()
        scores_XC = (tokens_XY - self.mean_Y) @ self.basis_YC
        self.low_C, self.high_C = scores_XC.quantile(0.02, dim=0), scores_XC.quantile(0.98, dim=0)

    def __call__(self, tokens_thwY: Tensor) -> Tensor:
        """Colours ``(..., 3)`` in [0, 1]."""
        scores = (tokens_thwY - self.mean_Y) @ self.basis_YC
        return ((scores - self.low_C) / (self.high_C - self.low_C).clamp_min(1e-8)).clamp(0, 1)


def nearest_steps(predicted_XSY: Tensor, true_USY: Tensor) -> Tensor:
    """For each prediction the true time step that is most like it, by the mean cosine over places: int64 ``(X,)``."""
    predicted_XSY, true_USY = F.normalize(predicted_XSY, dim=-1), F.normalize(true_USY, dim=-1)
    return (predicted_XSY.flatten(1) @ true_USY.flatten(1).T).argmax(dim=1)


def draw_future(
    frames_UCHW: Tensor,
    rows: Rows,
    curve_U: Tensor | None,
    map_Uhw: Tensor | None,
    seconds_U: Sequence[float],
    path: Path,
) -> None:
    """One plot: a column a time step; below it the curve of surprise.

    Args:
        frames_UCHW: uint8, one frame of each time step.
        rows: images of every time step by name.
        curve_U, map_Uhw: surprise at every time step, and at its places; None where there is no room for a window.
        seconds_U: at which each step begins.
        path: of a .png.
    """
    # Imported here: matplotlib takes longer to import than a small model to run.
    from matplotlib.figure import Figure

    steps = torch.linspace(0, len(frames_UCHW) - 1, min(COLUMNS, len(frames_UCHW))).round().long().tolist()
    shown = {"frame": frames_UCHW.permute(0, 2, 3, 1) / 255, **rows}
    if map_Uhw is not None:
        shown["surprise"] = heat(frames_UCHW, map_Uhw)
    height = 0.85 * len(shown) + (2.0 if curve_U is not None else 0.3)
    figure = Figure(figsize=(0.8 * len(steps) + 2.2, height), layout="constrained")
    ratios = [0.85] * len(shown) + ([1.8] if curve_U is not None else [])
    grid = figure.add_gridspec(len(ratios), len(steps), height_ratios=ratios)
    for row, (name, images) in enumerate(shown.items()):
        for column, step in enumerate(steps):
            axis = figure.add_subplot(grid[row, column])
            _show(axis, images[step])
            if row == 0:
                axis.set_title(f"{seconds_U[step]:.2f} s", fontsize=7)
            if column == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    if curve_U is not None:
        axis = figure.add_subplot(grid[len(shown), :])
        axis.plot(
            list(seconds_U), curve_U[: len(seconds_U)].tolist(), marker="o", markersize=3, color="tab:red"
        )
        axis.set(xlim=(seconds_U[0], seconds_U[-1] + 1e-6), ylabel="surprise", xlabel="seconds")
    figure.savefig(path, dpi=110)


def _show(axis: Axes, image: Tensor) -> None:
    if not bool(image.isnan().any()):
        axis.imshow(image.numpy(), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def heat(frames_UCHW: Tensor, map_Uhw: Tensor) -> Tensor:
    """Grey frames under a heat map, ``(U, H, W, 3)`` in [0, 1]; NaN where the map has none."""
    from matplotlib import colormaps

    finite = map_Uhw[~map_Uhw.isnan()]
    low, high = (float(finite.quantile(share)) for share in (0.05, 0.995)) if len(finite) else (0.0, 1.0)
    scaled_Uhw = ((map_Uhw - low) / max(high - low, 1e-8)).clamp(0, 1)
    height, width = frames_UCHW.shape[-2:]
    large_UHW = F.interpolate(scaled_Uhw.unsqueeze(1), size=(height, width), mode="nearest").squeeze(1)
    colours_UHWC = torch.from_numpy(
        np.asarray(colormaps["inferno"](large_UHW.nan_to_num().numpy()))[..., :3]
    ).float()
    grey_UHWC = frames_UCHW.float().mean(dim=1, keepdim=True).permute(0, 2, 3, 1).expand(-1, -1, -1, 3) / 255
    mixed_UHWC = HEAT * colours_UHWC + (1 - HEAT) * grey_UHWC
    return mixed_UHWC.masked_fill(large_UHW.isnan().unsqueeze(-1), torch.nan)


def write_future_film(
    frames_UCHW: Tensor, rows: Rows, map_Uhw: Tensor | None, path: Path, frame_rate: float
) -> None:
    """The same side by side as an .mp4, one time step a frame; grey where there is nothing."""
    height, width = frames_UCHW.shape[-2:]
    panels = {"frame": frames_UCHW}
    shown = dict(rows) if map_Uhw is None else {**rows, "surprise": heat(frames_UCHW, map_Uhw)}
    for name, row_UhwC in shown.items():
        image_UCHW = row_UhwC.permute(0, 3, 1, 2).nan_to_num(0.5)
        large_UCHW = F.interpolate(image_UCHW, size=(height, width), mode="nearest")
        panels[name] = (255 * large_UCHW).round().to(torch.uint8)
    write_film(panels, path, frame_rate)
