"""The cache gives what the reader gives, resized; it is built once, whole or not at all."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

import vjepa.data.cache as cache
from vjepa.data.cache import VideoCache, entry_bytes, shrink
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video


def test_cached_frames_are_the_resized_frames(write_video, tmp_path, monkeypatch):
    path = write_video("a.mp4", frames=40, size=(48, 64))
    with open_video(path) as video:
        frames, timestamps = video.get_frames(range(40)), video.timestamps
    for _ in range(2):
        with VideoCache(tmp_path / "cache", 24).open(path, "pyav") as cached:
            assert len(cached) == 40
            assert np.array_equal(cached.timestamps, timestamps)
            got = cached.get_frames([39, 0, 0, 7])
        assert got.shape == (4, 3, 24, 32)
        assert got.permute(0, 2, 3, 1).is_contiguous()
        assert torch.equal(got, shrink(frames, 24)[[39, 0, 0, 7]])
        monkeypatch.setattr(cache, "open_video", None)  # the second time nothing is decoded
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_videos_are_never_enlarged(write_video, tmp_path):
    path = write_video("a.mp4", size=(48, 64))
    with VideoCache(tmp_path / "cache", 100).open(path, "pyav") as cached, open_video(path) as video:
        assert torch.equal(cached.get_frames([3]), video.get_frames([3]))


def test_a_changed_file_another_size_or_reader_is_another_entry(write_video, tmp_path, read_numbers):
    path, folder = write_video("a.mp4", size=(64, 160)), tmp_path / "cache"
    VideoCache(folder, 48).open(path, "pyav").close()
    assert VideoCache(folder, 32).open(path, "pyav").get_frames([0]).shape[-2:] == (32, 80)
    VideoCache(folder, 48).open(path, "auto").close()
    assert len(list(folder.iterdir())) == 3
    write_video("a.mp4", frames=5, size=(64, 160))
    os.utime(path, ns=(0, 0))
    assert len(VideoCache(folder, 48).open(path, "pyav")) == 5


def test_a_failed_or_killed_build_leaves_no_entry(write_video, tmp_path, monkeypatch):
    path, folder = write_video("a.mp4"), tmp_path / "cache"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "shrink", killed)
        with pytest.raises(KeyboardInterrupt):
            VideoCache(folder, 32).open(path, "pyav")
    assert os.listdir(folder) == []
    assert VideoCache(folder, 32).open(path, "pyav").get_frames([19]).shape[-2:] == (32, 40)


def test_unreadable_videos_and_missing_files(tmp_path):
    with pytest.raises(VideoDecodeError, match="FileNotFoundError"):
        VideoCache(tmp_path, 32).open(str(tmp_path / "none.mp4"), "pyav")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoDecodeError, match="does not open"):
        VideoCache(tmp_path / "cache", 32).open(str(tmp_path / "a.mp4"), "pyav")
    with pytest.raises(ValueError, match="short_side is 0"):
        VideoCache(tmp_path / "cache", 0).open(str(tmp_path / "a.mp4"), "pyav")


def total(arguments):
    path, reader, short_side, folder = arguments
    with VideoCache(folder, short_side).open(path, reader) as video:
        return int(video.get_frames(range(len(video))).sum())


def test_several_processes_build_the_same_entry_at_once(write_video, tmp_path):
    arguments = (write_video("a.mp4", frames=60, size=(96, 128)), "pyav", 64, tmp_path / "cache")
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        totals = list(pool.map(total, [arguments] * 6))
    assert len(set(totals)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_process_opens_an_entry_once(write_video, tmp_path, monkeypatch):
    """Frames stay readable when the file is removed, and nothing is opened, looked up or hashed again."""
    path, store = write_video("a.mp4"), VideoCache(tmp_path / "cache", 24)
    first = store.open(path)
    expected = first.get_frames([0, 19])
    for name in ("_key", "_entry", "open_video"):
        monkeypatch.setattr(cache, name, None)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.unlink()
    with store.open(path) as again:
        assert again is first
    assert torch.equal(store.open(path).get_frames([0, 19]), expected)
    monkeypatch.undo()
    copied = pickle.loads(pickle.dumps(store))  # as sent to a worker: it opens its own
    assert torch.equal(copied.open(path).get_frames([0, 19]), expected)
    assert entry.exists()


def test_a_process_keeps_a_limited_number_open(write_video, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_OPEN", 2)
    paths, store = [write_video(f"{n}.mp4") for n in range(3)], VideoCache(tmp_path / "cache", 24)
    videos = [store.open(path) for path in paths]
    assert store.open(paths[2]) is videos[2]
    assert store.open(paths[1]) is videos[1]
    assert store.open(paths[0]) is not videos[0]


def test_an_open_entry_holds_no_file_handle(write_video, tmp_path):
    store = VideoCache(tmp_path / "cache", 24)
    store.open(write_video("0.mp4"))
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1, 6):
        store.open(write_video(f"{number}.mp4"))
    assert len(os.listdir("/proc/self/fd")) <= before


def test_old_entries_make_room_and_those_of_this_run_do_not(write_video, tmp_path, monkeypatch):
    paths = [write_video(f"{number}.mp4", size=(32, 32)) for number in range(4)]
    folder = tmp_path / "cache"
    with open_video(paths[0]) as video:
        size = entry_bytes(video, 32)
    earlier = VideoCache(folder, 32)
    for path in paths[:2]:
        earlier.open(path)
    for entry in folder.iterdir():
        os.utime(entry, (0, 0))
    names = set(os.listdir(folder))
    store = VideoCache(folder, 32, max_gb=2.5 * size / 1e9)
    store.open(paths[1])  # used again
    assert store.open(paths[2]).get_frames([0]).shape == (1, 3, 32, 32)
    kept = set(os.listdir(folder))
    assert len(kept) == 2
    assert len(kept & names) == 1
    for _ in range(2):
        with store.open(paths[3]) as video:  # no room is left
            assert len(video) == 20
        assert set(os.listdir(folder)) == kept
        monkeypatch.setattr(cache, "_entries", None)  # which the second time is known
    monkeypatch.undo()
    assert store.size() == pytest.approx(2 * size, rel=0.1)
