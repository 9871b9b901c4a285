"""Clips keep their distance in time or number, fit where they can, and hold the last frame where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vjepa.data.clips import ClipSampling, EmptyRangeError, sample_clips, spread_clips


def rng():
    return np.random.default_rng(0)


def steady(frames, fps=25.0):
    return np.arange(frames) / fps


@st.composite
def videos(draw):
    gaps = draw(st.lists(st.floats(0.001, 2.0), min_size=0, max_size=60))
    return np.concatenate([[0.0], np.cumsum(gaps)])


samplings = st.one_of(
    st.builds(ClipSampling, st.integers(1, 20), fps=st.floats(0.5, 60), clips_per_video=st.integers(1, 4)),
    st.builds(ClipSampling, st.integers(1, 20), stride=st.integers(1, 9), clips_per_video=st.integers(1, 4)),
)


@given(videos(), samplings, st.integers(0, 2**32))
def test_properties_of_any_clip(timestamps, sampling, seed):
    for clips in (
        sample_clips(timestamps, sampling, np.random.default_rng(seed)),
        spread_clips(timestamps, sampling),
    ):
        assert clips.shape == (sampling.clips_per_video, sampling.num_frames)
        assert clips.dtype == np.int64
        assert clips.min() >= 0
        assert clips.max() < len(timestamps)
        assert (np.diff(clips, axis=1) >= 0).all()
    if sampling.stride and len(timestamps) > (sampling.num_frames - 1) * sampling.stride:
        assert (np.diff(clips, axis=1) == sampling.stride).all()


@given(videos(), st.integers(1, 12), st.floats(1, 30), st.integers(0, 2**32))
def test_the_frame_shown_at_each_moment(timestamps, frames, fps, seed):
    """Moments lie 1 / fps apart; the frame taken is the last that appeared by then."""
    (clip,) = sample_clips(timestamps, ClipSampling(frames, fps=fps), np.random.default_rng(seed))
    lasting = np.median(np.diff(timestamps)) if len(timestamps) > 1 else 0
    room = max(0.0, timestamps[-1] + lasting - (frames - 1) / fps - 2e-6)
    begin = np.random.default_rng(seed).random() * room
    for k, index in enumerate(clip):
        moment = begin + k / fps
        assert timestamps[index] <= moment + 1e-5
        assert index == len(timestamps) - 1 or timestamps[index + 1] > moment - 1e-5


@given(videos(), samplings, st.floats(0, 3), st.floats(0.01, 3), st.integers(0, 9))
def test_ranges_are_kept(timestamps, sampling, start, length, seed):
    end = start + length
    shown = [
        i
        for i, t in enumerate(timestamps)
        if t < end and (i + 1 == len(timestamps) or timestamps[i + 1] > start)
    ]
    try:
        clips = sample_clips(timestamps, sampling, np.random.default_rng(seed), start, end)
    except EmptyRangeError:
        assert start > timestamps[-1] - 1e-5
        return
    assert min(shown) - 1 <= clips.min()  # a frame that ends within a microsecond of the start may count
    assert clips.max() <= max(shown)


def test_every_valid_start_is_equally_likely():
    for sampling in (ClipSampling(16), ClipSampling(16, fps=25.0), ClipSampling(6, stride=3)):
        many = ClipSampling(sampling.num_frames, sampling.fps, sampling.stride, clips_per_video=20000)
        starts, counts = np.unique(sample_clips(steady(20), many, rng())[:, 0], return_counts=True)
        assert starts.tolist() == [0, 1, 2, 3, 4]
        assert counts.min() > 3700


def test_the_stride_is_the_stride():
    (clip,) = sample_clips(steady(64), ClipSampling(16, stride=4), rng())
    assert np.diff(clip).tolist() == [4] * 15
    assert sample_clips(steady(61), ClipSampling(16, stride=4), rng()).tolist() == [list(range(0, 61, 4))]


def test_half_the_rate_takes_every_second_frame():
    (clip,) = sample_clips(steady(100, 30.0), ClipSampling(16, fps=15.0), rng())
    assert np.diff(clip).tolist() == [2] * 15


def test_rates_below_the_asked_one_repeat_frames():
    (clip,) = spread_clips(steady(8, 5.0), ClipSampling(16, fps=10.0))
    assert clip.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]


def test_variable_rate_follows_time_not_number():
    timestamps = np.array([0.0, 0.1, 0.2, 0.3, 1.3, 2.3])
    assert spread_clips(timestamps, ClipSampling(5, fps=2.0)).tolist() == [[1, 3, 3, 4, 4]]  # from 0.15 s on


def test_short_videos_hold_their_last_frame():
    for sampling in (ClipSampling(6), ClipSampling(6, fps=25.0)):
        assert sample_clips(steady(3), sampling, rng()).tolist() == [[0, 1, 2, 2, 2, 2]]
        assert spread_clips(steady(3), sampling).tolist() == [[0, 1, 2, 2, 2, 2]]
    assert sample_clips(steady(1), ClipSampling(3, fps=8.0), rng()).tolist() == [[0, 0, 0]]


def test_spread_clips_reach_both_ends_and_one_lies_in_the_middle():
    spread = spread_clips(steady(100), ClipSampling(10, clips_per_video=4))
    assert spread[:, 0].tolist() == [0, 30, 60, 90]
    assert spread[-1, -1] == 99
    assert spread_clips(steady(100), ClipSampling(10))[0, 0] == 45
    assert spread_clips(steady(100), ClipSampling(10, fps=25.0, clips_per_video=4))[:, 0].tolist() == [
        0,
        30,
        60,
        90,
    ]


def test_a_range_of_seconds():
    clips = sample_clips(steady(100), ClipSampling(10, clips_per_video=500), rng(), start=1.0, end=2.0)
    assert (clips.min(), clips.max()) == (25, 49)
    with pytest.raises(
        EmptyRangeError, match=r"no frame is shown from 4\.0 s to 9\.0 s: the video lasts 4\.000 s"
    ):
        sample_clips(steady(100), ClipSampling(10), rng(), start=4.0, end=9.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 0}, "num_frames is 0"),
        ({"num_frames": 4, "clips_per_video": 0}, "clips_per_video 0"),
        ({"num_frames": 4, "fps": 4.0, "stride": 2}, "give one of them"),
        ({"num_frames": 4, "fps": 0.0}, "fps is 0.0"),
        ({"num_frames": 4, "stride": 0}, "stride is 0"),
    ],
)
def test_impossible_sampling_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipSampling(**arguments)
