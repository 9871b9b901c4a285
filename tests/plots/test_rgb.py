"""Frames of any number of channels as colours."""

import matplotlib.axes
import numpy as np
import pytest
import torch

from vjepa.plots.future import draw_future
from vjepa.plots.rgb import as_rgb
from vjepa.plots.strip import draw_strip, write_film


@pytest.mark.parametrize(("channels", "shown"), [(1, "000"), (2, "01-"), (3, "012"), (4, "012"), (12, "012")])
def test_channels_are_shown_as_three(channels, shown):
    frames = torch.rand(2, 5, channels, 4, 6)
    rgb = as_rgb(frames)
    assert rgb.shape == (2, 5, 3, 4, 6)
    for colour, channel in enumerate(shown):
        expected = torch.zeros(2, 5, 4, 6) if channel == "-" else frames[:, :, int(channel)]
        assert torch.equal(rgb[:, :, colour], expected)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_plot_shows_colours(channels, tmp_path, monkeypatch):
    """matplotlib draws an image of one channel in its own colours, and refuses one of two."""
    drawn = []
    monkeypatch.setattr(matplotlib.axes.Axes, "imshow", lambda _, image, **__: drawn.append(np.shape(image)))
    frames = torch.zeros(2, channels, 8, 8, dtype=torch.uint8)
    draw_strip([{"input": frames}], tmp_path / "strip.png", "caption")
    draw_future(frames, {}, None, torch.zeros(2, 4, 4), [0.0, 1.0], tmp_path / "future.png")
    assert drawn == 6 * [(8, 8, 3)]
    write_film({"input": frames}, tmp_path / "film.mp4", 4.0)
    assert (tmp_path / "film.mp4").stat().st_size > 0
