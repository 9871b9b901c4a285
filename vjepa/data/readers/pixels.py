"""Conversion of decoded frames to upright RGB."""

from __future__ import annotations

import math
from collections.abc import Iterable

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import VideoReformatter

from vjepa.data.readers.border import check_bytes

# Since PyAV 17, the conversion uses all cores of the machine by default.
_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class RgbWriter:
    """Converts frames of one video to RGB of one size, rotated and mirrored by the file's metadata.

    Args:
        path: Path of the video, for errors.
        width, height: Size in pixels before rotation; frames of another size (a stream may change) are scaled
            to it.
    """

    def __init__(self, path: str, width: int, height: int) -> None:
        self._path = path
        self._size = (width, height)
        self._reformatter = VideoReformatter()  # kept because it reuses its tables for all frames
        self._turn: tuple[bool, bool, bool] | None = None

    def convert(self, frames: Iterable[av.VideoFrame], count: int) -> np.ndarray:
        """Convert the `count` frames that `frames` yields to uint8 ``(T, H, W, 3)``."""
        frames_THWC = np.empty((0,), dtype=np.uint8)
        row = -1
        for row, frame in enumerate(frames):
            image_HWC = self._upright(self._image(frame), frame)
            if not row:  # the size is known only now: rotation may swap height and width
                check_bytes(self._path, "pyav", count, image_HWC.nbytes)
                frames_THWC = np.empty((count, *image_HWC.shape), dtype=np.uint8)
            frames_THWC[row] = image_HWC
        assert row + 1 == count, f"{row + 1} frames came out instead of {count}"
        return frames_THWC

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        """Convert a frame to RGB, returned as a view ``(H, W, 3)`` without FFmpeg's padding of lines."""
        width, height = self._size
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", **_ONE_THREAD)
        plane = rgb.planes[0]
        lines = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
        return lines[:height, : width * 3].reshape(height, width, 3)

    def _upright(self, image_HWC: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
        if self._turn is None:
            self._turn = turn_of(frame)
        transpose, flip_rows, flip_columns = self._turn
        if transpose:
            image_HWC = image_HWC.transpose(1, 0, 2)
        return image_HWC[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def turn_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return how to turn a frame for display: whether to transpose, then flip rows, then flip columns.

    The display matrix ``[[a, b, _], [c, d, _], [_, _, _]]`` maps pixel (x, y) to ``(a x + c y, b x + d y)``.
    Only quarter turns and mirroring are supported; other angles are ignored, as players do. A matrix of
    zeros, which occurs in damaged files, is ignored, too.
    """
    a, b, c, d = _display_matrix(frame)
    if abs(b) > abs(a) and abs(c) > abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def _display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """Return (a, b, c, d) of `turn_of`; the identity if a frame has no matrix."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18.1 cannot list side data of a kind that is newer than its own table, such as that of a second
        # view in HEVC. It still gives the angle, but mirroring is lost.
        angle = math.radians(-frame.rotation)
        return math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)
    if not isinstance(matrix, SideData):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(memoryview(matrix), dtype=np.int32)[:5].tolist()
    return a, b, c, d
