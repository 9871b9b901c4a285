"""From any video to the clip that a model knows."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vjepa.data.processor import VideoProcessor, read_frames
from vjepa.data.readers.base import VideoDecodeError

FPS = {"num_frames": 4, "fps": 5.0, "stride": None, "size": (16, 16), "whole_frame": True}


def numbered(frames=50, channels=3, height=16, width=16):
    """Frames whose pixels are their numbers."""
    numbers = torch.arange(frames, dtype=torch.uint8).view(-1, 1, 1, 1)
    return numbers.repeat(1, channels, height, width)


def numbers_of(clip_TCHW):
    return clip_TCHW[:, 0, 0, 0].tolist()


@pytest.fixture
def file(tmp_path):
    """50 frames in 2 seconds."""
    np.save(tmp_path / "video.npy", numbered().permute(0, 2, 3, 1).numpy())
    return tmp_path / "video.npy"


def test_the_clip_lies_in_the_middle_at_the_model_s_rate(file):
    """Worked out by hand: moments .2 s apart, the first at half of 1.96 - 3 x .2 s, i.e.

    At .68 s, frame 17 of 25 a second.
    """
    processor = VideoProcessor(**FPS)
    (clip,) = processor(file)
    assert numbers_of(clip) == [17, 22, 27, 32]
    assert torch.equal(processor([str(file), file])[1], clip)
    assert torch.equal(processor(numbered(), fps=25)[0], clip)
    assert numbers_of(processor(numbered())[0]) == [23, 24, 25, 26]  # at the model's rate already
    assert numbers_of(processor(file, start=1.0, end=1.1)[0]) == [25, 27, 27, 27]  # held at the last
    strided = VideoProcessor(**{**FPS, "fps": None, "stride": 3})
    assert numbers_of(strided(file)[0]) == numbers_of(strided(numbered(), fps=1)[0]) == [20, 23, 26, 29]


def test_size_and_crop_are_those_of_evaluations():
    """Against torchvision: the short side to 256/224 of the crop, which is taken from the middle."""
    noise = torch.randint(
        0, 256, (4, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    processor = VideoProcessor(**{**FPS, "size": (28, 28), "whole_frame": False})
    expected = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28)])(noise)
    assert torch.equal(processor(noise)[0], expected)


def test_every_form_of_a_clip_is_the_same_clip():
    processor = VideoProcessor(**FPS)
    clip = torch.randint(
        0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    array = clip.numpy()
    images = [Image.fromarray(frame) for frame in clip.permute(0, 2, 3, 1).numpy()]
    forms = [
        clip, clip[None], array, clip / 255, (clip / 255).double().numpy(), list(clip), tuple(array), images,
        [clip], [images], array[:, ::-1][:, ::-1],
    ]  # fmt: skip
    for number, form in enumerate(forms):
        assert torch.equal(processor(form), clip[None]), number
    buffer = array.copy()
    (kept,) = processor.clips_of(buffer)
    buffer[:] = 0  # as a camera fills its buffer again
    assert torch.equal(kept, clip)


def test_unequal_clips_become_a_batch():
    processor = VideoProcessor(**FPS)
    parts = [numbered(5, height=20, width=30), numbered(9, height=64)]
    batch = processor(parts)
    assert batch.shape == (2, 4, 3, 16, 16)
    for clip, part in zip(batch, parts, strict=True):
        assert torch.equal(clip, processor(part)[0])


@pytest.mark.parametrize("channels", [1, 12])
def test_other_channels_are_a_model_s_own(channels):
    processor = VideoProcessor(**FPS, channels=channels)
    assert processor(numbered(channels=channels, height=40)).shape == (1, 4, channels, 16, 16)
    with pytest.raises(ValueError, match=f"with C = {channels}"):
        processor(numbered())
    grey = Image.new("RGB", (16, 16), (9, 9, 9))
    if channels == 1:
        assert processor(grey).eq(9).all()
    else:
        with pytest.raises(ValueError, match="PIL image cannot have the model's 12 channels"):
            processor(grey)


def test_few_frames_a_second_are_said(file):
    with pytest.warns(UserWarning, match="5 frames a second and the model was trained at 30"):
        VideoProcessor(**{**FPS, "fps": 30.0})(numbered(), fps=5)
    with pytest.warns(UserWarning, match="25 frames a second"):
        VideoProcessor(**{**FPS, "fps": 60.0})(file)


def test_enough_frames_a_second_pass_silently(file, recwarn):
    VideoProcessor(**{**FPS, "fps": 30.0})(file)
    assert not recwarn


WRONG = [
    ("channels that come last", lambda v: v.permute(0, 2, 3, 1), r"frames\.permute\(0, 3, 1, 2\)"),
    ("channels first of all", lambda v: v.transpose(0, 1)[:, :5], r"transpose\(-4, -3\)"),
    ("too many dimensions", lambda v: v[None, None], "give .C, H, W. or"),
    ("no frames", lambda v: v[:0], "leave empty batches out"),
    ("whole numbers", lambda v: v.long(), "pixels are int64"),
    ("truth values", lambda v: v > 3, "pixels are bool"),
    ("bytes as floats", lambda v: v.float(), r"go from 0 to 49: .* frames / 255"),
    ("normalised floats", lambda v: v.float() / 20 - 1, "before it"),
    ("overshot floats", lambda v: v / 45, r"clamp\(0, 1\)"),
    ("NaN", lambda v: v / 49 * torch.nan, "NaN or infinity among them"),
    ("infinity", lambda v: v / 0.0, "NaN|inf"),
    ("words", lambda v: np.array(["a"]), "the array holds <U1"),
    ("objects", lambda v: np.array([v, None], dtype=object), "the array holds object"),
    ("a number", lambda v: 3, "of type int"),
    ("a path beside a clip", lambda v: [v, "a.mp4"], "of type str"),
    ("nothing", lambda v: [], "the list holds nothing"),
    ("frames beside clips", lambda v: [v, v[0]], "frames beside clips"),
    ("frames of two sizes", lambda v: [v[0], v[0, :, :8]], r"sizes \[\(8, 16\), \(16, 16\)\]"),
    ("a batch in a list", lambda v: [v[None]], r"torch\.cat"),
    ("lists of clips in a list", lambda v: [[v, v]], "one list of all clips"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_no_video_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        VideoProcessor(**FPS)(change(numbered()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0.0}, "fps is 0"),
        ({"start": 1.0}, "which are for files"),
        ({"end": 1.0}, "which are for files"),
    ],
)
def test_what_does_not_belong_together_is_named(arguments, message, file):
    with pytest.raises(ValueError, match=message):
        VideoProcessor(**FPS)(numbered(), **arguments)
    with pytest.raises(ValueError, match="files have times of their own"):
        VideoProcessor(**FPS)(file, fps=3)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"start": -1.0}, "the range starts at -1.0 s: give seconds from the first frame, 0 or more"),
        ({"start": float("nan")}, "the range has start = 'nan': give a number of seconds"),
        ({"end": float("inf")}, "the range has end = 'inf': give a number of seconds"),
    ],
)
def test_times_that_a_list_cannot_have_are_refused(part, message, file):
    clip = VideoProcessor(**FPS)
    for read in (clip, partial(read_frames, clip=clip)):
        with pytest.raises(ValueError, match=message):
            read(str(file), **part)


def test_a_file_gives_the_channels_that_the_model_has(tmp_path):
    np.save(tmp_path / "bands.npy", numbered(channels=12).permute(0, 2, 3, 1).numpy())
    many = VideoProcessor(**FPS, channels=12)
    assert many(tmp_path / "bands.npy").shape == (1, 4, 12, 16, 16)
    with pytest.raises(VideoDecodeError, match="12 channels"):
        VideoProcessor(**FPS)(tmp_path / "bands.npy")
