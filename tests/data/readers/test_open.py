"""Every reader gives the frame that was asked for; where one does not, it is said here."""

from __future__ import annotations

import pickle
import struct
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import vjepa.data.readers.pyav as pyav_reader
from vjepa.data.memory import bytes_of
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video
from vjepa.data.readers.pyav import PyAVReader

ORDER = [70, 3, 3, 89, 0, 41, 42, 13, 12, 11, 25, 24, 23]
X264 = {"bf": "3", "b_strategy": "0", "sc_threshold": "0"}
VFR = np.cumsum([0] + [1, 3, 7, 2, 11] * 18)[:90].tolist()
KINDS = {
    "h264": {"name": "a.mp4", "options": X264},
    "vfr": {"name": "a.mp4", "options": X264, "pts": VFR, "time_base": Fraction(1, 90)},
    "offset": {"name": "a.mkv", "options": X264, "pts": list(range(50, 140))},
    "open_gop": {"name": "a.mp4", "options": {**X264, "x264-params": "open-gop=1:keyint=12"}},
    "x265": {"name": "a.mp4", "codec": "libx265", "options": {"x265-params": "keyint=12:log-level=none"}},
    "vp9": {"name": "a.webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4": {"name": "a.avi", "codec": "mpeg4", "options": {"b": "2M"}},
    "mpeg4_b": {"name": "a.avi", "codec": "mpeg4", "options": {"bf": "2", "b": "2M"}},
    "mpegts": {"name": "a.ts", "options": X264},
    "av1": {"name": "a.mp4", "codec": "libsvtav1", "options": {"preset": "8", "crf": "10"}},
}


def need(reader):
    """Skip where a reader is not installed or does not load."""
    if reader == "decord":
        pytest.importorskip("decord", reason="decord is not installed (it has no wheel for this platform)")
    if reader == "torchcodec_cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    if reader.startswith("torchcodec"):
        pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError, OSError))


@pytest.mark.parametrize("kind", KINDS)
def test_pyav_gives_the_frames_asked_for(kind, write_video, read_numbers):
    path = write_video(frames=90, **KINDS[kind])
    with open_video(path) as video:
        assert len(video) == 90
        assert read_numbers(video.get_frames(ORDER)) == ORDER
        assert read_numbers(video.get_frames(range(90))) == list(range(90))
        assert read_numbers(video.get_frames([5])) == [5]


@pytest.mark.parametrize("kind", KINDS)
def test_each_way_of_pyav_gives_the_same(kind, write_video, read_numbers, monkeypatch):
    """Kept frames, an index with seeks, and counting through again."""
    path = write_video(frames=90, **KINDS[kind])
    seen = []
    for short, kept in ((100, 2**30), (0, 2**30), (100, 0)):
        monkeypatch.setattr(pyav_reader, "SHORT", short)
        monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
        with open_video(path) as video:
            assert read_numbers(video.get_frames(ORDER)) == ORDER
            seen.append((video.timestamps, video.get_frames(ORDER[:4])))
    for times, frames in seen[1:]:
        assert np.array_equal(times, seen[0][0])
        assert torch.equal(frames, seen[0][1])


@pytest.mark.parametrize("kind", ["h264", "vfr", "offset", "open_gop", "vp9", "mpeg4", "x265", "mpegts"])
@pytest.mark.parametrize("reader", ["decord", "torchcodec", "torchcodec_cuda"])
@pytest.mark.filterwarnings("ignore:.*is read by pyav in place of")
def test_the_other_readers_give_the_same(reader, kind, write_video, read_numbers):
    need(reader)
    path = write_video(frames=90, **KINDS[kind])
    with open_video(path, "pyav") as exact, open_video(path, reader) as other:
        assert np.allclose(other.timestamps, exact.timestamps, atol=2e-3)
        assert read_numbers(other.get_frames(ORDER)) == ORDER


@pytest.mark.parametrize(
    ("reader", "kind", "fault"),
    [
        ("decord", "open_gop", "frame [0-9]+ is another one"),  # some frames late after a jump
        ("decord", "x265", "frame [0-9]+ is another one"),
        ("decord", "av1", "DECORDError"),
        ("torchcodec", "mpeg4_b", "its packets are no sound index"),
    ],
)
def test_a_reader_that_is_wrong_on_a_file_is_replaced_with_a_warning(reader, kind, fault, write_video):
    need(reader)
    path = write_video(frames=90, **KINDS[kind])
    with pytest.warns(RuntimeWarning, match=rf"a\.\w+ is read by pyav in place of {reader}: {fault}"):
        open_video(path, reader).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_video(path, reader) as video:  # the verdict holds
            assert isinstance(video, PyAVReader)


@pytest.mark.parametrize(
    ("reader", "kind"), [("decord", "h264"), ("torchcodec", "h264"), ("torchcodec", "vp9")]
)
def test_a_reader_that_is_right_on_a_file_reads_it(reader, kind, write_video):
    need(reader)
    with open_video(write_video(frames=90, **KINDS[kind]), reader) as video:
        assert video.name == reader


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_decoding_on_a_gpu_is_refused_without_one(write_video):
    with pytest.raises(ValueError, match="'torchcodec_cuda' decodes on a CUDA GPU, and torch finds none"):
        open_video(write_video(frames=3, **KINDS["h264"]), "torchcodec_cuda")


TURNS = {  # display matrix (a, b, c, d), and what the matrix undoes
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, 1)),
    "counterclockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, -1)),
    "half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("reader", ["pyav", "decord"])
@pytest.mark.parametrize("turn", TURNS)
def test_frames_come_upright(turn, reader, write_video, read_numbers, burnt):
    need(reader)
    if reader == "decord" and turn in ("mirrored", "transposed"):
        pytest.skip("decord knows rotations only")
    matrix, lay = TURNS[turn]
    swapped = matrix[0] == 0

    def lying(number, height, width):
        upright = burnt(number, *((width, height) if swapped else (height, width)))
        return np.ascontiguousarray(lay(upright))

    path = write_video("a.mp4", image=lying)
    set_display_matrix(path, matrix)
    with open_video(path, reader) as video:
        frames = video.get_frames([2, 7, 19])
    assert frames.shape[-2:] == ((80, 64) if swapped else (64, 80))
    assert read_numbers(frames) == [2, 7, 19]


def set_display_matrix(path, matrix):
    """Write (a, b, c, d) over the matrix in an MP4's track header: not every PyAV can set it."""
    content = bytearray(Path(path).read_bytes())
    a, b, c, d = (65536 * part for part in matrix)
    at = content.index(struct.pack(">6i", 65536, 0, 0, 0, 65536, 0), content.index(b"tkhd"))
    content[at : at + 24] = struct.pack(">6i", a, b, 0, c, d, 0)
    Path(path).write_bytes(content)


def test_a_path_may_be_a_path_object(write_video):
    path = Path(write_video("a.mp4", frames=3))
    with open_video(path) as video:
        assert len(video) == 3


@pytest.mark.parametrize(
    ("size", "pix_fmt"), [((80, 64), "yuv420p"), ((63, 81), "yuv444p"), ((178, 322), "yuv420p")]
)
def test_portrait_and_odd_sizes(size, pix_fmt, write_video, read_numbers):
    with open_video(write_video("a.mp4", size=size, pix_fmt=pix_fmt)) as video:
        frames = video.get_frames([11, 2])
    assert frames.shape[-2:] == size
    assert read_numbers(frames) == [11, 2]


def test_times_are_those_of_presentation_and_begin_at_zero(write_video):
    vfr = write_video("v.mp4", frames=90, **{k: v for k, v in KINDS["vfr"].items() if k != "name"})
    offset = write_video("o.mkv", frames=90, pts=list(range(50, 140)), options=X264)
    with open_video(vfr) as video:
        assert np.allclose(video.timestamps, np.array(VFR) / 90, atol=1e-4)
    with open_video(offset) as video:
        assert np.allclose(video.timestamps, np.arange(90) / 25, atol=1e-3)  # Matroska has milliseconds


def test_one_frame(write_video, read_numbers):
    with open_video(write_video("a.mp4", frames=1)) as video:
        assert len(video) == 1
        assert video.timestamps.tolist() == [0.0]
        assert read_numbers(video.get_frames([0, 0])) == [0, 0]
        with pytest.raises(IndexError, match="it has 1: give numbers from 0 to 0"):
            video.get_frames([1])
        with pytest.raises(IndexError, match="frame -1 of"):
            video.get_frames([-1])


def test_a_truncated_file_gives_the_part_that_decodes(write_video, read_numbers):
    path = write_video("a.mkv", frames=90, codec="mpeg4", options={"b": "2M"})
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])
    with open_video(path) as video:
        assert 30 < len(video) < 60
        everything = read_numbers(video.get_frames(range(len(video))))
    assert everything[:-1] == list(range(len(everything) - 1))


def test_damage_found_late_repeats_the_frame_before(write_video, read_numbers):
    """The packets look whole, so the index is trusted; some packets turn out not to decode."""
    path = write_video("a.mp4", frames=90, options={"bf": "0", "sc_threshold": "0"})
    with open_video(path) as video:
        sound = read_numbers(video.get_frames(range(90)))
    content = bytearray(Path(path).read_bytes())
    _break_packet(content, path, 30)
    Path(path).write_bytes(content)
    with open_video(path) as video:
        assert len(video) == 90
        damaged = read_numbers(video.get_frames(range(90)))
        assert "packets that do not decode: " in video.damage
        assert read_numbers(video.get_frames([5, 80])) == [damaged[5], damaged[80]]
    assert damaged[:30] == sound[:30]
    assert damaged[30] == 29
    assert damaged[36:] == sound[36:]


def _break_packet(content, path, number):
    """Overwrite a packet's bytes so that the decoder refuses it."""
    with av.open(path) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size


def test_sound_without_images(tmp_path):
    path = str(tmp_path / "sound.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoDecodeError, match=r"sound\.mp4 cannot be read by pyav: it has no video stream"):
        open_video(path)


def test_missing_file_and_unknown_reader(tmp_path):
    with pytest.raises(VideoDecodeError, match="no such file"):
        open_video(str(tmp_path / "none.mp4"))
    with pytest.raises(ValueError, match="reader is 'opencv': choose one of auto, pyav"):
        open_video("a.mp4", "opencv")
    with pytest.raises(ValueError, match="fps is 0"):
        open_video("a.npy", fps=0)


def test_errors_travel_between_processes():
    error = VideoDecodeError("a.mp4", "pyav", "no frame decodes")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reader, copy.cause, str(copy)) == (
        "a.mp4",
        "pyav",
        "no frame decodes",
        str(error),
    )


def test_npy_arrays(tmp_path):
    video_THWC = np.random.default_rng(0).integers(0, 256, (7, 6, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", video_THWC)
    with open_video(str(tmp_path / "a.npy"), fps=10) as video:
        assert video.timestamps.tolist() == [i / 10 for i in range(7)]
        frames = video.get_frames([6, 0, 0])
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), video_THWC[[6, 0, 0]])
    np.save(tmp_path / "float.npy", video_THWC.astype(np.float32))
    with pytest.raises(
        VideoDecodeError, match=r"float32 \(7, 6, 8, 3\), but a video is uint8 \(T, H, W, C\)"
    ):
        open_video(str(tmp_path / "float.npy"))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    with pytest.raises(VideoDecodeError, match=r"cut\.npy"):
        open_video(str(tmp_path / "cut.npy"))
    np.save(tmp_path / "scalar.npy", np.uint8(3))
    with pytest.raises(VideoDecodeError, match="uint8"):
        open_video(str(tmp_path / "scalar.npy"))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_grey_values_of_16_bits_are_scaled_in_files_and_in_memory(dtype, tmp_path):
    values = np.array([[0, 128, 129, 257, 20000, 65535]])
    image = Image.fromarray(values.astype(dtype))
    expected = (values / 257).round()
    assert (bytes_of(image, 1)[0].numpy() == expected).all()
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    with open_video(str(tmp_path / "deep.png")) as video:
        assert (video.get_frames([0])[0].numpy() == expected).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_grey_values_of_32_bits_may_be_those_of_8(dtype):
    values = np.array([[0, 100, 255]])
    assert (bytes_of(Image.fromarray(values.astype(dtype)), 1)[0].numpy() == values).all()


@pytest.mark.parametrize("image", [Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 65536)])
def test_grey_values_of_an_unknown_range_are_refused(image):
    with pytest.raises(ValueError, match=r"its pixels are .*: give colours of 8 bits, or grey values of"):
        bytes_of(image, 3)


def test_folders_of_frames(tmp_path, read_numbers, burnt):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):  # img10 must come after img9
        Image.fromarray(burnt(number, 40, 60)).save(folder / f"img{number}.png")
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._img0.png").write_bytes(b"\0\5\x16\7")  # macOS writes these beside files that it copies
    (folder / "before.png").mkdir()
    with open_video(str(folder)) as video:
        assert len(video) == 12
        assert video.timestamps[-1] == pytest.approx(11 / 25)
        assert read_numbers(video.get_frames([10, 9, 2, 10])) == [10, 9, 2, 10]
    Image.fromarray(burnt(1, 20, 20)).save(folder / "img12.png")
    (folder / "img13.png").write_bytes(b"broken")
    with open_video(str(folder)) as video:
        with pytest.raises(VideoDecodeError, match="differ in size"):
            video.get_frames([0, 12])
        with pytest.raises(VideoDecodeError, match=r"img13\.png"):
            video.get_frames([13])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(VideoDecodeError, match="has no images"):
        open_video(str(empty))
