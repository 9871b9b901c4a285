"""Crops are the same over a clip, of the right size, uint8, and stay in the fast layout."""

from __future__ import annotations

import pytest
import torch

from vjepa.data.transforms import clip_transform, eval_transform, resize_to_cover, train_transform


def still_clip(height, width, frames=3):
    """The same noisy frame again and again, as a view of (T, H, W, C) storage."""
    frame = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    return frame.repeat(frames, 1, 1, 1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (17, 90), (8, 8)])
@pytest.mark.parametrize("size", [32, (16, 40)])
def test_size_type_and_layout(shape, size):
    height, width = (size, size) if isinstance(size, int) else size
    for transform in (train_transform(size), eval_transform(size)):
        clip = transform(still_clip(*shape))
        assert clip.shape == (3, 3, height, width)
        assert clip.dtype == torch.uint8
        assert clip.stride(1) == 1  # channels are still last in memory


def test_one_draw_for_all_frames():
    clip = train_transform(24)(still_clip(60, 80))
    assert (clip == clip[:1]).all()


def test_draws_differ_and_follow_the_generator():
    transform, clip = train_transform(24), still_clip(60, 80)
    torch.manual_seed(1)
    first, second = transform(clip), transform(clip)
    torch.manual_seed(1)
    assert torch.equal(transform(clip), first)
    assert not torch.equal(first, second)


def test_flips_half_of_the_time_or_never():
    clip = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    clip[..., 8:] = 255
    torch.manual_seed(0)
    whole = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    flipped = [bool(train_transform(16, **whole)(clip)[0, 0, 0, 0]) for _ in range(200)]
    assert 60 < sum(flipped) < 140
    assert not any(train_transform(16, **whole, flip=False)(clip)[0, 0, 0, 0] for _ in range(50))


def test_a_square_clip_of_the_right_size_passes_through():
    clip = still_clip(32, 32)
    passed = train_transform(32, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=False)(clip)
    assert passed.data_ptr() == clip.data_ptr()
    assert torch.equal(passed, clip)


@pytest.mark.parametrize("size", [(32, 32), (32, 64)])
def test_a_whole_frame_is_the_same_in_training_and_afterwards(size):
    """The largest central region with the aspect ratio of the size; no random number is drawn for it."""
    clip = torch.randint(0, 256, (2, 3, 100, 101), dtype=torch.uint8)
    state = torch.get_rng_state()
    whole = clip_transform(size, whole_frame=True)(clip)
    assert torch.equal(train_transform(size, (1.0, 1.0), (1.0, 1.0), flip=False)(clip), whole)
    assert torch.equal(torch.get_rng_state(), state)
    sized = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    assert torch.equal(clip_transform(size, whole_frame=True)(sized), sized)


def test_evaluation_takes_the_middle_at_the_customary_margin():
    # 64 x 128 is resized so that its short side has int(56 * 256 / 224) = 64 pixels: not at all.
    clip = still_clip(64, 128)
    assert torch.equal(eval_transform(56)(clip), clip[..., 4:60, 36:92])
    assert eval_transform(256).covered == (292, 292)


@pytest.mark.parametrize(("shape", "to", "expected"), [
    ((240, 320), (128, 128), (128, 170)),
    ((320, 240), (128, 128), (170, 128)),
    ((100, 100), (50, 80), (80, 80)),
    ((30, 400), (64, 64), (64, 853)),
])  # fmt: skip
def test_covering_keeps_the_shape_of_the_image(shape, to, expected):
    assert resize_to_cover(still_clip(*shape), *to).shape[-2:] == expected


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"scale is \(0.5, 0.2\)"):
        train_transform(32, scale=(0.5, 0.2))
    with pytest.raises(ValueError, match=r"ratio is \(0, 1\)"):
        train_transform(32, ratio=(0, 1))
    with pytest.raises(ValueError, match="size is 0"):
        eval_transform(0)
