"""The decord reader: fast on H.264, wrong on some other codecs, so never chosen unasked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import av
import numpy as np
import torch
from torch import Tensor

from vjepa.data.readers.base import ClosesItself, VideoDecodeError, checked_indices

_warned = False


class DecordReader(ClosesItself):
    """Random access with decord 0.6, on one thread.

    After a jump decord gives wrong frames, two or three off and without an error, where groups of
    pictures are open: the default of x265, rare in H.264. It cannot open AV1. A process warns the
    first time it meets a codec other than H.264. Rotation metadata is applied.

    Args:
        path: a video file; `VideoDecodeError` where decord cannot open it or finds no frame.
    """

    def __init__(self, path: str) -> None:
        try:
            import decord
        except ImportError as error:
            raise ValueError(
                "reader 'decord' was asked for but decord is not installed: pip install decord "
                "(Linux and Windows on x86_64 only), or choose 'auto'"
            ) from error
        self.path = path
        _warn_of_codec(path)
        try:
            self._reader = decord.VideoReader(path, num_threads=1)
            seconds = self._reader.get_frame_timestamp(range(len(self._reader)))
        except (RuntimeError, IndexError) as error:  # DECORDError is a RuntimeError
            raise VideoDecodeError(path, "decord", _first_line(error)) from error
        if not len(self._reader):
            raise VideoDecodeError(path, "decord", "it has no frame")
        self.timestamps = seconds[:, 0].astype(np.float64) - float(seconds[0, 0])

    def __len__(self) -> int:
        return len(self.timestamps)

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number: uint8 ``(T, C, H, W)``, any order, duplicates allowed."""
        index_T = checked_indices(indices, len(self), self.path)
        try:
            frames_THWC = self._reader.get_batch(index_T).asnumpy()
        except (RuntimeError, IndexError) as error:
            raise VideoDecodeError(self.path, "decord", _first_line(error)) from error
        return torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)

    def close(self) -> None:
        """Let go of the file: decord does so with its last reference."""
        self._reader = None


def _warn_of_codec(path: str) -> None:
    """Warn, once per process, where the codec is one for which decord is not known to be right."""
    global _warned
    if _warned:
        return
    try:
        with av.open(path, metadata_errors="ignore") as container:
            codecs = {stream.codec_context.name for stream in container.streams.video}
    except (av.error.FFmpegError, OSError):
        return  # decord's own error tells more
    if codecs - {"h264"}:
        _warned = True
        warnings.warn(
            f"{path} is {', '.join(sorted(codecs))}: decord is exact on h264 only (with closed groups of "
            "pictures) and gives wrong frames of most HEVC; reader='auto' is exact on all of them",
            stacklevel=4,
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
