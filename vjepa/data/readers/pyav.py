"""The exact reader: PyAV with an index of the file's packets that is checked against the decoded frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, dropwhile, repeat

import av
import numpy as np
from av.video.stream import VideoStream

from vjepa.data.readers.border import GuardedReader, check_bytes
from vjepa.data.readers.decoding import Decoding, usual_step
from vjepa.data.readers.pixels import RgbWriter

SHORT = 64  # Videos of at most this many frames are decoded whole, which is faster than indexing and seeking.
KEPT_BYTES = 96 * 2**20  # Largest size of the decoded frames, before conversion to RGB, that a reader keeps.
SEEK_GAIN = 4  # A seek that skips no more than this many frames costs more time than it saves.


class _IndexDisagreesError(Exception):
    """Decoding gave another frame than the index announced."""


class PyAVReader(GuardedReader):
    """Frame-exact random access to a video file with PyAV.

    Short videos are decoded whole, once, and only the requested frames are converted to RGB. Longer ones are
    indexed by their packets; a read seeks to the last keyframe at or before a requested frame and checks
    every decoded frame against the index. If the packets are not a reliable index, one pass of decoding
    defines the frames. If only a later read shows this, the timestamps stay those of the index, and a frame
    that does not decode repeats the previous one, as in a player.

    Frames are upright: rotation and mirroring in the metadata are applied; sample aspect ratios are not. A
    damaged file has the frames that decode, and `damage` describes the damage. Frames are identified by their
    number: if times repeat or start again, each frame still occurs once, in the decoder's order.

    Args:
        path: A video file.

    Raises:
        VideoDecodeError: No frame decodes, which is found here or at the first read.
    """

    name = "pyav"

    def __init__(self, path: str) -> None:
        self.path = path
        self._decoding = Decoding(path)
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0  # position of the next frame of `_frames`
        self._kept: list[av.VideoFrame] = []  # all frames of a small video, else empty
        self._seeks = True
        self._complete = False  # whether every packet has been decoded in one pass
        try:
            self._learn_timeline()
        except BaseException:
            self.close()
            raise
        codec = self._decoding.stream.codec_context
        self._rgb = RgbWriter(path, codec.width, codec.height)

    @property
    def damage(self) -> str | None:
        """Damage found so far, see `VideoReader`; only passes from the first frame find it, not seeks."""
        return self._decoding.signs.words()

    @property
    def seeks(self) -> bool:
        """Whether reads seek to keyframes; False after a failed seek, and for a video decoded whole."""
        return self._seeks and bool(self._keyframes.size)

    @property
    def keyframes(self) -> np.ndarray:
        """Positions of frames that are marked as keyframes, as far as known: int64, ascending."""
        if not self._kept:
            return self._keyframes
        return np.flatnonzero([frame.key_frame for frame in self._kept])

    def examine(self) -> None:
        """Decode every frame once, without conversion to RGB."""
        if self._complete:
            return
        for _ in self._decoding.from_start():
            pass
        self._frames, self._next, self._complete = iter(()), len(self._pts), True

    def close(self) -> None:
        """Close the file and release the frames."""
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
        # Another number of frames in the header is no proof of damage, but reason enough to decode all.
        if index is None or stream.frames not in (0, len(index.pts)):
            self._decode_all()
            self._pts = self._decoded_pts
            self._keyframes = np.empty(0, dtype=np.int64)  # turns seeking off
        else:
            self._pts, self._keyframes = index.pts, index.keyframes
            self._next = len(self._pts)
        self.timestamps = spread_repeats(
            (self._pts - self._pts[0]) * time_base, usual_step(stream) * time_base
        )

    def _decode_all(self) -> None:
        """Decode the video to learn its frames; keep them if they fit into `KEPT_BYTES`."""
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
        # Decoders return frames in display order. In AVI files with packed B-frames their times may be out of
        # order, but are right as a set.
        self._decoded_pts = np.sort(np.asarray(pts, dtype=np.int64))
        self._next, self._complete = len(pts), True

    def _read(self, wanted: np.ndarray) -> np.ndarray:
        """Read the frames at ascending positions: uint8 RGB ``(T, H, W, C)``."""
        while self._keyframes.size:
            try:
                return self._rgb.convert(self._by_index(wanted), len(wanted))
            except _IndexDisagreesError:
                self._distrust()
        return self._rgb.convert(self._in_order(self._shown(wanted)), len(wanted))

    def _shown(self, wanted: np.ndarray) -> np.ndarray:
        """Map positions in the index to positions among the decoded frames.

        They are equal if the number of decoded frames is that of the index. Else the frames are matched by
        time, and the times are all different then.
        """
        if len(self._decoded_pts) == len(self._pts):
            return wanted
        shown: np.ndarray = np.searchsorted(self._decoded_pts, self._pts[wanted], side="right") - 1
        return shown.clip(min=0)

    def _distrust(self) -> None:
        """Stop seeking, and decode from the first frame on; the second time, stop using the index."""
        self._next = len(self._pts)
        if self._seeks:
            self._seeks, self._keyframes = False, self._keyframes[:1]
        else:
            self._keyframes = self._keyframes[:0]
            self._decode_all()

    def _by_index(self, wanted: np.ndarray) -> Iterator[av.VideoFrame]:
        """Yield the frames at ascending positions, identified by presentation time."""
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
        except av.error.FFmpegError as error:  # this container cannot seek
            raise _IndexDisagreesError from error
        # After a seek into an open group of pictures, frames shown before its keyframe may be garbage.
        frames = dropwhile(lambda frame: frame.pts is not None and frame.pts < pts, frames)
        first = next(frames, None)
        # Some files mark frames as keyframes that are none: decoding from there gives garbage.
        if first is None or first.pts != pts or not first.key_frame:
            raise _IndexDisagreesError
        self._frames, self._next = chain([first], frames), keyframe

    def _in_order(self, wanted: np.ndarray) -> Iterable[av.VideoFrame]:
        """Return the frames at non-decreasing positions, counted in the decoder's order."""
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
    """Guess from the header whether a video is short; a wrong guess costs time but does not change frames."""
    claimed = stream.frames
    if not claimed and stream.duration and stream.average_rate and stream.time_base:
        claimed = int(stream.duration * stream.time_base * stream.average_rate)
    return 0 < claimed <= SHORT


def spread_repeats(times: np.ndarray, step: float) -> np.ndarray:
    """Make repeated times distinct: frames at one time are spread over the interval to the next time.

    Clips are chosen by time, and the first of two frames at one time would never be chosen.

    Args:
        times: Times in seconds, ascending, perhaps with repeats.
        step: Length in seconds of the interval after the last time.
    """
    different, first = np.unique(times, return_index=True)
    if len(different) == len(times):
        return times
    ends = np.append(first, len(times))
    return np.interp(np.arange(len(times)), ends, np.append(different, different[-1] + step))
