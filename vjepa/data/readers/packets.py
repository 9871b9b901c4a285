"""Index of a video file: its frames' times and keyframes, from the packets, without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import cause_of, check_pixels


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """Presentation times and keyframes of the frames that the packets announce.

    Attributes:
        pts: Presentation times in units of `time_base`, int64 ``(frames,)``, ascending.
        keyframes: Positions in `pts` at which decoding can start, int64, ascending; the first is 0.
        time_base: Unit of `pts` in seconds.
    """

    pts: np.ndarray
    keyframes: np.ndarray
    time_base: Fraction


def open_stream(path: str) -> tuple[InputContainer, VideoStream]:
    """Open a file and its main video stream, with one decoding thread.

    Of several video streams, the one that players choose is taken, which is not always the first.

    Raises:
        VideoDecodeError: The file does not open, has no known video stream, or its frames are too large.
    """
    try:
        # Tags that are not UTF-8 would raise otherwise, and are not needed.
        container = av.open(path, metadata_errors="ignore")
    except Exception as error:
        raise VideoDecodeError(path, "pyav", f"it does not open: {cause_of(error)}") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        container.close()
        raise VideoDecodeError(path, "pyav", "it has no video stream that this FFmpeg knows")
    try:
        check_pixels(path, "pyav", stream.codec_context.width, stream.codec_context.height)
    except VideoDecodeError:
        container.close()
        raise
    stream.codec_context.thread_count = 1
    return container, stream


def read_index(container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Read the index from all packets; None if they do not give a reliable one.

    They do not if times are missing, repeated or start again, the stream does not begin with a keyframe,
    packets are damaged, or FFmpeg guessed the times (AVI). The container is left at its end: seek before
    decoding.
    """
    pts: list[int] = []
    keys: list[bool] = []
    clock: int | None = None
    try:
        for packet in container.demux(stream):
            if packet.dts is None and not packet.size:
                continue  # the empty packet that ends the stream
            if packet.pts is None or packet.is_corrupt or not packet.size or _is_before(packet, clock):
                return None
            clock = clock if packet.dts is None else packet.dts
            # Edit lists mark frames to be decoded but not shown.
            if not packet.is_discard:
                pts.append(packet.pts)
                keys.append(packet.is_keyframe)
    except Exception:
        return None  # sequential decoding will find and report the same damage
    if not pts:
        return None
    order = np.argsort(pts, kind="stable")
    # AVI stores no presentation times: if frames are reordered (UCF101's packed B-frames), FFmpeg's guesses
    # are wrong.
    if container.format.name == "avi" and np.any(np.diff(order) < 0):
        return None
    sorted_pts = np.asarray(pts, dtype=np.int64)[order]
    keyframes = np.flatnonzero(np.asarray(keys)[order])
    if np.any(np.diff(sorted_pts) == 0) or not keyframes.size or keyframes[0]:
        return None
    return PacketIndex(sorted_pts, keyframes, stream.time_base or Fraction(1, 1))


def _is_before(packet: av.Packet, clock: int | None) -> bool:
    """Return whether the file's times start again; then two frames may have the same time."""
    return clock is not None and packet.dts is not None and packet.dts < clock
