"""Encoder and target encoder see the same place in different colours; local views are parts of the whole."""

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
from vjepa.data.views import MultiView, SeparateTarget
from vjepa.masks.random import RandomMask, TubeMask


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
        video, target, _ = separate()(clip)
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
    video, target, _ = SeparateTarget(train_transform(16), nn.Identity())(torch.zeros(2, 3, 20, 20).byte())
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


def whole(video):
    return video


def numbered(frames=8):
    """A clip whose frames show their number."""
    return torch.arange(frames, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 24, 24)


def test_local_views_are_consecutive_frames_from_anywhere_in_the_clip():
    transform = MultiView(whole, train_transform(8), num_global=2, num_local=3, local_frames=3)
    starts = set()
    for seed in range(20):
        torch.manual_seed(seed)
        video, target, (all_of_it, parts) = transform(numbered())
        assert target is None
        assert torch.equal(video, numbered())
        assert torch.equal(all_of_it, numbered().expand(2, -1, -1, -1, -1))
        assert parts.shape == (3, 3, 3, 8, 8)
        for part in parts[:, :, 0, 0, 0].tolist():
            assert part == [part[0], part[0] + 1, part[0] + 2]
            starts.add(part[0])
    assert starts == set(range(6))


def test_views_without_local_ones_and_clips_that_are_no_longer_than_a_view():
    assert len(MultiView(whole, whole, num_global=2, num_local=0)(numbered()).groups) == 1
    for frames in (None, 8, 9):
        parts = MultiView(whole, whole, num_global=1, num_local=1, local_frames=frames)(numbered()).groups[1]
        assert torch.equal(parts[0], numbered())


def test_every_view_is_drawn_by_itself():
    torch.manual_seed(0)
    clip = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    crop = nn.Sequential(train_transform(16), brightness())
    groups = MultiView(crop, crop, num_global=2, num_local=2)(clip).groups
    views = [view for group in groups for view in group]
    assert all(not torch.equal(a, b) for i, a in enumerate(views) for b in views[:i])


DROP = (RandomMask(ratio=0.75),)


def view_batches(rows, num_workers=0, masks=DROP, micro=2):
    crops = train_transform(16, (0.8, 1.0)), train_transform(8, (0.2, 0.5))
    transform = MultiView(*crops, num_global=1, num_local=3, local_frames=2)
    sampler = StepBatches(SampleOrder([3], None, 5), 4, micro, 0, 1, 0, 2)
    collate = MaskCollator(masks, (1, 4, 4), seed=5)
    return list(
        DataLoader(
            dataset(rows, transform), batch_sampler=sampler, num_workers=num_workers, collate_fn=collate
        )
    )


def test_batches_of_views_are_the_same_for_any_number_of_workers_and_parts(rows):
    alone, worked, whole_steps = (
        view_batches(rows), view_batches(rows, num_workers=2), view_batches(rows, micro=4)
    )  # fmt: skip
    for ours, theirs in zip(alone, worked, strict=True):
        assert ours.masks == ()
        assert torch.equal(ours.video_BTCHW, ours.views[0].video_BvTCHW[:, 0])
        shapes = [tuple(group.video_BvTCHW.shape) for group in ours.views]
        assert shapes == [(4, 1, 4, 3, 16, 16), (4, 3, 2, 3, 8, 8)]
        for group, same in zip(ours.views, theirs.views, strict=True):
            assert torch.equal(group.video_BvTCHW, same.video_BvTCHW)
            assert torch.equal(group.keep_BvK, same.keep_BvK)
    for number, step in enumerate(whole_steps):
        for group in (0, 1):
            parts = [alone[2 * number + part].views[group] for part in (0, 1)]
            for name in ("video_BvTCHW", "keep_BvK"):
                joined = torch.cat([getattr(part, name) for part in parts])
                assert torch.equal(getattr(step.views[group], name), joined)


def test_tokens_are_dropped_of_each_view_by_itself(rows):
    (batch, *_) = view_batches(rows)
    kept = [group.keep_BvK for group in batch.views]
    assert [tuple(index.shape) for index in kept] == [(4, 1, 16), (4, 3, 2)]  # a quarter of 64 and of 8
    assert [int(index.max()) < tokens for index, tokens in zip(kept, (64, 8), strict=True)] == [True, True]
    assert len({tuple(view.tolist()) for clip in kept[1] for view in clip}) > 6
    assert all(group.keep_BvK is None for group in view_batches(rows, masks=())[0].views)
    moved = batch.map(lambda tensor: tensor + 1)
    assert torch.equal(moved.views[1].keep_BvK, kept[1] + 1)
    assert torch.equal(moved.views[1].video_BvTCHW, batch.views[1].video_BvTCHW + 1)
