"""Signs of damage in a video file: what its decoder, its packets and its header say."""

from __future__ import annotations

import os
from dataclasses import dataclass

import av

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska's first two elements
SEAM = 4  # packets before a keyframe, whose marks say nothing: parsers hand on a packet some packets later


@dataclass(slots=True)
class Signs:
    """What one pass over a file met.

    Attributes:
        corrupt: frames that the decoder marks: something was missing or concealed in them.
        marked: packets that the container marks: bytes of them, or packets before them, are missing.
        refused: packets that it gave back with an error.
        missing: frames that the header counts and the file lacks.
        cut: bytes that the container counts and the file lacks.
    """

    corrupt: int = 0
    marked: int = 0
    refused: int = 0
    missing: int = 0
    cut: int = 0

    def most(self, other: Signs) -> Signs:
        """The worse of two passes over the same file."""
        return Signs(
            max(self.corrupt, other.corrupt),
            max(self.marked, other.marked),
            max(self.refused, other.refused),
            max(self.missing, other.missing),
            max(self.cut, other.cut),
        )

    def words(self) -> str | None:
        """What there is, None without any."""
        said = [
            f"frames that the decoder marks as corrupt: {self.corrupt}",
            f"packets that the container marks as incomplete: {self.marked}",
            f"packets that do not decode: {self.refused}",
            f"frames that the header counts and the file lacks: {self.missing}",
            f"bytes missing at the end: {self.cut}",
        ]
        counts = [self.corrupt, self.marked, self.refused, self.missing, self.cut]
        return ", ".join(words for words, count in zip(said, counts, strict=True) if count) or None


class HeaderCount:
    """Compares the count of frames in a header with the packets of one pass over the file.

    The headers of MP4 and of AVI are known to count frames. Two kinds of sound files have fewer packets than that: an AVI
    file may leave chunks empty, which FFmpeg passes over and which means that the frame before is shown on (every file
    of J-HMDB does so); there the numbers of the chunks tell whether the end is missing. And an MP4 file that was cut
    without encoding it again hides frames behind an edit list; they are counted with that list ignored.
    """

    def __init__(self, path: str, format_name: str, claimed: int) -> None:
        self._path = path
        self._avi = format_name == "avi"
        self._claimed = claimed if self._avi or format_name.startswith("mov,") else 0
        self._packets = 0
        self._last: int | None = None
        self._gap = 1

    def count(self, packet: av.Packet) -> None:
        """Take the next packet of the pass."""
        self._packets += 1
        if self._avi and packet.dts is not None:
            if self._last is not None:
                self._gap = max(self._gap, packet.dts - self._last)
            self._last = packet.dts

    def missing(self) -> int:
        """Frames that are missing, after the last packet."""
        found = self._packets
        if self._avi and self._last is not None:
            found = max(found, self._last + self._gap)  # so many chunks may be empty at the end
        elif found < self._claimed:
            found = max(found, _packets_without_edits(self._path))
        return max(0, self._claimed - found)


class Marks:
    """Counts packets that the container marks as incomplete.

    MPEG-TS does so where its packets are not numbered without a gap, which is also so at the seam where recordings or
    segments were joined. There a keyframe follows at once, and nothing is missing.
    """

    def __init__(self) -> None:
        self._number = 0
        self._marked: list[int] = []

    def count(self, packet: av.Packet) -> int:
        """Take the next packet of a pass: how many are marked so far, those at seams left out."""
        self._number += 1
        if packet.is_corrupt:
            self._marked.append(self._number)
        if packet.is_keyframe and self._marked:
            self._marked = [number for number in self._marked if number < self._number - SEAM]
        return len(self._marked)


def _packets_without_edits(path: str) -> int:
    with av.open(path, metadata_errors="ignore", options={"ignore_editlist": "1"}) as container:
        stream = container.streams.best("video")
        try:
            return sum(packet.size > 0 for packet in container.demux(stream))
        except av.error.FFmpegError:
            return 0


def bytes_cut(path: str) -> int:
    """Bytes at the end of a Matroska or WebM file that its segment counts and the file lacks.

    These files count no frames, and what is cut off them is missed by nothing else. 0 for other files.
    """
    with open(path, "rb") as file:
        start = file.read(4096)
        size = os.fstat(file.fileno()).st_size
    if not start.startswith(_EBML):
        return 0
    header, at = _ebml_size(start, len(_EBML))
    at += header
    if start[at : at + len(_SEGMENT)] != _SEGMENT:
        return 0
    segment, at = _ebml_size(start, at + len(_SEGMENT))
    return max(0, at + segment - size)


def _ebml_size(content: bytes, at: int) -> tuple[int, int]:
    """An element's size and where its content begins; 0 where the size is unknown (live streams) or cut off."""
    if at >= len(content) or not content[at]:
        return 0, at
    length = 9 - content[at].bit_length()
    value = int.from_bytes(content[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (0 if value == (1 << 7 * length) - 1 else value), at + length
