"""The torchcodec reader, in its exact mode; needs torchcodec and FFmpeg's shared libraries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vjepa.data.readers.base import ClosesItself, VideoDecodeError, checked_indices
from vjepa.data.readers.decoding import Decoding


class TorchcodecReader(ClosesItself):
    """Random access with torchcodec, exact mode, on one thread.

    It finds frames by the times of their packets. Where these are no sound index (UCF101's AVI
    files, damaged files) its frames would be wrong or missing, so such a file is refused here.

    Args:
        path: a video file; `VideoDecodeError` where torchcodec cannot read it exactly.
    """

    def __init__(self, path: str) -> None:
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, RuntimeError, OSError) as error:
            raise ValueError(
                "reader 'torchcodec' was asked for but torchcodec does not load: pip install torchcodec "
                "and FFmpeg's shared libraries (Debian: apt-get install ffmpeg), or choose 'auto'"
            ) from error
        self.path = path
        self.timestamps = _presentation_times(path)
        try:
            self._decoder = VideoDecoder(
                path, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1
            )
        except (RuntimeError, ValueError) as error:
            raise VideoDecodeError(path, "torchcodec", str(error)) from error
        if len(self._decoder) != len(self):
            cause = f"it counts {len(self._decoder)} frames where the packets have {len(self)}: use 'pyav'"
            raise VideoDecodeError(path, "torchcodec", cause)

    def __len__(self) -> int:
        return len(self.timestamps)

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number: uint8 ``(T, C, H, W)``, any order, duplicates allowed."""
        index_T = checked_indices(indices, len(self), self.path)
        try:
            frames_THWC = self._decoder.get_frames_at(index_T.tolist()).data
        except RuntimeError as error:
            raise VideoDecodeError(self.path, "torchcodec", str(error)) from error
        return frames_THWC.permute(0, 3, 1, 2)

    def close(self) -> None:
        """Let go of the file: torchcodec does so with its last reference."""
        del self._decoder


def _presentation_times(path: str) -> np.ndarray:
    """Seconds of every frame, by PyAV: torchcodec tells the times of decoded frames only."""
    decoding = Decoding(path)
    try:
        index = decoding.index()
    finally:
        decoding.close()
    if index is None:
        raise VideoDecodeError(path, "torchcodec", "its packets are no sound index: use 'pyav'")
    return (index.pts - index.pts[0]) * float(index.time_base)
