"""An open file from which frames come out in the decoder's order."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.stream import VideoStream

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import cause_of, check_pixels
from vjepa.data.readers.damage import HeaderCount, Marks, Signs, bytes_cut
from vjepa.data.readers.packets import PacketIndex, open_stream, read_index

# Seconds by which a packet's decoding time may fall behind the one before; more means that the clock was set back.
# The same as in FFmpeg's command line: ts_discontinuity_detect in fftools/ffmpeg_demux.c, n7.1.
SET_BACK = 0.1


class Decoding:
    """Decodes one video from its start or from a keyframe, and passes over packets that do not decode.

    Where times start again (two recordings joined into one file), they go on from where they were.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.container, self.stream = open_stream(path)
        self._at_start = True
        self._error: Exception | None = None
        self._signs = Signs()  # of the pass from the start that runs now
        self._earlier = Signs(cut=bytes_cut(path))

    @property
    def signs(self) -> Signs:
        """Damage that was found so far by passes from the start.

        After a jump a decoder may refuse packets and mark frames of sound files: they lean on what was passed over.
        """
        return self._earlier.most(self._signs)

    def index(self) -> PacketIndex | None:
        """The file's packet index, see `read_index`."""
        self._at_start = False
        return read_index(self.container, self.stream)

    def from_start(self) -> Iterator[av.VideoFrame]:
        """All frames. The file is opened anew, since not every container can be wound back exactly."""
        if not self._at_start:
            self.container.close()
            self.container, self.stream = open_stream(self.path)
        self._earlier, self._signs = self.signs, Signs()
        return self._frames(self._signs)

    def from_keyframe(self, pts: int) -> Iterator[av.VideoFrame]:
        """Frames from the keyframe shown at `pts` on, perhaps with earlier ones that lean on its past."""
        # "backward" seeks by decoding time, which is at or before the time of presentation.
        self.container.seek(pts, stream=self.stream, backward=True)
        return self._frames(Signs())

    def close(self) -> None:
        """Close the file; PyAV leaves that to the collector otherwise."""
        self.container.close()

    def _frames(self, signs: Signs) -> Iterator[av.VideoFrame]:
        self._at_start = False
        for packet in self._packets(signs):
            # An empty packet in mid-stream would tell the decoder that the video is over.
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = packet.decode()
            except Exception as error:  # damage; what kind of exception it is has no meaning
                self._refuse(error, signs)
                continue
            for frame in frames:
                check_pixels(self.path, "pyav", frame.width, frame.height)
                signs.corrupt += frame.is_corrupt
                yield frame

    def _packets(self, signs: Signs) -> Iterator[av.Packet]:
        """All packets, their times carried on; at the end it is known what is missing."""
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
        """The error for a video of which nothing decoded."""
        cause = f"no frame decodes ({self._signs.refused} packets refused"
        cause += f", the first with {cause_of(self._error)})" if self._error else ")"
        return VideoDecodeError(self.path, "pyav", cause)


class _Clock:
    """Times of packets that go on where the file's own times start again."""

    def __init__(self, stream: VideoStream) -> None:
        self._slack = SET_BACK / float(stream.time_base or 1)
        self._step = usual_step(stream)
        self._offset = 0
        self._last: int | None = None

    def carry_on(self, packet: av.Packet) -> None:
        """Move a packet's times behind those of the packet before, where they fall back."""
        if packet.dts is None:
            return
        if self._last is not None and packet.dts + self._offset + self._slack < self._last:
            self._offset = self._last + self._step - packet.dts
        if self._offset:
            packet.dts += self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset
        self._last = packet.dts


def usual_step(stream: VideoStream) -> int:
    """Units of time between two frames, for frames that carry no time."""
    if not stream.average_rate or not stream.time_base:
        return 1
    return max(1, round(1 / (stream.average_rate * stream.time_base)))
