"""Augmentation changes all frames of a clip alike, and is a function of the sample's key."""

import pytest
import torch

from vjepa.data.augment import (
    NoiseErasing,
    augment_transform,
    colour_jitter,
    gaussian_blur,
    greyscale,
)
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


NOTHING = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def frames_of(*values):
    """Frames of one colour each, ``(T, 3, 8, 8)``."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 3, 1, 1).expand(-1, -1, 8, 8).contiguous()


def test_all_frames_of_a_clip_get_the_same_change():
    dark, light = (60, 30, 90), (120, 60, 180)
    brighter = colour_jitter(**{**NOTHING, "brightness": 0.4}, p=1.0)
    factors = set()
    for seed in range(20):
        torch.manual_seed(seed)
        changed = brighter(frames_of(dark, light)).float()[..., 0, 0]
        factor = changed[1] / torch.tensor(light)
        assert factor.amax() - factor.amin() < 0.02
        assert changed[0] / torch.tensor(dark) == pytest.approx(factor.numpy(), abs=0.02)
        factors.add(round(factor.mean().item(), 3))
    assert len(factors) > 10
    assert 0.6 - 0.02 <= min(factors) < 0.8 < 1.2 < max(factors) <= 1.4


@pytest.mark.parametrize("change", ["saturation", "hue"])
def test_grey_has_neither_saturation_nor_hue(change):
    grey, red = frames_of((100, 100, 100)), frames_of((200, 40, 40))
    torch.manual_seed(1)
    transform = colour_jitter(**{**NOTHING, change: 0.5}, p=1.0)
    assert (transform(grey).int() - 100).abs().amax() <= 1
    assert (transform(red).int() - red.int()).abs().amax() > 5


def test_contrast_is_around_the_mean_of_each_frame():
    torch.manual_seed(0)
    halves = frames_of((50, 50, 50), (150, 150, 150))
    halves[..., 4:] += 100  # frames of 50 and 150, and of 150 and 250
    changed = colour_jitter(**{**NOTHING, "contrast": 0.3}, p=1.0)(halves).float()
    assert changed.mean(dim=(1, 2, 3)) == pytest.approx([100, 200], abs=1)
    spread = changed[..., 4:] - changed[..., :4]
    assert spread.amax() - spread.amin() <= 1
    assert abs(spread.mean() - 100) > 3


def test_greyscale_is_the_luma_of_bt_601():
    changed = greyscale(1.0)(frames_of((255, 0, 0), (0, 255, 0), (10, 200, 30)))
    assert (changed == changed[:, :1]).all()
    assert changed[:, 0, 0, 0].tolist() == pytest.approx([76.2, 149.7, 123.8], abs=1)


def test_blur_spreads_a_point_to_a_gaussian():
    point = torch.zeros(2, 3, 15, 15, dtype=torch.uint8)
    point[:, :, 7, 7] = 255
    blurred = gaussian_blur(kernel_size=9, sigma=(1.0, 1.0), p=1.0)(point)
    assert blurred.dtype == torch.uint8
    for row, column in ((7, 7), (7, 8), (8, 9), (5, 5), (7, 12)):
        distance = (row - 7) ** 2 + (column - 7) ** 2
        expected = 255 * 2.718281828 ** (-distance / 2) / (2 * 3.14159265)  # the density at that point
        inside = abs(row - 7) <= 4 and abs(column - 7) <= 4
        found = blurred[:, :, row, column].unique().tolist()
        assert found == [pytest.approx(expected if inside else 0, abs=1)]


@pytest.mark.parametrize(
    "transform",
    [
        colour_jitter(**{**NOTHING, "brightness": 0.9}, p=0.25),
        greyscale(0.25),
        gaussian_blur(kernel_size=3, sigma=(2.0, 2.0), p=0.25),
    ],
)
def test_a_share_of_the_clips_is_changed(transform):
    torch.manual_seed(0)
    clip = still_video()
    changed = sum(not torch.equal(transform(clip), clip) for _ in range(400))
    assert changed / 400 == pytest.approx(0.25, abs=0.065)  # three standard deviations
