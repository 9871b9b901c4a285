"""Crops along the longer side, and what a dataset makes of several views of a clip."""

import pytest
import torch

from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import read_manifest
from vjepa.data.sampling import SampleKey
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import SpatialViews


def ramp(height, width, along):
    """Bright at the end of one side."""
    values = torch.linspace(0, 255, height if along == "height" else width)
    frame = values.view(-1, 1) if along == "height" else values
    return frame.expand(height, width).to(torch.uint8).expand(2, 3, -1, -1)


@pytest.mark.parametrize(("height", "width", "along"), [(16, 48, "width"), (48, 16, "height")])
def test_three_crops_go_from_end_to_end_of_the_longer_side(height, width, along):
    views = SpatialViews((16, 16), 3)(ramp(height, width, along))
    assert views.shape == (3, 2, 3, 16, 16)
    first, middle, last = views.float().mean(dim=(1, 2, 3, 4))
    assert first < 50 < middle < 180 < last
    alone = SpatialViews((16, 16), 1)(ramp(height, width, along))
    assert torch.equal(alone[0], views[1])


def test_a_frame_is_covered_not_squeezed():
    views = SpatialViews((24, 24), 1)(ramp(12, 24, "width"))
    assert views.shape[-2:] == (24, 24)
    assert views.float().mean() == pytest.approx(127, abs=3)
    assert views[0, 0, 0, 0, -1] - views[0, 0, 0, 0, 0] < 150  # half of the width, twice as large


def test_views_of_clips_stand_side_by_side(tmp_path):
    videos = read_manifest(write_videos(tmp_path, RenderSettings(size=32, frames=8), num_videos=1, seed=0))
    sampling = ClipSampling(num_frames=2, stride=1, clips_per_video=2)

    def sample(crops):
        transform = SpatialViews((8, 24), crops)
        return ClipDataset(videos, sampling, transform, 0, spread=True)[SampleKey(0, 0, 0)].video_RTCHW

    three, one = sample(3), sample(1)
    assert three.shape == (6, 2, 3, 8, 24)
    assert torch.equal(three[[1, 4]], one)


def test_other_numbers_of_crops_are_refused():
    with pytest.raises(ValueError, match="crops is 2"):
        SpatialViews((8, 8), 2)
