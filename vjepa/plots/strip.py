"""Clips and model outputs: frame by frame as a plot, and side by side as a film.

A panel is a video, uint8 ``(T, C, H, W)`` of any number of channels (`vjepa.plots.rgb`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vjepa.foreign_text import in_plot, one_line
from vjepa.plots.rgb import as_rgb

FILM_HEIGHT = 192  # Smallest height of a panel in pixels; smaller videos are enlarged by a whole number.
_GAP = 8  # Width in pixels of the gap between two panels.
_LINE = 16  # Height in pixels of the line of text above a panel.


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
        for axis, image_CHW in zip(row, as_rgb(panel_TCHW), strict=True):
            axis.imshow(image_CHW.permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(in_plot(name), rotation=0, ha="right", va="center", fontsize=8)
    for number, axis in enumerate(axes[0]):
        axis.set_title(f"frame {number}", fontsize=8)
    figure.supxlabel(in_plot(caption), fontsize=8, wrap=True)
    figure.savefig(path, dpi=110)


def write_film(panels: Mapping[str, Tensor], path: Path, frame_rate: float) -> None:
    """Write the panels side by side as an .mp4, each below its name.

    Args:
        panels: Panels by name, all of one size and length.
        path: Film to write.
        frame_rate: Frame rate of the film, in frames per second.
    """
    film_THWC = side_by_side([_captioned(name, as_rgb(panel)) for name, panel in panels.items()])
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(frame_rate).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width = film_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in film_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _captioned(name: str, panel_TCHW: Tensor) -> Tensor:
    """Return an enlarged panel below a line with its name; a panel without a name is left as it is."""
    enlarged = _enlarged(panel_TCHW)
    if not name:
        return enlarged
    text = Image.new("RGB", (enlarged.shape[-1], _LINE), "white")
    ImageDraw.Draw(text).text((2, 0), one_line(name), fill="black", font=ImageFont.load_default(size=12))
    line_CHW = torch.from_numpy(np.array(text)).permute(2, 0, 1)
    return torch.cat([line_CHW.expand(len(enlarged), -1, -1, -1), enlarged], dim=-2)


def _enlarged(panel_TCHW: Tensor) -> Tensor:
    """Return a panel of at least `FILM_HEIGHT` rows, whose pixels are repeated a whole number of times."""
    times = max(-(-FILM_HEIGHT // panel_TCHW.shape[-2]), 1)
    return panel_TCHW.repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2)


def side_by_side(panels: Sequence[Tensor]) -> np.ndarray:
    """Return panels side by side with white gaps between them, uint8 ``(T, H, W, 3)``.

    Height and width are padded to even numbers, which H.264 requires.
    """
    gap = torch.full((*panels[0].shape[:-1], _GAP), 255, dtype=torch.uint8)
    joined = torch.cat([piece for panel in panels for piece in (gap, panel)][1:], dim=-1)
    height, width = joined.shape[-2:]
    even = torch.nn.functional.pad(joined, (0, width % 2, 0, height % 2), value=255)
    return even.permute(0, 2, 3, 1).contiguous().numpy()
