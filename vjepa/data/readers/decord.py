"""The decord reader: fast, and wrong on many files, so never chosen unasked."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader


class DecordReader(GuardedReader):
    """Random access with decord 0.6, on one thread.

    What decord gives depends on how a file was made, not on its codec alone: it gives wrong frames after a jump, or
    wrong counts and times, for open groups of pictures (the default of x265), H.264 that was cut without encoding it
    again, fragmented MP4, MPEG-TS and AVI, and cannot open AV1. Nothing here notices: `fitness.open_fit` compares it
    with the exact reader. Rotation metadata is applied.

    Args:
        path: a video file.
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
        """Let go of the file: decord does so with its last reference."""
        self._reader = None


def package() -> ModuleType:
    """decord; ValueError where it is not installed."""
    try:
        import decord
    except ImportError as error:
        raise ValueError(
            "reader 'decord' was asked for but decord is not installed: pip install decord "
            "(Linux and Windows on x86_64 only), or choose 'auto'"
        ) from error
    return decord
