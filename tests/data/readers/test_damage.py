"""Files that are damaged, hostile or oddly timed.

Each frame comes once, damage has a name, and nothing else is raised.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import vjepa.data.readers.border as border
from vjepa.data.cache import CacheDirError, VideoCache
from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video
from vjepa.data.processor import VideoProcessor
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video
from vjepa.data.readers.pixels import turn_of
from vjepa.data.readers.pyav import PyAVReader
from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.episode import Episode, VideoFrames
from vjepa.data.trajectories.window import WindowConfig
from vjepa.data.trajectories.windows import TrajectoryDataset
from vjepa.data.transforms import eval_transform

NO_B = {"bf": "0", "sc_threshold": "0"}


def cut(path, share):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: int(len(content) * share)])
    return path


def flip(path, packets):
    """Overwrite the middle of packets of the video."""
    content = bytearray(Path(path).read_bytes())
    with av.open(path) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
        for number in packets:
            packet = found[number]
            middle = packet.pos + packet.size // 2
            content[middle : packet.pos + packet.size] = b"\xa5" * (packet.size - packet.size // 2)
    Path(path).write_bytes(content)
    return path


@pytest.mark.parametrize("frames", [20, 90])  # decoded whole, and by an index
@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.ts", "a.webm"])
def test_sound_files_are_not_damaged(name, frames, write_video):
    codec = {".avi": "mpeg4", ".webm": "libvpx-vp9"}.get(Path(name).suffix, "libx264")
    with open_video(write_video(name, frames=frames, codec=codec)) as video:
        video.examine()
        assert video.damage is None


@pytest.mark.parametrize(
    ("name", "codec", "harm", "words"),
    [
        ("a.avi", "mpeg4", lambda path: cut(path, 0.82), "the header counts and the file lacks"),
        ("a.webm", "libvpx-vp9", lambda path: cut(path, 0.5), "bytes missing at the end"),
        ("a.mp4", "libx264", lambda path: flip(path, [5]), "marks as corrupt"),
        ("a.avi", "mpeg4", lambda path: flip(path, [5]), "marks as corrupt"),
    ],
)
@pytest.mark.parametrize("frames", [40, 90])
def test_damage_has_a_name(name, codec, harm, words, frames, write_video):
    path = harm(write_video(name, frames=frames, codec=codec, options=NO_B if codec == "libx264" else None))
    with open_video(path) as video:
        video.get_frames(range(len(video)))
        assert words in video.damage


def test_empty_chunks_of_avi_are_no_damage(real_data):
    """All of J-HMDB: FFmpeg passes over chunks that say "as before", which the header counts."""
    for path in sorted((real_data / "jhmdb7").rglob("*.avi"))[::60]:
        with av.open(str(path)) as container, open_video(str(path)) as video:
            assert container.streams.video[0].frames > len(video)
            assert video.damage is None


def test_an_end_behind_an_edit_list_is_no_damage(write_video, monkeypatch):
    """Players that trim a file keep its frames and hide them.

    FFmpeg shows the packets that the list leaves.
    """
    from vjepa.data.readers import damage

    counted = damage.HeaderCount("a.mp4", "mov,mp4,m4a,3gp,3g2,mj2", claimed=10)
    with av.open(write_video("a.mp4", frames=6)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                counted.count(packet)
    monkeypatch.setattr(damage, "_packets_without_edits", lambda path: 10)
    assert counted.missing() == 0
    monkeypatch.setattr(damage, "_packets_without_edits", lambda path: 6)
    assert counted.missing() == 4


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "libx264"), ("a.mpg", "mpeg2video")])
@pytest.mark.parametrize("frames", [30, 60])
def test_joined_recordings_give_every_frame_in_order(name, codec, frames, write_video, read_numbers):
    """ffmpeg's command line gives 0, 1, 2, ..., 0, 1, 2, ... in twice the time."""
    path = Path(write_video(name, frames=frames, codec=codec))
    path.write_bytes(path.read_bytes() * 2)
    with open_video(str(path)) as video:
        assert read_numbers(video.get_frames(range(len(video)))) == [*range(frames)] * 2
        assert read_numbers(video.get_frames([frames + 3, 2])) == [3, 2]
        assert np.all(np.diff(video.timestamps) > 0)
        assert video.timestamps[-1] == pytest.approx((2 * frames - 1) / 25, abs=0.05)
        assert video.damage is None


def test_frames_at_the_same_time_all_come(write_video, read_numbers):
    pairs = [2 * (number // 2) for number in range(80)]
    path = write_video("a.mkv", frames=80, pts=pairs, options=NO_B)
    with av.open(path) as container:
        assert len({packet.pts for packet in container.demux(video=0) if packet.size}) < 80
    with open_video(path) as video:
        assert read_numbers(video.get_frames(range(80))) == [*range(80)]
        assert np.allclose(video.timestamps[:79], np.arange(79) / 25, atol=2e-3)


def test_side_data_of_an_unknown_kind():
    """What PyAV 18.1 raises of a second view in HEVC; the angle is still known."""

    class Frame:
        rotation = -90  # as of the matrix (0, 1, -1, 0)

        @property
        def side_data(self):
            raise ValueError("29 is not a valid Type")

    assert turn_of(Frame()) == (True, False, True)
    Frame.rotation = 0
    assert turn_of(Frame()) == (False, False, False)


def test_whatever_a_parser_raises_is_the_files_fault(write_video, monkeypatch):
    path = write_video("a.mp4")

    class OddError(Exception):
        pass

    for raised in (
        OddError("strange"),
        MemoryError(),
        IndexError("list"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
    ):
        with open_video(path) as video:
            monkeypatch.setattr(
                video._rgb, "convert", lambda *_, raised=raised: (_ for _ in ()).throw(raised)
            )
            with pytest.raises(
                VideoDecodeError, match=rf"a\.mp4 cannot be read by pyav: {type(raised).__name__}"
            ):
                video.get_frames([0])
    with open_video(path) as video:
        monkeypatch.setattr(video._rgb, "convert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            video.get_frames([0])


@pytest.mark.parametrize("name", ["a.mp4", "a.npy", "a.png"])
def test_pipes_are_refused(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(VideoDecodeError, match="it is a pipe, a socket or a device"):
        open_video(str(tmp_path / name))
    with pytest.raises(VideoDecodeError, match="pipe"):  # in a folder of frames
        open_video(str(tmp_path)).get_frames([0]) if name == "a.png" else open_video(str(tmp_path / name))


def test_huge_frames_are_refused(write_video, tmp_path, monkeypatch):
    monkeypatch.setattr(border, "MAX_PIXELS", 1000)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((2, 40, 40, 3), np.uint8))
    for path in (write_video("a.mp4"), str(tmp_path / "a.npy")):
        with pytest.raises(VideoDecodeError, match=r"frames have \d+ x \d+ pixels, more than 1000"):
            open_video(path)
    with pytest.raises(VideoDecodeError, match=r"a\.png.* 40 x 40 pixels"):
        open_video(str(tmp_path / "a.png")).get_frames([0])


def test_reads_that_do_not_fit_into_memory_are_refused(write_video, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "images" / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((2, 40, 40, 3), np.uint8))
    for path in (write_video("a.mp4"), str(tmp_path / "a.npy"), str(tmp_path / "images")):
        with open_video(path) as video, monkeypatch.context() as patch:
            frame = video.get_frames([0])
            patch.setattr(border, "MAX_BYTES", 2 * frame.nbytes)
            assert len(video.get_frames([0, 0])) == 2
            with pytest.raises(
                VideoDecodeError, match=r"3 frames of it take .* GB, and one read takes at most"
            ):
                video.get_frames([0, 0, 0])


def test_frames_that_no_reader_reads_are_not_blamed_on_the_fast_one(write_video, monkeypatch):
    """Comparing readers, the exact one may fail, too.

    Then the file is unreadable, and no reader takes its place.
    """

    def fails(*_):
        raise VideoDecodeError("a.mp4", "pyav", "its middle is lost")

    path = write_video("a.mp4")
    monkeypatch.setattr(PyAVReader, "get_frames", fails)
    with pytest.raises(VideoDecodeError, match="its middle is lost"):
        open_video(path, "decord")


def test_npy_files_that_are_none(tmp_path):
    path = tmp_path / "a.npy"
    headers = {
        b"just a text": "it is no .npy file",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1'(": "its header is damaged",
    }
    for content, words in headers.items():
        path.write_bytes(content)
        with pytest.raises(VideoDecodeError, match=words) as caught:
            open_video(str(path))
        assert "pickle" not in str(caught.value)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(VideoDecodeError, match="it holds Python objects, which are never loaded"):
        open_video(str(path))
    np.save(path, np.zeros((2, 4, 4, 3), complex))
    with pytest.raises(VideoDecodeError, match="complex128"):
        open_video(str(path))


def test_arrays_of_other_channels(tmp_path, write_video):
    array_THWC = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 12), dtype=np.uint8)
    np.save(tmp_path / "a.npy", array_THWC)
    path = str(tmp_path / "a.npy")
    with open_video(path, channels=12) as video:
        assert np.array_equal(video.get_frames([4])[0].permute(1, 2, 0), array_THWC[4])
    with pytest.raises(VideoDecodeError, match="has 12 channels where 3 are asked for"):
        open_video(path)
    with pytest.raises(VideoDecodeError, match="it gives RGB, and 12 channels are asked for"):
        open_video(write_video("a.mp4"), channels=12)
    for cache in (None, VideoCache(tmp_path / "cache", 8)):
        data = ClipDataset([Video(path)], ClipSampling(4), eval_transform(8), 0, channels=12, cache=cache)
        assert data[SampleKey(0, 0, 0)].video_RTCHW.shape == (1, 4, 12, 8, 8)


@pytest.mark.parametrize("cached", [False, True])
def test_a_damaged_video_is_kept_or_skipped(write_video, tmp_path, cached):
    bad, good = flip(write_video("bad.avi", codec="mpeg4"), [5]), write_video("good.avi", codec="mpeg4")
    cache = VideoCache(tmp_path / "cache", 32) if cached else None
    for damaged in ("keep", "skip"):
        data = ClipDataset(
            [Video(bad), Video(good)], ClipSampling(20), eval_transform(16), 0, damaged=damaged, cache=cache
        )
        sample = data[SampleKey(0, 0, 0)]
        ((path, words),) = sample.damaged
        assert path == bad
        assert "marks as corrupt" in words
        assert sample.path == (bad if damaged == "keep" else good)
        assert [path for path, _ in sample.failures] == ([] if damaged == "keep" else [bad])


def test_torn_cache_entries_are_made_again(write_video, tmp_path):
    path, folder = write_video("a.mp4"), tmp_path / "cache"
    frames = VideoCache(folder, 32).open(path).get_frames([19])
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    flipped = bytes([whole[-1] ^ 1])
    for torn in (b"", whole[:100], whole[:-1], whole[100:], whole + b"x", whole[:-1] + flipped):
        file.write_bytes(torn)
        assert torch.equal(VideoCache(folder, 32).open(path).get_frames([19]), frames)
        assert file.read_bytes() == whole


def test_a_cache_folder_that_cannot_be_written_is_an_error_at_the_start(write_video, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    arguments = [Video(write_video("a.mp4"))], ClipSampling(4), eval_transform(16), 0
    with pytest.raises(
        CacheDirError, match=r"cache folder .*file/cache cannot be written \(Not a directory\)"
    ):
        VideoCache(tmp_path / "file" / "cache", 32)
    data = ClipDataset(*arguments, cache=VideoCache(tmp_path / "cache", 32))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheDirError, match=r"cache cannot be written \(No space left on device\)"):
        data[SampleKey(0, 0, 0)]


def test_a_damaged_file_is_told_by_whoever_reads_it(write_video):
    path = cut(write_video("a.avi", frames=40, codec="mpeg4"), 0.82)
    processor = VideoProcessor(num_frames=4, fps=5.0, stride=None, size=(16, 16), whole_frame=True)
    with pytest.warns(UserWarning, match=r"a\.avi is damaged, and read as far as it goes: .*the file lacks"):
        processor(path)
    episode = Episode(VideoFrames(path), np.zeros((9, 2), dtype=np.float32))
    dataset = TrajectoryDataset([episode], WindowConfig(frames=3), lambda video: video)
    ((where, damage),) = dataset[SampleKey(serial=0, index=0, step=0)].damaged
    assert where == path
    assert "the file lacks" in damage


def test_no_file_handle_left_is_not_the_fault_of_a_file(write_video, monkeypatch):
    dataset = ClipDataset([Video(write_video("a.mp4"))], ClipSampling(2, stride=1), eval_transform(16), 0)

    def exhausted(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("vjepa.data.readers.open._open", exhausted)
    with pytest.raises(OSError, match="Too many open files") as caught:
        dataset[0]
    assert not isinstance(caught.value, VideoDecodeError)
