"""Sequential decoding of a video file with PyAV, tolerant of damage."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.stream import VideoStream

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import cause_of, check_pixels
from vjepa.data.readers.damage import HeaderCount, Marks, Signs, bytes_cut
from vjepa.data.readers.packets import PacketIndex, open_stream, read_index

# Seconds by which a packet's decoding time may fall behind that of the previous packet; more means that the
# file's clock was reset. Same value as in FFmpeg's command line: ts_discontinuity_detect in
# fftools/ffmpeg_demux.c, n7.1.
SET_BACK = 0.1


class Decoding:
    """Decodes one video from its start or from a keyframe, and skips packets that do not decode.

    If the file's times start again (two recordings joined into one file), they are shifted to continue.

    Args:
        path: A video file; `VideoDecodeError` if it does not open.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.container, self.stream = open_stream(path)
        self._at_start = True
        self._error: Exception | None = None
        self._signs = Signs()  # of the current pass from the start
        self._earlier = Signs(cut=bytes_cut(path))  # of all earlier passes

    @property
    def signs(self) -> Signs:
        """Damage found so far by passes from the start.

        Passes after a seek do not count: there a decoder may refuse packets and mark frames of intact files,
        because these depend on skipped frames.
        """
        return self._earlier.most(self._signs)

    def index(self) -> PacketIndex | None:
        """Read the file's packet index, see `read_index`."""
        self._at_start = False
        return read_index(self.container, self.stream)

    def from_start(self) -> Iterator[av.VideoFrame]:
        """Decode all frames of the file, which is opened again: not every container can seek to its start."""
        if not self._at_start:
            self.container.close()
            self.container, self.stream = open_stream(self.path)
        self._earlier, self._signs = self.signs, Signs()
        return self._frames(self._signs)

    def from_keyframe(self, pts: int) -> Iterator[av.VideoFrame]:
        """Decode from the keyframe shown at `pts` on.

        Earlier frames, which depend on skipped ones, may come first.
        """
        # "backward" seeks by decoding time, which is at or before the presentation time.
        self.container.seek(pts, stream=self.stream, backward=True)
        return self._frames(Signs())

    def close(self) -> None:
        """Close the file; PyAV otherwise leaves this to the garbage collector."""
        self.container.close()

    def _frames(self, signs: Signs) -> Iterator[av.VideoFrame]:
        self._at_start = False
        for packet in self._packets(signs):
            # The decoder would take an empty packet in mid-stream for the end of the video.
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = packet.decode()
            except Exception as error:  # damage can raise anything
                self._refuse(error, signs)
                continue
            for frame in frames:
                check_pixels(self.path, "pyav", frame.width, frame.height)
                signs.corrupt += frame.is_corrupt
                yield frame

    def _packets(self, signs: Signs) -> Iterator[av.Packet]:
        """Read all packets with continuous times; at the end, the number of missing frames is set."""
        counted = HeaderCount(self.path, self.container.format.name, self.stream.frames)
        clock, marks = _Clock(self.stream), Marks()
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except Exception as error:  # the rest of the file is lost
                self._refuse(error, signs)
                packet = None
            if packet is None:
                break
            if packet.size or packet.dts is not None:
                counted.count(packet)
                signs.marked = marks.count(packet)
                clock.carry_on(packet)
            yield packet
        signs.missing = counted.missing()

    def _refuse(self, error: Exception, signs: Signs) -> None:
        signs.refused += 1
        self._error = self._error or error

    def failure(self) -> VideoDecodeError:
        """Return the error for a video of which no frame decodes."""
        cause = f"no frame decodes ({self._signs.refused} packets refused"
        cause += f", the first with {cause_of(self._error)})" if self._error else ")"
        return VideoDecodeError(self.path, "pyav", cause)


class _Clock:
    """Keeps the times of packets continuous where the file's own times start again."""

    def __init__(self, stream: VideoStream) -> None:
        self._slack = SET_BACK / float(stream.time_base or 1)
        self._step = usual_step(stream)
        self._offset = 0
        self._last: int | None = None

    def carry_on(self, packet: av.Packet) -> None:
        """Shift a packet's times to follow the previous packet if the file's clock was reset."""
        if packet.dts is None:
            return
        if self._last is not None and packet.dts + self._offset + self._slack < self._last:
            self._offset = self._last + self._step - packet.dts
        if self._offset:
            packet.dts += self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset
        self._last = packet.dts


def usual_step(stream: VideoStream) -> int:
    """Return the usual time between frames in units of the stream's time base, for frames without a time."""
    if not stream.average_rate or not stream.time_base:
        return 1
    return max(1, round(1 / (stream.average_rate * stream.time_base)))
