"""Chooses the frames of a clip, by presentation time or by frame number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Tolerance in seconds for comparing times. Times in files are multiples of 1/90000 s or similar;
# floating-point rounding must not select a neighbouring frame.
TICK = 1e-6


class EmptyRangeError(ValueError):
    """A time range of a video has no frame, or fewer than are needed."""


@dataclass(frozen=True)
class ClipSampling:
    """Length, frame rate and number of the clips taken from a video.

    Attributes:
        num_frames: Number of frames in a clip.
        fps: Frame rate of a clip in frames per second. Frames are chosen by presentation time, which handles
            variable frame rates; where no new frame is shown, for example because the video's frame rate is
            lower, the current frame is repeated. null chooses frames by `stride`.
        stride: Takes every stride-th frame by number, regardless of its time, instead of choosing by `fps`.
            If both are null, the stride is 1.
        clips_per_video: Number of clips taken each time a video is decoded.
    """

    num_frames: int
    fps: float | None = None
    stride: int | None = None
    clips_per_video: int = 1

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.clips_per_video < 1:
            raise ValueError(
                f"num_frames is {self.num_frames} and clips_per_video {self.clips_per_video}: "
                "both must be at least 1"
            )
        if self.fps is not None and self.stride is not None:
            raise ValueError(
                f"fps is {self.fps} and stride is {self.stride}: give one of them, null the other"
            )
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"fps is {self.fps}: give a number of frames a second above 0")
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"stride is {self.stride}: give 1 for every frame, 2 for every second one, ...")


def sample_clips(
    timestamps: np.ndarray,
    sampling: ClipSampling,
    rng: np.random.Generator,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Return frame numbers of randomly placed clips: int64 ``(R, num_frames)``, non-decreasing within a clip.

    The start of each clip is uniform over the times (with a stride: the frames) from which a whole clip fits;
    clips of one video may overlap. If the range is shorter than a clip, the clip starts at its beginning and
    repeats the last frame.

    Args:
        timestamps: Times in seconds at which the frames appear, float64 ``(frames,)``, ascending from 0.
        sampling: Length, frame rate and number of the clips.
        rng: Generator from which the starts are drawn.
        start, end: Time range in seconds; only frames shown in ``[start, end)`` are used. None leaves that
            side open.

    Raises:
        EmptyRangeError: No frame is shown in the range.
        ValueError: The range starts before 0 s, or an end of it is no finite number.
    """
    window = _window(timestamps, sampling, start, end)
    # The latest start is the one from which the clip's last frame still lies within the window.
    room = max(0.0, window.end - window.begin - window.span - 2 * TICK)
    return window.frames_from(window.begin + rng.random(sampling.clips_per_video) * room)


def spread_clips(
    timestamps: np.ndarray, sampling: ClipSampling, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Return frame numbers of clips evenly spaced over the range; a single clip lies in its middle.

    Deterministic; for evaluation. For arguments, result and errors see `sample_clips`.
    """
    window = _window(timestamps, sampling, start, end)
    latest = max(window.begin, window.clock[window.last] - window.span)
    if sampling.clips_per_video == 1:
        return window.frames_from(np.array([(window.begin + latest) / 2]))
    return window.frames_from(np.linspace(window.begin, latest, sampling.clips_per_video))


def check_range(start: float | None, end: float | None, where: str = "the range") -> None:
    """Raise ValueError unless a time range starts at 0 s or later and both of its ends are finite.

    Args:
        start, end: Time range in seconds; None leaves that side open.
        where: What the range belongs to, for the message.
    """
    for name, seconds in (("start", start), ("end", end)):
        if seconds is not None and not math.isfinite(seconds):
            raise ValueError(f"{where} has {name} = '{seconds}': give a number of seconds")
    if start is not None and start < 0:
        raise ValueError(f"{where} starts at {start} s: give seconds from the first frame, 0 or more")


def frame_duration(timestamps: np.ndarray) -> float:
    """Return the median time in seconds that a frame is shown; 1/25 s for a single frame.

    It also stands for the duration of the last frame, whose end no timestamp gives.
    """
    return float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 1 / 25


@dataclass(frozen=True, slots=True)
class _Window:
    """The range of a video that clips are taken from, in seconds (with fps) or frame numbers (with stride).

    Attributes:
        clock: Time or number of every frame of the video.
        begin, end: Range, in the unit of `clock`.
        first, last: Numbers of the first and the last frame shown in the range.
        period: Distance between a clip's frames, in the unit of `clock`.
        num_frames: Number of frames in a clip.
    """

    clock: np.ndarray
    begin: float
    end: float
    first: int
    last: int
    period: float
    num_frames: int

    @property
    def span(self) -> float:
        """Distance from a clip's first frame to its last, in the unit of `clock`."""
        return (self.num_frames - 1) * self.period

    def frames_from(self, begins: np.ndarray) -> np.ndarray:
        """Return the frame numbers of clips with these starts: int64 ``(R, num_frames)``."""
        moments = begins[:, None] + np.arange(self.num_frames) * self.period
        shown = np.searchsorted(self.clock, moments + TICK, side="right") - 1
        return shown.clip(self.first, self.last).astype(np.int64)


def _window(
    timestamps: np.ndarray, sampling: ClipSampling, start: float | None, end: float | None
) -> _Window:
    check_range(start, end)
    over = float(timestamps[-1]) + max(frame_duration(timestamps), 2 * TICK)
    begin = 0.0 if start is None else start
    close = over if end is None else min(end, over)
    first = int(np.searchsorted(timestamps, begin + TICK, side="right")) - 1
    last = int(np.searchsorted(timestamps, close - TICK, side="left")) - 1
    if begin >= over or last < first:
        raise EmptyRangeError(
            f"no frame is shown from {begin} s to {close if end is None else end} s: the video lasts "
            f"{over:.3f} s; correct start and end"
        )
    if sampling.fps is not None:
        return _Window(timestamps, begin, close, first, last, 1 / sampling.fps, sampling.num_frames)
    numbers = np.arange(len(timestamps), dtype=np.float64)
    return _Window(numbers, first, last + 1, first, last, sampling.stride or 1, sampling.num_frames)
