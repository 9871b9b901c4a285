"""Which frames make a clip: positions in a video, by presentation time or by counting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Times in files are multiples of 1/90000 s and the like; rounding must not move a frame.
TICK = 1e-6


class EmptyRangeError(ValueError):
    """A range of seconds in which the video has no frame."""


@dataclass(frozen=True)
class ClipSampling:
    """How clips are taken from a video.

    Attributes:
        num_frames: frames in a clip.
        fps: frames a second of a clip: presentation times decide, so that variable frame rates are
            handled; at moments without a new frame the one still shown is repeated, as when the
            video has fewer frames a second than asked.
        stride: instead of `fps`, every stride-th frame by number, whatever its time. Without
            either, 1.
        clips_per_video: how many clips are taken from one decoding.
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
    """Frame numbers of randomly placed clips: int64 ``(clips, num_frames)``, never descending in a clip.

    Each clip begins uniformly among the moments (with stride: the frames) from which a whole clip
    fits; clips of one video may overlap. In a range shorter than a clip, the clip begins with it and
    the last frame is held.

    Args:
        timestamps: seconds at which the frames appear, float64 ``(frames,)``, ascending from 0.
        sampling: how clips are taken.
        rng: the only source of chance.
        start, end: seconds; only frames shown in ``[start, end)`` are taken. `EmptyRangeError` where
            there are none.
    """
    window = _window(timestamps, sampling, start, end)
    # A clip may begin until the moment from which its last frame is still within the window.
    room = max(0.0, window.end - window.begin - window.span - 2 * TICK)
    return window.frames_from(window.begin + rng.random(sampling.clips_per_video) * room)


def spread_clips(
    timestamps: np.ndarray, sampling: ClipSampling, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Frame numbers of clips evenly spread from the first to the last that fits; one lies in the middle.

    For evaluation: no chance in it. Arguments, result and errors as of `sample_clips`.
    """
    window = _window(timestamps, sampling, start, end)
    latest = max(window.begin, window.clock[window.last] - window.span)
    if sampling.clips_per_video == 1:
        return window.frames_from(np.array([(window.begin + latest) / 2]))
    return window.frames_from(np.linspace(window.begin, latest, sampling.clips_per_video))


def frame_duration(timestamps: np.ndarray) -> float:
    """Seconds that most frames are shown, which is also taken for the last, whose end no timestamp gives.

    A single frame is taken to last 1/25 s.
    """
    return float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 1 / 25


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a video that clips come from, on a clock of seconds (fps) or frame numbers (stride).

    `clock` is what it shows at each frame; the frames `first` to `last` are shown from `begin` to
    `end`; a clip takes `num_frames` moments a `period` apart.
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
        """From a clip's first moment to its last."""
        return (self.num_frames - 1) * self.period

    def frames_from(self, begins: np.ndarray) -> np.ndarray:
        """The frames shown at the moments of clips that begin so: int64 ``(clips, num_frames)``."""
        moments = begins[:, None] + np.arange(self.num_frames) * self.period
        shown = np.searchsorted(self.clock, moments + TICK, side="right") - 1
        return shown.clip(self.first, self.last).astype(np.int64)


def _window(
    timestamps: np.ndarray, sampling: ClipSampling, start: float | None, end: float | None
) -> _Window:
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
