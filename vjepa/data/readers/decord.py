"""The decord reader: fast, but wrong on many files, so used only on request."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader


class DecordReader(GuardedReader):
    """Random access with decord 0.6, on one thread.

    Whether decord is right depends on how a file was encoded, not only on its codec. For open groups of
    pictures (the default of x265), H.264 that was cut without re-encoding, fragmented MP4, MPEG-TS and AVI,
    it returns wrong frames after a seek, or wrong counts and times; it cannot open AV1. Errors are not
    detected here; `fitness.open_fit` compares it with the exact reader. Rotation metadata is applied.

    Args:
        path: A video file.

    Raises:
        VideoDecodeError: The file has no frame.
        ValueError: decord is not installed.
    """

    name = "decord"

    def __init__(self, path: str) -> None:
        self.path = path
        self._reader = package().VideoReader(path, num_threads=1)
        if not len(self._reader):
            raise VideoDecodeError(path, "decord", "it has no frame")
        seconds = self._reader.get_frame_timestamp(range(len(self._reader)))
        self.timestamps = seconds[:, 0].astype(np.float64) - float(seconds[0, 0])

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        frames_THWC: np.ndarray = self._reader.get_batch(index_T).asnumpy()
        return frames_THWC

    def close(self) -> None:
        """Close the file; decord does so when its last reference is dropped."""
        self._reader = None


def package() -> ModuleType:
    """Import decord; ValueError if it is not installed."""
    try:
        import decord
    except ImportError as error:
        raise ValueError(
            "reader 'decord' was asked for but decord is not installed: pip install decord "
            "(Linux and Windows on x86_64 only), or choose 'auto'"
        ) from error
    return decord
