"""The exact reader: PyAV, by an index of the file's packets, checked against what decodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, dropwhile, repeat

import av
import numpy as np
from av.video.stream import VideoStream

from vjepa.data.readers.border import GuardedReader, check_bytes
from vjepa.data.readers.decoding import Decoding, usual_step
from vjepa.data.readers.pixels import RgbWriter

SHORT = 64  # frames; a shorter video decodes whole sooner than it is indexed and searched
KEPT_BYTES = 96 * 2**20  # decoded frames, not yet RGB, that a reader keeps
SEEK_GAIN = 4  # frames; a jump that saves fewer costs more than it saves


class _IndexDisagreesError(Exception):
    """Decoding gave another frame than the packets promised."""


class PyAVReader(GuardedReader):
    """Frame-exact random access to a video file with PyAV.

    Short videos are decoded whole, once, and only wanted frames are converted to RGB. Longer ones
    are indexed by their packets; a read seeks to the last keyframe at or before a wanted frame and
    checks every frame that comes out against the index. Where the packets are no sound index, one
    pass of decoding defines the frames; where only a later read shows that, the timeline stays as
    it was promised and a frame that does not decode repeats the one before it, as in a player.

    Frames come upright: rotation and mirroring in the metadata are applied, sample aspect ratios
    are not. Of a damaged file, the frames are those that decode, and `damage` says so. Frames are known
    by their number: where times repeat or start again, each frame still comes once, in the decoder's order.

    Args:
        path: a video file; `VideoDecodeError`, here or at the first read, where nothing in it decodes.
    """

    name = "pyav"

    def __init__(self, path: str) -> None:
        self.path = path
        self._decoding = Decoding(path)
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0  # position of the frame that comes out of `_frames` next
        self._kept: list[av.VideoFrame] = []  # all frames, or none
        self._seeks = True
        self._complete = False  # whether every packet has been decoded
        try:
            self._learn_timeline()
        except BaseException:
            self.close()
            raise
        codec = self._decoding.stream.codec_context
        self._rgb = RgbWriter(path, codec.width, codec.height)

    @property
    def damage(self) -> str | None:
        """As of `VideoReader`. Passes from the first frame find it; reads of a whole file that seek do not."""
        return self._decoding.signs.words()

    @property
    def seeks(self) -> bool:
        """Whether decoding can start at this file's keyframes, as far as it was tried; False for one decoded whole."""
        return self._seeks and bool(self._keyframes.size)

    @property
    def keyframes(self) -> np.ndarray:
        """Positions of frames that call themselves keyframes, as far as they are known: int64, ascending."""
        if not self._kept:
            return self._keyframes
        return np.flatnonzero([frame.key_frame for frame in self._kept])

    def examine(self) -> None:
        """Decode every frame once, none to RGB."""
        if self._complete:
            return
        for _ in self._decoding.from_start():
            pass
        self._frames, self._next, self._complete = iter(()), len(self._pts), True

    def close(self) -> None:
        """Close the file and let go of the frames."""
        self._frames, self._kept = iter(()), []
        self._decoding.close()

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        wanted, inverse_T = np.unique(index_T, return_inverse=True)
        frames_THWC = self._read(wanted)
        if np.array_equal(inverse_T, np.arange(len(wanted))):
            return frames_THWC
        check_bytes(self.path, self.name, len(index_T), frames_THWC[0].nbytes)  # repeats are copies
        return frames_THWC[inverse_T]

    def _learn_timeline(self) -> None:
        stream = self._decoding.stream
        time_base = float(stream.time_base or 1)
        index = None if _is_short(stream) else self._decoding.index()
        # A header that claims another count is no proof of damage, but reason enough to look.
        if index is None or stream.frames not in (0, len(index.pts)):
            self._decode_all()
            self._pts = self._decoded_pts
            self._keyframes = np.empty(0, dtype=np.int64)  # nowhere to seek to
        else:
            self._pts, self._keyframes = index.pts, index.keyframes
            self._next = len(self._pts)
        self.timestamps = spread_repeats(
            (self._pts - self._pts[0]) * time_base, usual_step(stream) * time_base
        )

    def _decode_all(self) -> None:
        """Define the frames by decoding them; keep them where they are small enough."""
        pts: list[int] = []
        step = usual_step(self._decoding.stream)
        kept_bytes = 0
        self._kept = []
        for frame in self._decoding.from_start():
            pts.append(frame.pts if frame.pts is not None else (pts[-1] + step if pts else 0))
            kept_bytes += sum(plane.buffer_size for plane in frame.planes)
            if kept_bytes <= KEPT_BYTES:
                self._kept.append(frame)
        if not pts:
            raise self._decoding.failure()
        if kept_bytes > KEPT_BYTES:
            self._kept = []
        # Decoders give frames in the order of display; in AVI files the times may not be (packed
        # B-frames) though they are right as a set.
        self._decoded_pts = np.sort(np.asarray(pts, dtype=np.int64))
        self._next, self._complete = len(pts), True

    def _read(self, wanted: np.ndarray) -> np.ndarray:
        """RGB ``(T, H, W, C)`` of the frames at ascending positions."""
        while self._keyframes.size:
            try:
                return self._rgb.convert(self._by_index(wanted), len(wanted))
            except _IndexDisagreesError:
                self._distrust()
        return self._rgb.convert(self._in_order(self._shown(wanted)), len(wanted))

    def _shown(self, wanted: np.ndarray) -> np.ndarray:
        """Which of the frames that decode stand at promised positions: by number, since times may repeat.

        Only where fewer or more decode than the packets promised do their times decide, which are all different then.
        """
        if len(self._decoded_pts) == len(self._pts):
            return wanted
        shown: np.ndarray = np.searchsorted(self._decoded_pts, self._pts[wanted], side="right") - 1
        return shown.clip(min=0)

    def _distrust(self) -> None:
        """Stop seeking at first (go through from the first frame), then stop using the index."""
        self._next = len(self._pts)
        if self._seeks:
            self._seeks, self._keyframes = False, self._keyframes[:1]
        else:
            self._keyframes = self._keyframes[:0]
            self._decode_all()

    def _by_index(self, wanted: np.ndarray) -> Iterator[av.VideoFrame]:
        """Frames at ascending positions, each known by its presentation time."""
        for position in wanted.tolist():
            keyframe = int(self._keyframes[np.searchsorted(self._keyframes, position, side="right") - 1])
            if position < self._next or keyframe > self._next + SEEK_GAIN:
                self._start_at(keyframe)
            yield self._frame_at(position)

    def _frame_at(self, position: int) -> av.VideoFrame:
        for frame in self._frames:
            if frame.pts != self._pts[self._next] or frame.is_corrupt:
                break
            self._next += 1
            if self._next > position:
                return frame
        raise _IndexDisagreesError

    def _start_at(self, keyframe: int) -> None:
        pts = int(self._pts[keyframe])
        try:
            frames = self._decoding.from_keyframe(pts) if self._seeks else self._decoding.from_start()
        except av.error.FFmpegError as error:  # this container does not seek
            raise _IndexDisagreesError from error
        # After a jump into an open group of pictures, frames shown before its keyframe may be garbage.
        frames = dropwhile(lambda frame: frame.pts is not None and frame.pts < pts, frames)
        first = next(frames, None)
        # Some files call frames keyframes that are none: decoding from there gives garbage.
        if first is None or first.pts != pts or not first.key_frame:
            raise _IndexDisagreesError
        self._frames, self._next = chain([first], frames), keyframe

    def _in_order(self, wanted: np.ndarray) -> Iterable[av.VideoFrame]:
        """Frames at positions that do not descend, counted as they come out of the decoder."""
        if self._kept:
            return (self._kept[position] for position in wanted.tolist())
        return self._counted(wanted)

    def _counted(self, wanted: np.ndarray) -> Iterator[av.VideoFrame]:
        positions, counts = np.unique(wanted, return_counts=True)
        for position, times in zip(positions.tolist(), counts.tolist(), strict=True):
            if position < self._next:
                self._frames, self._next = self._decoding.from_start(), 0
            for frame in self._frames:
                self._next += 1
                if self._next > position:
                    yield from repeat(frame, times)
                    break


def _is_short(stream: VideoStream) -> bool:
    """A guess from the header, which decides about the way only, never about the frames."""
    claimed = stream.frames
    if not claimed and stream.duration and stream.average_rate and stream.time_base:
        claimed = int(stream.duration * stream.time_base * stream.average_rate)
    return 0 < claimed <= SHORT


def spread_repeats(times: np.ndarray, step: float) -> np.ndarray:
    """Times without repeats: frames at the same time share what is left until the next one, the last ones `step` seconds.

    A clip is chosen by time, and of two frames at one time the first would never be in any.
    """
    different, first = np.unique(times, return_index=True)
    if len(different) == len(times):
        return times
    ends = np.append(first, len(times))
    return np.interp(np.arange(len(times)), ends, np.append(different, different[-1] + step))
