"""Clips and model outputs: frame by frame as a plot, and side by side as a film.

A panel is an RGB video, uint8 ``(T, C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from vjepa.foreign_text import in_plot

FILM_HEIGHT = 192  # Smallest height of a panel in pixels; smaller videos are enlarged by a whole number.
_GAP = 8  # Width in pixels of the gap between two panels.


def draw_strip(clips: Sequence[Mapping[str, Tensor]], path: Path, caption: str) -> None:
    """Draw a plot with a block of rows for each clip, a row for each panel and a column for each frame.

    Args:
        clips: Panels of each clip by name, all of one length.
        path: PNG file to write.
        caption: Text below the plot that explains how to read it.
    """
    # Imported here, because matplotlib takes longer to import than a small model to run.
    from matplotlib.figure import Figure

    rows = [
        (f"clip {number}: {name}", panel)
        for number, clip in enumerate(clips, 1)
        for name, panel in clip.items()
    ]
    frames = len(rows[0][1])
    figure = Figure(figsize=(1.1 * frames + 1.8, 1.1 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), frames, squeeze=False)
    for row, (name, panel_TCHW) in zip(axes, rows, strict=True):
        for axis, image_CHW in zip(row, panel_TCHW, strict=True):
            axis.imshow(image_CHW.permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(in_plot(name), rotation=0, ha="right", va="center", fontsize=8)
    for number, axis in enumerate(axes[0]):
        axis.set_title(f"frame {number}", fontsize=8)
    figure.supxlabel(in_plot(caption), fontsize=8, wrap=True)
    figure.savefig(path, dpi=110)


def write_film(panels: Mapping[str, Tensor], path: Path, frame_rate: float) -> None:
    """Write the panels side by side as an .mp4.

    Args:
        panels: Panels by name, all of one size and length.
        path: Film to write.
        frame_rate: Frame rate of the film, in frames per second.
    """
    film_THWC = side_by_side(list(panels.values()))
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(frame_rate).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width = film_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in film_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def side_by_side(panels: Sequence[Tensor]) -> np.ndarray:
    """Return enlarged panels side by side with white gaps between them, uint8 ``(T, H, W, 3)``.

    Height and width are padded to even numbers, which H.264 requires.
    """
    times = max(-(-FILM_HEIGHT // panels[0].shape[-2]), 1)
    enlarged = [panel.repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2) for panel in panels]
    gap = torch.full((*enlarged[0].shape[:-1], _GAP), 255, dtype=torch.uint8)
    joined = torch.cat([piece for panel in enlarged for piece in (gap, panel)][1:], dim=-1)
    height, width = joined.shape[-2:]
    even = torch.nn.functional.pad(joined, (0, width % 2, 0, height % 2), value=255)
    return even.permute(0, 2, 3, 1).contiguous().numpy()
