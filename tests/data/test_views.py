"""Encoder and target encoder see the same place in different colours."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from vjepa.data.augment import colour_jitter
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import MaskCollator
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import read_manifest
from vjepa.data.sampling import SampleKey, SampleOrder, StepBatches
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import train_transform
from vjepa.data.views import SeparateTarget
from vjepa.masks.random import TubeMask


def brightness():
    return colour_jitter(brightness=0.5, contrast=0.0, saturation=0.0, hue=0.0, p=1.0)


def separate(flip=True):
    return SeparateTarget(train_transform(16, (0.3, 0.6), flip=flip), brightness())


def test_both_see_the_same_crop_in_their_own_brightness():
    clip = torch.randint(
        0, 128, (3, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    factors = []
    for seed in range(40):
        torch.manual_seed(seed)
        video, target = separate()(clip)
        assert video.shape == target.shape == (3, 3, 16, 16)
        # The crop alone, from the same draw: both views are it, times one factor each.
        torch.manual_seed(seed)
        crop = train_transform(16, (0.3, 0.6))(clip).float()
        pair = [(view.float().mean() / crop.mean()).item() for view in (video, target)]
        for view, factor in zip((video, target), pair, strict=True):
            assert (view.float() - factor * crop).abs().amax() <= 2
        factors.append(pair)
    correlation = torch.corrcoef(torch.tensor(factors).T)[0, 1]
    assert abs(correlation) < 0.4  # drawn independently: of 40 pairs, three standard deviations are .47


def test_nothing_to_augment_gives_the_same_twice():
    torch.manual_seed(0)
    video, target = SeparateTarget(train_transform(16), nn.Identity())(torch.zeros(2, 3, 20, 20).byte())
    assert torch.equal(video, target)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return read_manifest(write_videos(folder, RenderSettings(size=24, frames=6), num_videos=3, seed=0))


def dataset(rows, transform=None):
    sampling = ClipSampling(num_frames=4, stride=1, clips_per_video=2)
    return ClipDataset(rows, sampling, transform or separate(), seed=5)


def test_a_sample_has_a_target_for_each_clip_and_depends_on_its_key_alone(rows):
    first, again, other = (dataset(rows)[SampleKey(serial, 0, 0)] for serial in (3, 3, 4))
    assert first.video_RTCHW.shape == first.target_RTCHW.shape == (2, 4, 3, 16, 16)
    assert not torch.equal(first.video_RTCHW, first.target_RTCHW)
    for name in ("video_RTCHW", "target_RTCHW"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    assert dataset(rows, train_transform(16))[SampleKey(3, 0, 0)].target_RTCHW is None


def test_batches_are_the_same_for_any_number_of_workers(rows):
    sampler = StepBatches(SampleOrder([3], None, 5), 4, 2, 0, 1, 0, 2)
    collate = MaskCollator([TubeMask(ratio=0.5)], (2, 8, 8), seed=5)
    alone, worked = (
        list(DataLoader(dataset(rows), batch_sampler=sampler, num_workers=count, collate_fn=collate))
        for count in (0, 2)
    )
    assert len(alone) == 4
    for ours, theirs in zip(alone, worked, strict=True):
        assert ours.target_video_BTCHW.shape == ours.video_BTCHW.shape == (4, 4, 3, 16, 16)
        assert torch.equal(ours.target_video_BTCHW, theirs.target_video_BTCHW)
        assert torch.equal(ours.video_BTCHW, theirs.video_BTCHW)
        moved = ours.map(lambda tensor: tensor + 1)
        assert torch.equal(moved.target_video_BTCHW, ours.target_video_BTCHW + 1)
