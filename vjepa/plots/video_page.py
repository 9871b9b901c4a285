"""One self-contained page about one video: it plays, with maps over it and the curve of surprise below."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.foreign_text import in_page
from vjepa.plots.rgb import as_rgb
from vjepa.plots.sprite import sprite_columns, sprite_url

_OPAQUE = 255


@dataclass(frozen=True)
class Layer:
    """A map that the reader of a page can lay over the frames.

    Attributes:
        name: Short name, for the choice of layers.
        caption: Sentence that explains the colours.
        image_thwC: Colours of each token, ``(t, h, w, 3)`` in [0, 1]; NaN is transparent.
    """

    name: str
    caption: str
    image_thwC: Tensor


@dataclass(frozen=True)
class VideoPage:
    """What a page shows.

    Attributes:
        title: Title of the page.
        video_TCHW: Frames, uint8.
        times_T: Time of each frame in seconds.
        depth: Number of frames of a time step.
        surprise_t: Surprise at each time step; NaN where it is not known.
        layers: Maps over the frames; the first is shown at the beginning.
        nearest_t: Index of the true time step that is most like the prediction for each time step; -1 where
            there is none.
        notes: Further sentences, such as warnings.
        marked: Time spans to mark in the curve, as the first and the last time step plus one.
    """

    title: str
    video_TCHW: Tensor
    times_T: Sequence[float]
    depth: int
    surprise_t: Tensor
    layers: Sequence[Layer]
    nearest_t: Sequence[int]
    notes: Sequence[str] = ()
    marked: Sequence[tuple[int, int]] = ()


def write_video_page(path: Path, page: VideoPage) -> None:
    """Write a page as one HTML file, which needs no other file and no network."""
    template = Template(files("vjepa.plots").joinpath("video_page.html").read_text(encoding="utf-8"))
    curve = [None if math.isnan(value) else value for value in page.surprise_t.tolist()]
    known = [value for value in curve if value is not None]
    starts = page.times_T[:: page.depth]
    # A time step is shown by the frame in its middle.
    nearest = [step * page.depth + page.depth // 2 if step >= 0 else None for step in page.nearest_t]
    data = {
        "times": [round(time, 4) for time in page.times_T],
        "duration": _duration(page.times_T),
        "depth": page.depth,
        "size": list(page.video_TCHW.shape[:1:-1]),
        "columns": sprite_columns(len(page.video_TCHW)),
        "video": sprite_url(as_rgb(page.video_TCHW).permute(0, 2, 3, 1).numpy(), "JPEG"),
        "layers": [
            {
                "name": layer.name,
                "caption": layer.caption,
                "size": list(layer.image_thwC.shape[2:0:-1]),
                "columns": sprite_columns(len(layer.image_thwC)),
                "source": sprite_url(_with_alpha(layer.image_thwC), "PNG"),
            }
            for layer in page.layers
        ],
        "nearest": nearest,
        "surprise": curve,
        "rank": [None if value is None else _share_below(value, known) for value in curve],
        "marked": [list(span) for span in page.marked],
    }
    text = template.substitute(
        title=in_page(page.title),
        summary=in_page(_summary(known, curve, starts)),
        curve_text=in_page(_summary(known, curve, starts)),
        curve_range=f"lowest {min(known):.3g}, highest {max(known):.3g}" if known else "not known",
        begin=f"{page.times_T[0]:.2f}",
        end=f"{page.times_T[0] + _duration(page.times_T):.2f}",
        notes="".join(f"<p>{in_page(note)}</p>" for note in page.notes),
        table=_table(curve, starts, [None if frame is None else page.times_T[frame] for frame in nearest]),
        data=json.dumps(data).replace("<", "\\u003c"),
    )
    path.write_text(text, encoding="utf-8")


def _summary(known: Sequence[float], curve: Sequence[float | None], starts: Sequence[float]) -> str:
    if not known:
        return "The video is shorter than a window of the model, so its surprise is not known."
    highest, middle = max(known), statistics.median(known)
    ratio = f", {highest / middle:.2f} times its median" if middle > 0 else ""
    return f"Surprise is highest at {starts[curve.index(highest)]:.2f} s: {highest:.3g}{ratio}."


def _duration(times_T: Sequence[float]) -> float:
    """Return the seconds from the beginning of the first frame to the end of the last one."""
    frames = len(times_T)
    return (times_T[-1] - times_T[0]) * frames / (frames - 1) if frames > 1 else 1.0


def _share_below(value: float, known: Sequence[float]) -> float:
    return sum(other < value for other in known) / len(known)


def _with_alpha(image_thwC: Tensor) -> NDArray[np.uint8]:
    known_thw = ~image_thwC.isnan().any(dim=-1)
    colours_thwC = (255 * image_thwC.nan_to_num()).round().clamp(0, 255)
    return torch.cat([colours_thwC, _OPAQUE * known_thw.unsqueeze(-1)], dim=-1).to(torch.uint8).numpy()


def _table(curve: Sequence[float | None], starts: Sequence[float], nearest_t: Sequence[float | None]) -> str:
    rows = []
    for start, value, match in zip(starts, curve, nearest_t, strict=False):
        shown = "not known" if value is None else f"{value:.4g}"
        frame = "none" if match is None else f"{match:.2f} s"
        rows.append(f"<tr><td>{start:.2f}</td><td>{shown}</td><td>{frame}</td></tr>")
    head = "<tr><th>seconds</th><th>surprise</th><th>true frame nearest to the prediction</th></tr>"
    return f"<table>\n<thead>{head}</thead>\n<tbody>{''.join(rows)}</tbody>\n</table>"
