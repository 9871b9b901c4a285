"""Film of a video with its predicted classes written into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vjepa.foreign_text import one_line
from vjepa.plots.rgb import as_rgb
from vjepa.plots.strip import write_film

_LEAST_HEIGHT = 240  # Smallest height of a frame in pixels; smaller frames are enlarged to fit the text.
_LINE = 18  # Height of a line of text in pixels.


def write_labelled_film(
    video_TCHW: Tensor, lines: Sequence[Sequence[str]], path: Path, frame_rate: float
) -> None:
    """Write an .mp4 of frames with lines of text in their upper left corners.

    Args:
        video_TCHW: Frames, uint8.
        lines: Lines of text of each frame.
        path: Film to write.
        frame_rate: Frame rate of the film, in frames per second.
    """
    times = max(-(-_LEAST_HEIGHT // video_TCHW.shape[-2]), 1)
    large_TCHW = as_rgb(video_TCHW).repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2)
    painted = [_paint(frame_CHW, text) for frame_CHW, text in zip(large_TCHW, lines, strict=True)]
    write_film({"": torch.stack(painted)}, path, frame_rate)


def _paint(frame_CHW: Tensor, lines: Sequence[str]) -> Tensor:
    image = Image.fromarray(frame_CHW.permute(1, 2, 0).numpy())
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_LINE - 4)
    for number, line in enumerate(map(one_line, lines)):
        place = (4, 2 + number * _LINE)
        draw.rectangle(draw.textbbox(place, line, font=font), fill=(0, 0, 0))
        draw.text(place, line, fill=(255, 255, 255), font=font)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
