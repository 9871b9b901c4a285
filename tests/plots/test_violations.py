"""The plot of violations marks the step of the first different frame, whatever frames a model reads."""

import matplotlib.axes
import numpy as np
import pytest

from tests.inference.conftest import make_video_model
from vjepa.data.violation_sets import Matched
from vjepa.plots import violations as picture


@pytest.fixture
def pair(tmp_path):
    """Videos of 25 frames a second: the impossible one becomes another at frame 40 of 80."""
    frames = np.zeros((80, 16, 16, 3), np.uint8)
    np.save(tmp_path / "possible.npy", frames)
    frames[40:] = 255
    np.save(tmp_path / "impossible.npy", frames)
    return [str(tmp_path / f"{name}.npy") for name in ("possible", "impossible")]


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: places of lines, and brightness of the frames."""
    lines, images = [], []
    monkeypatch.setattr(picture, "COLUMNS", 2)
    monkeypatch.setattr(matplotlib.axes.Axes, "axvline", lambda _, x, **__: lines.append(x))
    monkeypatch.setattr(
        matplotlib.axes.Axes, "imshow", lambda _, image, **__: images.append(float(image.mean()))
    )
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    return lines, images


@pytest.mark.parametrize(
    ("clip", "step"), [({}, 20), ({"stride": 2}, 10), ({"stride": None, "fps": 12.5}, 10), ({"stride": 3}, 7)]
)
def test_the_line_is_where_the_videos_begin_to_differ(clip, step, pair, drawn, tmp_path):
    matched = Matched("kind", (pair[0],), (pair[1],), 40, 40)
    picture.draw_violations(make_video_model(clip=clip), [matched], tmp_path / "plot.png")
    lines, images = drawn
    assert lines == [step - 0.5]  # time steps have two frames, and the curve's points are their middles
    assert images[2:4] == [0, 1], "the step before the line and the one behind it"


@pytest.mark.parametrize("frames", [36, 60])
def test_a_possible_video_may_be_shorter(frames, pair, drawn, tmp_path):
    np.save(pair[0], np.load(pair[0])[:frames])
    matched = Matched("kind", (pair[0],), (pair[1],), 40, 40)
    picture.draw_violations(make_video_model(), [matched], tmp_path / "plot.png")
    assert drawn[0] == ([] if frames < 40 else [19.5])
