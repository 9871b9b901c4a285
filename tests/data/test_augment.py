"""Augmentation changes all frames of a clip alike, and is a function of the sample's key."""

import pytest
import torch

from vjepa.data.augment import NoiseErasing, augment_transform
from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import read_manifest
from vjepa.data.sampling import SampleKey
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos

FULL = {"scale": (0.5, 1.0), "flip": True, "randaugment": (4, 7), "erase": 0.5}


def still_video():
    frame = torch.randint(0, 256, (3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return frame.expand(5, -1, -1, -1).contiguous()


@pytest.mark.parametrize("seed", range(12))
def test_a_still_video_stays_still(seed):
    torch.manual_seed(seed)
    clip = augment_transform((16, 16), **FULL)(still_video())
    assert clip.shape == (5, 3, 16, 16)
    assert clip.dtype == torch.uint8
    assert (clip == clip[:1]).all()


def test_the_same_key_gives_the_same_bits_and_others_do_not(tmp_path):
    videos = read_manifest(write_videos(tmp_path, RenderSettings(size=16, frames=4), num_videos=2, seed=0))
    transform = augment_transform((16, 16), **FULL)
    dataset = ClipDataset(videos, ClipSampling(num_frames=4, stride=1), transform, seed=3)
    samples = [dataset[SampleKey(serial, 0, 0)].video_RTCHW for serial in (5, 5, 6, 7)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])
    assert not torch.equal(samples[2], samples[3])


def test_erasing_fills_a_box_with_noise():
    torch.manual_seed(0)
    black = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    erased = NoiseErasing(p=1.0)(black)
    changed = erased.amax(dim=(0, 1)) > 0
    rows, columns = changed.any(dim=1).nonzero()[:, 0], changed.any(dim=0).nonzero()[:, 0]
    box = erased[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0.02 < box[0, 0].numel() / 1024 < 0.34
    assert box.float().std() > 60  # of uniform bytes it is 74
    assert box.float().mean() == pytest.approx(127.5, abs=15)


def test_nothing_happens_where_nothing_is_asked():
    clip = still_video()[..., :24]
    assert torch.equal(augment_transform((24, 24), (1, 1), (1, 1))(clip), clip)


@pytest.mark.parametrize("wrong", [{"randaugment": (2, 11)}, {"randaugment": (0, 5)}, {"erase": 1.5}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        augment_transform(16, **wrong)
