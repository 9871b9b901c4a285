"""The same key gives the same bits anywhere; unreadable videos are replaced openly."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vjepa.data.cache import VideoCache
from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset, NothingReadableError
from vjepa.data.manifest import Video
from vjepa.data.sampling import SampleKey, SampleOrder, StepBatches
from vjepa.data.transforms import eval_transform, train_transform


@pytest.fixture
def videos(write_video):
    """Three readable videos of different sizes and one that is none."""
    paths = [
        write_video("a.mp4", frames=30),
        write_video("b.mp4", frames=9, size=(80, 48)),
        write_video("c.avi", frames=70, codec="mpeg4"),
        str(write_video.folder / "broken.mp4"),
    ]
    (write_video.folder / "broken.mp4").write_bytes(b"nothing that plays")
    return [Video(path, label) for path, label in zip(paths, "0110", strict=True)]


def dataset(videos, **changes):
    settings = {"sampling": ClipSampling(4, stride=2, clips_per_video=2), "transform": train_transform(16)}
    return ClipDataset(videos, **{**settings, "seed": 5, **changes})


def test_a_sample(videos):
    sample = dataset(videos)[SampleKey(serial=3, index=1, step=0)]
    assert sample.video_RTCHW.shape == (2, 4, 3, 16, 16)
    assert sample.video_RTCHW.dtype == torch.uint8
    assert sample.video_RTCHW.permute(0, 1, 3, 4, 2).is_contiguous()
    assert (sample.label, sample.path, sample.failures) == (1, videos[1].path, ())
    assert sample.key == SampleKey(3, 1, 0)


def test_a_row_is_asked_for_by_its_number(videos):
    rows = dataset(videos[:3])
    for row in (0, 2, -1, np.int64(1)):
        expected = rows[SampleKey(serial=row % 3, index=row % 3, step=0)]
        assert torch.equal(rows[row].video_RTCHW, expected.video_RTCHW)
    assert [sample.path for sample in rows] == [video.path for video in videos[:3]]
    with pytest.raises(IndexError):
        rows[3]
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        rows[0.5]


def test_the_right_frames(videos, read_numbers):
    whole = train_transform((64, 80), scale=(1, 1), ratio=(1.25, 1.25), flip=False)
    sample = dataset(videos, transform=whole)[SampleKey(0, 2, 0)]
    for clip in sample.video_RTCHW:
        assert np.diff(read_numbers(clip)).tolist() == [2, 2, 2]
    spread = dataset(videos, transform=whole, spread=True, sampling=ClipSampling(4, clips_per_video=3))
    firsts = [read_numbers(clip)[0] for clip in spread[SampleKey(0, 2, 0)].video_RTCHW]
    assert firsts == [0, 33, 66]
    part = Video(videos[2].path, start=1.0, end=1.2)
    sample = dataset([part], transform=whole)[SampleKey(0, 0, 0)]
    assert read_numbers(sample.video_RTCHW[0]) == [25, 27, 29, 29]


def test_a_sample_depends_on_seed_and_serial_alone(videos):
    keys = [SampleKey(7, 0, 0), SampleKey(8, 0, 0), SampleKey(7, 0, 9)]
    first, other_serial, other_step = (dataset(videos)[key].video_RTCHW for key in keys)
    assert torch.equal(first, other_step)
    assert not torch.equal(first, other_serial)
    assert not torch.equal(first, dataset(videos, seed=6)[keys[0]].video_RTCHW)


def test_global_generators_are_left_alone(videos):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    dataset(videos)[SampleKey(0, 3, 0)]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_any_number_of_workers_gives_the_same_bits(videos):
    batches = StepBatches(SampleOrder([4], None, 5), 4, 2, 0, 1, 2, 5)
    runs = []
    for num_workers in (0, 2):
        torch.manual_seed(num_workers)  # must not matter
        loader = DataLoader(dataset(videos), batch_sampler=batches, num_workers=num_workers, collate_fn=list)
        runs.append([sample for batch in loader for sample in batch])
    assert len(runs[0]) == 12
    for alone, worked in zip(*runs, strict=True):
        assert torch.equal(alone.video_RTCHW, worked.video_RTCHW)
        assert (alone.key, alone.path, alone.failures) == (worked.key, worked.path, worked.failures)


def test_an_unreadable_video_is_replaced_and_named(videos):
    data = dataset(videos)
    paths = set()
    for serial in range(20):
        sample = data[SampleKey(serial, 3, 0)]
        ((path, cause),) = sample.failures
        assert path == videos[3].path
        assert "does not open" in cause
        assert sample.label == int(next(video.label for video in videos if video.path == sample.path))
        paths.add(sample.path)
    assert paths == {video.path for video in videos[:3]}  # any of the others, by chance


def test_a_range_without_frames_counts_as_unreadable(videos):
    data = dataset([Video(videos[0].path, start=50.0), videos[1]])
    ((path, cause),) = data[SampleKey(0, 0, 0)].failures
    assert path == videos[0].path
    assert "no frame is shown from 50.0 s" in cause


@pytest.mark.parametrize("rows", [1, 3, 30])
def test_nothing_but_unreadable_videos_stops_with_their_names(videos, rows):
    data = dataset([videos[3]] * rows)
    said = "cannot be read" if rows == 1 else f"^none of {min(rows, 10)} tries gave a video that can be read"
    with pytest.raises(NothingReadableError, match=said) as caught:
        data[SampleKey(0, 0, 0)]
    assert str(caught.value).count("broken.mp4") == 1  # the same file, however often it was tried
    assert "it does not open" in str(caught.value)


def test_the_error_of_a_worker_names_the_videos(videos):
    batches = StepBatches(SampleOrder([1], None, 0), 1, 1, 0, 1, 0, 1)
    loader = DataLoader(dataset([videos[3]]), batch_sampler=batches, num_workers=1, collate_fn=list)
    with pytest.raises(ValueError, match=r"broken\.mp4 cannot be read: it does not open"):
        next(iter(loader))


def test_with_the_cache(videos, tmp_path):
    cached = dataset(videos, cache=VideoCache(tmp_path / "cache", 24), transform=eval_transform(16))
    plain = dataset(videos, transform=eval_transform(16))
    for _ in range(2):
        for index in range(4):
            key = SampleKey(index, index, 0)
            near, exact = cached[key], plain[key]
            assert near.failures == exact.failures
            assert near.path == exact.path
            assert (near.video_RTCHW.float() - exact.video_RTCHW.float()).abs().mean() < 12


def test_labels(videos):
    unlabelled = Video(videos[0].path)
    assert dataset([unlabelled])[SampleKey(0, 0, 0)].label == -1
    assert dataset(videos[:1], classes=["x", "0"])[SampleKey(0, 0, 0)].label == 1
    with pytest.raises(ValueError, match=r"has the label '1', which is none of the 1 classes \(0\)"):
        dataset(videos, classes=["0"])
    with pytest.raises(ValueError, match="choose one of auto"):
        dataset(videos, reader="none")
