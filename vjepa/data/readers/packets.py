"""The index of a video: what its packets say, learned by reading them without decoding."""

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
    """Presentation times of the frames that a file promises.

    `pts` int64 ``(frames,)``, ascending, in units of `time_base` seconds; `keyframes` int64: the
    positions in it where decoding can start, the first of them 0.
    """

    pts: np.ndarray
    keyframes: np.ndarray
    time_base: Fraction


def open_stream(path: str) -> tuple[InputContainer, VideoStream]:
    """Open a file and its main video stream, on one decoding thread; `VideoDecodeError` if it has none.

    Of several video streams it is the one that players choose, which isn't always the first.
    """
    try:
        # Tags that are not UTF-8 would raise; they do not matter here.
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
    """Read all packets; None where they cannot be the index: times missing, doubled or started again, a start in
    mid-stream, damage, or times that AVI files only feign.

    It leaves the container at its end: seek before decoding.
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
        return None  # decoding in order will meet the same damage and name it
    if not pts:
        return None
    order = np.argsort(pts, kind="stable")
    # AVI stores no presentation times: where frames are reordered (UCF101's packed B-frames) FFmpeg
    # guesses them, and guesses wrong.
    if container.format.name == "avi" and np.any(np.diff(order) < 0):
        return None
    sorted_pts = np.asarray(pts, dtype=np.int64)[order]
    keyframes = np.flatnonzero(np.asarray(keys)[order])
    if np.any(np.diff(sorted_pts) == 0) or not keyframes.size or keyframes[0]:
        return None
    return PacketIndex(sorted_pts, keyframes, stream.time_base or Fraction(1, 1))


def _is_before(packet: av.Packet, clock: int | None) -> bool:
    """Whether the file's times start again: then the same time may stand at two frames."""
    return clock is not None and packet.dts is not None and packet.dts < clock
