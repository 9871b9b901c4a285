"""Detects damage of a video file from its decoder, its packets and its header."""

from __future__ import annotations

import os
from dataclasses import dataclass

import av

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # IDs of Matroska's first two elements
SEAM = 4  # Number of packets before a keyframe whose marks are ignored; parsers return packets a few late.


@dataclass(slots=True)
class Signs:
    """Signs of damage found in one pass over a file.

    Attributes:
        corrupt: Number of frames that the decoder marks as corrupt: data in them was missing or concealed.
        marked: Number of packets that the container marks as corrupt: bytes of them, or packets before them,
            are missing.
        refused: Number of packets that failed to be read or decoded.
        missing: Number of frames that the header counts and the file lacks.
        cut: Number of bytes that the container counts and the file lacks at its end.
    """

    corrupt: int = 0
    marked: int = 0
    refused: int = 0
    missing: int = 0
    cut: int = 0

    def most(self, other: Signs) -> Signs:
        """Combine two passes over the same file: the larger value of each count."""
        return Signs(
            max(self.corrupt, other.corrupt),
            max(self.marked, other.marked),
            max(self.refused, other.refused),
            max(self.missing, other.missing),
            max(self.cut, other.cut),
        )

    def words(self) -> str | None:
        """Describe the damage; None if there is none."""
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
    """Compares the number of frames in a header with the packets of one pass over the file.

    Only the headers of MP4 and AVI are used. Two kinds of intact files have fewer packets than frames in the
    header. An AVI file may have empty chunks, which FFmpeg skips and which mean that the previous frame is
    still shown (as in every file of J-HMDB); there the chunk numbers reveal whether the end is missing. An
    MP4 file that was cut without re-encoding hides frames behind an edit list; its packets are counted again
    with the list ignored.

    Args:
        path: Path of the file.
        format_name: FFmpeg's name of the container format.
        claimed: Number of frames in the header, 0 if unknown.
    """

    def __init__(self, path: str, format_name: str, claimed: int) -> None:
        self._path = path
        self._avi = format_name == "avi"
        self._claimed = claimed if self._avi or format_name.startswith("mov,") else 0
        self._packets = 0
        self._last: int | None = None
        self._gap = 1

    def count(self, packet: av.Packet) -> None:
        """Count the next packet of the pass."""
        self._packets += 1
        if self._avi and packet.dts is not None:
            if self._last is not None:
                self._gap = max(self._gap, packet.dts - self._last)
            self._last = packet.dts

    def missing(self) -> int:
        """Return the number of missing frames; call it after the last packet."""
        found = self._packets
        if self._avi and self._last is not None:
            found = max(
                found, self._last + self._gap
            )  # allows for empty chunks at the end, as many as in the largest gap
        elif found < self._claimed:
            found = max(found, _packets_without_edits(self._path))
        return max(0, self._claimed - found)


class Marks:
    """Counts packets that the container marks as incomplete.

    FFmpeg marks MPEG-TS packets where their numbering has a gap. This also happens at a seam, where
    recordings or segments were joined; there a keyframe follows at once and nothing is missing.
    """

    def __init__(self) -> None:
        self._number = 0
        self._marked: list[int] = []

    def count(self, packet: av.Packet) -> int:
        """Take the next packet of a pass; return how many are marked so far, without those at seams."""
        self._number += 1
        if packet.is_corrupt:
            self._marked.append(self._number)
        if packet.is_keyframe and self._marked:
            self._marked = [number for number in self._marked if number < self._number - SEAM]
        return len(self._marked)


def _packets_without_edits(path: str) -> int:
    """Count the packets of a file with its edit list ignored; 0 if reading fails."""
    with av.open(path, metadata_errors="ignore", options={"ignore_editlist": "1"}) as container:
        stream = container.streams.best("video")
        try:
            return sum(packet.size > 0 for packet in container.demux(stream))
        except av.error.FFmpegError:
            return 0


def bytes_cut(path: str) -> int:
    """Return how many bytes are missing at the end of a Matroska or WebM file; 0 for other files.

    The size of the segment in the header reveals them. The headers of these files have no number of frames,
    so nothing else reveals that the end is missing.
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
    """Return an element's size, 0 if unknown (live streams) or cut off, and the start of its content."""
    if at >= len(content) or not content[at]:
        return 0, at
    length = 9 - content[at].bit_length()
    value = int.from_bytes(content[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (0 if value == (1 << 7 * length) - 1 else value), at + length
