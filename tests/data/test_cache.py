"""The cache gives what the reader gives, resized; it is built once, whole or not at all."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

import vjepa.data.cache as cache
from vjepa.data.cache import open_cached, shrink
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video


def test_cached_frames_are_the_resized_frames(write_video, tmp_path, monkeypatch):
    path = write_video("a.mp4", frames=40, size=(48, 64))
    with open_video(path) as video:
        frames, timestamps = video.get_frames(range(40)), video.timestamps
    for _ in range(2):
        with open_cached(path, "pyav", 24, tmp_path / "cache") as cached:
            assert len(cached) == 40
            assert np.array_equal(cached.timestamps, timestamps)
            got = cached.get_frames([39, 0, 0, 7])
        assert got.shape == (4, 3, 24, 32)
        assert got.permute(0, 2, 3, 1).is_contiguous()
        assert torch.equal(got, shrink(frames, 24)[[39, 0, 0, 7]])
        monkeypatch.setattr(cache, "open_video", None)  # the second time nothing is decoded
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_videos_are_never_enlarged(write_video, tmp_path):
    path = write_video("a.mp4", size=(48, 64))
    with open_cached(path, "pyav", 100, tmp_path / "cache") as cached, open_video(path) as video:
        assert torch.equal(cached.get_frames([3]), video.get_frames([3]))


def test_a_changed_file_another_size_or_reader_is_another_entry(write_video, tmp_path, read_numbers):
    path, folder = write_video("a.mp4", size=(64, 160)), tmp_path / "cache"
    open_cached(path, "pyav", 48, folder).close()
    assert open_cached(path, "pyav", 32, folder).get_frames([0]).shape[-2:] == (32, 80)
    open_cached(path, "auto", 48, folder).close()
    assert len(list(folder.glob("*.times.npy"))) == 3
    write_video("a.mp4", frames=5, size=(64, 160))
    os.utime(path, ns=(0, 0))
    assert len(open_cached(path, "pyav", 48, folder)) == 5


def test_a_failed_or_killed_build_leaves_no_entry(write_video, tmp_path, monkeypatch):
    path, folder = write_video("a.mp4"), tmp_path / "cache"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "shrink", killed)
        with pytest.raises(KeyboardInterrupt):
            open_cached(path, "pyav", 32, folder)
    assert not [name for name in os.listdir(folder) if "times" not in name]
    assert open_cached(path, "pyav", 32, folder).get_frames([19]).shape[-2:] == (32, 40)


def test_unreadable_videos_and_missing_files(tmp_path):
    with pytest.raises(VideoDecodeError, match="FileNotFoundError"):
        open_cached(str(tmp_path / "none.mp4"), "pyav", 32, tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoDecodeError, match="does not open"):
        open_cached(str(tmp_path / "a.mp4"), "pyav", 32, tmp_path / "cache")
    with pytest.raises(ValueError, match="short_side is 0"):
        open_cached(str(tmp_path / "a.mp4"), "pyav", 0, tmp_path / "cache")


def total(arguments):
    with open_cached(*arguments) as video:
        return int(video.get_frames(range(len(video))).sum())


def test_several_processes_build_the_same_entry_at_once(write_video, tmp_path):
    arguments = (write_video("a.mp4", frames=60, size=(96, 128)), "pyav", 64, tmp_path / "cache")
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        totals = list(pool.map(total, [arguments] * 6))
    assert len(set(totals)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2
