"""An open file from which frames come out in the decoder's order."""

from __future__ import annotations

from collections.abc import Iterator

import av

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.packets import PacketIndex, open_stream, read_index


class Decoding:
    """Decodes one video from its start or from a keyframe, and passes over packets that do not decode.

    Attributes:
        broken_packets: how many were refused since the last start from the beginning.
        error: the first refusal, None without one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.container, self.stream = open_stream(path)
        self.broken_packets = 0
        self.error: Exception | None = None
        self._at_start = True

    def index(self) -> PacketIndex | None:
        """The file's packet index, see `read_index`."""
        self._at_start = False
        return read_index(self.container, self.stream)

    def from_start(self) -> Iterator[av.VideoFrame]:
        """All frames. The file is opened anew, since not every container can be wound back exactly."""
        if not self._at_start:
            self.container.close()
            self.container, self.stream = open_stream(self.path)
        self.broken_packets = 0
        return self._frames()

    def from_keyframe(self, pts: int) -> Iterator[av.VideoFrame]:
        """Frames from the keyframe shown at `pts` on, perhaps with earlier ones that lean on its past."""
        self._at_start = False
        # "backward" seeks by decoding time, which is at or before the time of presentation.
        self.container.seek(pts, stream=self.stream, backward=True)
        return self._frames()

    def close(self) -> None:
        """Close the file; PyAV leaves that to the collector otherwise."""
        self.container.close()

    def _frames(self) -> Iterator[av.VideoFrame]:
        self._at_start = False
        for packet in self._packets():
            # An empty packet in mid-stream would tell the decoder that the video is over.
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self._refuse(error)
                continue
            yield from frames

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(self.stream)
        except av.error.FFmpegError as error:  # the rest of the file is lost
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self.broken_packets += 1
        self.error = self.error or error

    def failure(self) -> VideoDecodeError:
        """The error for a video of which nothing decoded."""
        cause = f"no frame decodes ({self.broken_packets} packets refused"
        cause += f", the first with {type(self.error).__name__}: {self.error})" if self.error else ")"
        return VideoDecodeError(self.path, "pyav", cause)
