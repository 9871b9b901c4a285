"""Future steps among others, images among videos, single images as data."""

import numpy as np
import pytest
import torch
from PIL import Image

from vjepa.data.cache import VideoCache
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import MaskCollator
from vjepa.data.dataset import ClipDataset, MixedDataset, Sample
from vjepa.data.manifest import read_manifest
from vjepa.data.readers.open import open_video
from vjepa.data.sampling import SampleKey, SampleOrder, StepBatches
from vjepa.data.transforms import eval_transform
from vjepa.masks.future import FutureMask
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock

MASKS = (MultiBlock(num_blocks=1), MultiBlock(num_blocks=2), FutureMask())


def samples_of(step, frames=4, count=2):
    video = torch.zeros(1, frames, 3, 32, 32, dtype=torch.uint8)
    return [Sample(video, -1, "x", SampleKey(7 * step + i, 0, step), ()) for i in range(count)]


def test_future_steps_take_their_share_and_draw_nothing_else():
    collate = MaskCollator(MASKS, (2, 8, 8), seed=0, future_share=0.3)
    future = []
    for step in range(400):
        batch = collate(samples_of(step))
        numbers = [mask.mask_token for mask in batch.masks]
        assert numbers in ([0, 1], [2])
        assert batch.step == step
        future.append(numbers == [2])
    assert np.mean(future) == pytest.approx(0.3, abs=0.06)
    part = collate(samples_of(future.index(True))[1:])  # another micro-batch of that step
    assert [mask.mask_token for mask in part.masks] == [2]


@pytest.mark.parametrize("share", [None, 0.99])
@pytest.mark.parametrize("frames", [1, 2])  # an image, and a clip of one time step
def test_without_a_share_all_masks_are_drawn_and_images_have_no_future(share, frames):
    assert len(MaskCollator(MASKS, (2, 8, 8), seed=0)(samples_of(0)).masks) == 3
    mixed = MaskCollator(MASKS, (2, 8, 8), seed=0, future_share=share)
    for step in range(20):
        assert [mask.mask_token for mask in mixed(samples_of(step, frames)).masks] == [0, 1]


@pytest.mark.parametrize("masks", [MASKS[:2], MASKS[2:]])
def test_a_share_with_nothing_to_choose_between_is_refused(masks):
    with pytest.raises(ValueError, match="to choose between"):
        MaskCollator(masks, (2, 8, 8), seed=0, future_share=0.5)


def test_target_blocks_travel_as_groups():
    (mask,) = MaskCollator([ImageBlocks(min_keep=2)], (1, 4, 4), seed=0)(samples_of(0, frames=1)).masks
    assert mask.groups == 4
    assert mask.target_BM.shape[1] % 4 == 0


def steps_of(share, world_size=1, rank=0, first=0, last=40, videos=10, images=7, size=4):
    orders = [SampleOrder([count], None, seed) for count, seed in ((videos, 0), (images, 1))]
    batches = StepBatches(
        orders[0],
        size,
        size // world_size,
        rank,
        world_size,
        first,
        last,
        images=orders[1],
        image_share=share,
    )
    return list(batches)


def test_image_steps_are_evenly_spread_and_each_order_is_walked_without_gaps():
    steps = steps_of(0.25)
    kinds = [{key.index >= 10 for key in step} for step in steps]
    assert all(len(kind) == 1 for kind in kinds)
    on_images = [kind == {True} for kind in kinds]
    assert sum(on_images) == 10
    assert all(sum(on_images[first : first + 4]) == 1 for first in range(0, 40, 4))
    # Steps that are logged are at regular distances: at a fixed place, all of them or none would be on
    # images.
    assert len({on_images[first : first + 4].index(True) for first in range(0, 40, 4)}) > 1
    rows = [key.index - 10 for step, image in zip(steps, on_images, strict=True) if image for key in step]
    assert rows == SampleOrder([7], None, 1).indices(np.arange(40)).tolist()
    rows = [key.index for step, image in zip(steps, on_images, strict=True) if not image for key in step]
    assert rows == SampleOrder([10], None, 0).indices(np.arange(120)).tolist()
    serials = [key.serial for step in steps for key in step]
    assert serials == list(range(160))


@pytest.mark.parametrize("share", [0.04, 0.3, 1 / 3, 0.5, 0.7])
def test_a_share_of_any_size_is_kept(share):
    on_images = [step[0].index >= 10 for step in steps_of(share, last=100)]
    for steps in range(101):
        assert abs(sum(on_images[:steps]) - share * steps) <= 1


def test_any_step_can_be_the_first_and_processes_share_it():
    assert steps_of(0.25, first=17) == steps_of(0.25)[17:]
    halves = [steps_of(0.25, world_size=2, rank=rank) for rank in (0, 1)]
    joined = [left + right for left, right in zip(*halves, strict=True)]
    assert joined == steps_of(0.25)


def test_without_images_nothing_changes():
    order = SampleOrder([10], None, 0)
    assert list(StepBatches(order, 4, 4, 0, 1, 0, 9)) == list(
        StepBatches(order, 4, 4, 0, 1, 0, 9, image_share=0.5)
    )


@pytest.fixture
def photos(tmp_path):
    """Two classes of photos, one file in a subfolder hidden by its name."""
    for label, grey in (("bright", 200), ("dark", 20)):
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.fromarray(np.full((24, 30, 3), grey + number, dtype=np.uint8)).save(
                tmp_path / label / f"{number}.png"
            )
    return tmp_path


def test_a_folder_per_class_of_images_is_labelled_images(photos):
    images = read_manifest(photos, images=True)
    assert [(image.label, image.path[-5:]) for image in images[:2]] == [
        ("bright", "0.png"),
        ("bright", "1.png"),
    ]
    assert len(images) == 6
    as_videos = read_manifest(photos)
    assert len(as_videos) == 2
    assert all(video.label is None for video in as_videos)
    assert len(read_manifest(photos / "dark", images=True)) == 3


def test_lists_name_images_in_either_mode(photos):
    listed = photos / "list.txt"
    listed.write_text("dark/0.png 1\nbright/2.png\n")
    for images in (True, False):
        rows = read_manifest(listed, images=images)
        assert [row.label for row in rows] == ["1", None]
        with open_video(rows[0].path) as reader:
            assert reader.get_frames([0, 0]).shape == (2, 3, 24, 30)
            assert reader.get_frames([0]).unique().tolist() == [20]


def test_images_and_videos_are_one_dataset(photos):
    def dataset(frames, images):
        videos = read_manifest(photos, images=images)
        sampling = ClipSampling(num_frames=frames, stride=1)
        return ClipDataset(videos, sampling, eval_transform(16), 0, classes=["bright", "dark"])

    mixed = MixedDataset(dataset(2, images=False), dataset(1, images=True))
    assert len(mixed) == 8
    assert mixed[SampleKey(0, 1, 0)].video_RTCHW.shape == (1, 2, 3, 16, 16)
    image = mixed[SampleKey(0, 5, 0)]
    assert image.video_RTCHW.shape == (1, 1, 3, 16, 16)
    assert image.label == 1
    with pytest.raises(ValueError, match="2 frames: give 1"):
        MixedDataset(dataset(2, images=False), dataset(2, images=False))


def test_images_are_cached_like_videos(photos, tmp_path):
    rows = read_manifest(photos / "dark", images=True)
    sampling = ClipSampling(num_frames=1)
    cache = VideoCache(tmp_path / "cache", 12)
    dataset = ClipDataset(rows, sampling, eval_transform(8), 0, cache=cache)
    first, again = (dataset[SampleKey(0, 1, 0)].video_RTCHW for _ in range(2))
    assert torch.equal(first, again)
    assert len(list((tmp_path / "cache").iterdir())) == 1
