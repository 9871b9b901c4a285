"""One contract over all readers: whatever a video is, and whoever reads it, it keeps the same promises."""

import numpy as np
import pytest
import torch
from PIL import Image

import vjepa.data.readers
from tests.package_classes import public_classes
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader
from vjepa.data.readers.open import open_video

FRAMES, HEIGHT, WIDTH, RATE = 20, 40, 60, 25


def need(reader):
    """Skip where a reader is not installed or does not load."""
    if reader in ("decord", "torchcodec"):
        module = "torchcodec.decoders" if reader == "torchcodec" else reader
        pytest.importorskip(module, exc_type=(ImportError, RuntimeError, OSError))


def file(reader):
    def made(tmp_path, write_video, burnt):
        need(reader)
        path = write_video(frames=FRAMES, name="a.mp4")
        return open_video(path, reader=reader)

    return made


def array(tmp_path, write_video, burnt):
    path = tmp_path / "a.npy"
    np.save(path, np.stack([burnt(number, HEIGHT, WIDTH) for number in range(FRAMES)]))
    return open_video(path, fps=RATE)


def folder(tmp_path, write_video, burnt):
    path = tmp_path / "frames"
    path.mkdir()
    for number in range(FRAMES):
        Image.fromarray(burnt(number, HEIGHT, WIDTH)).save(path / f"{number}.png")
    return open_video(path, fps=RATE)


# What opens a video of FRAMES frames, each of which shows its number, by the class that reads it.
READERS = {
    "PyAVReader": file("pyav"),
    "DecordReader": file("decord"),
    "TorchcodecReader": file("torchcodec"),
    "ArrayReader": array,
    "FrameFolderReader": folder,
}


@pytest.fixture(params=READERS)
def video(request, tmp_path, write_video, burnt):
    with READERS[request.param](tmp_path, write_video, burnt) as video:
        assert type(video).__name__ == request.param
        yield video


def test_every_reader_is_here():
    """A new reader joins this contract, or this test fails."""
    # The module of torchcodec imports the package, which may not be installed.
    found = public_classes(vjepa.data.readers, without=["torchcodec"])
    readers = {kind.__name__ for kind in found if issubclass(kind, GuardedReader)}
    assert readers | {"TorchcodecReader"} == READERS.keys() | {"GuardedReader"}


def test_frames_by_number_are_those_of_the_file(video, read_numbers):
    assert len(video) == FRAMES
    for asked in ([0], [FRAMES - 1], [13, 2, 2, 7, 0, 19], range(FRAMES), np.array([4, 5])):
        assert read_numbers(video.get_frames(asked)) == list(asked)
    assert torch.equal(video.get_frames([11, 3]), video.get_frames([3, 11]).flip(0))


def test_frames_are_bytes_in_one_layout(video):
    frames = video.get_frames([1, 4])
    assert frames.dtype == torch.uint8
    assert frames.shape[:2] == (2, 3)
    assert frames.permute(0, 2, 3, 1).is_contiguous()


def test_times_ascend_from_zero(video):
    times = np.asarray(video.timestamps)
    assert times.dtype == np.float64
    assert times.shape == (FRAMES,)
    assert times[0] == 0
    np.testing.assert_allclose(np.diff(times), 1 / RATE, atol=1e-3)


@pytest.mark.parametrize("asked", [[-1], [FRAMES], [0, 99]])
def test_frames_that_are_not_there_are_refused(video, asked):
    with pytest.raises(IndexError, match=rf"it has {FRAMES}: give numbers from 0 to {FRAMES - 1}"):
        video.get_frames(asked)
    with pytest.raises(ValueError, match="give one number or more"):
        video.get_frames([])


def test_a_sound_video_has_no_damage(video):
    video.examine()
    assert video.damage is None


@pytest.mark.parametrize("reader", ["auto", "pyav", "decord", "torchcodec"])
@pytest.mark.parametrize("name", ["missing.mp4", "text.mp4", "text.npy", "text.png", "empty"])
def test_what_is_no_video_is_one_kind_of_error(reader, name, tmp_path):
    need(reader)
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name != "missing.mp4":
        path.write_bytes(b"this is a text, not a video\n" * 50)
    with pytest.raises(VideoDecodeError, match=name) as error:
        open_video(path, reader=reader).get_frames([0])  # images are opened when they are read
    assert error.value.path == str(path)
