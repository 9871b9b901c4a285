"""The torchcodec reader, in exact mode; needs torchcodec and FFmpeg's shared libraries."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader
from vjepa.data.readers.decoding import Decoding


class TorchcodecReader(GuardedReader):
    """Random access with torchcodec in exact mode, on one thread.

    It finds frames by the times of their packets, and seeks to packets marked as keyframes. If the packets
    are not a reliable index (UCF101's AVI files, MPEG-TS, H.264 without true keyframes, damaged files),
    frames are wrong or missing, mostly without an error; `fitness.open_fit` compares it with the exact
    reader.

    Args:
        path: A video file.

    Raises:
        VideoDecodeError: The packets give no index, or torchcodec finds another number of frames.
        ValueError: torchcodec does not load.
    """

    name = "torchcodec"

    def __init__(self, path: str) -> None:
        self.path = path
        self.timestamps = _presentation_times(path)
        self._decoder = package().VideoDecoder(
            path, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1
        )
        if len(self._decoder) != len(self):
            cause = f"it counts {len(self._decoder)} frames where the packets have {len(self)}"
            raise VideoDecodeError(path, "torchcodec", cause)

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        frames_THWC: np.ndarray = self._decoder.get_frames_at(index_T.tolist()).data.numpy()
        return frames_THWC

    def close(self) -> None:
        """Close the file; torchcodec does so when its last reference is dropped."""
        del self._decoder


def package() -> ModuleType:
    """Import torchcodec's decoders; ValueError if they do not load."""
    try:
        import torchcodec.decoders as decoders
    except (ImportError, RuntimeError, OSError) as error:
        raise ValueError(
            "reader 'torchcodec' was asked for but torchcodec does not load: pip install torchcodec "
            "and FFmpeg's shared libraries (Debian: apt-get install ffmpeg), or choose 'auto'"
        ) from error
    return decoders


def _presentation_times(path: str) -> np.ndarray:
    """Return the time of every frame in seconds, by PyAV: torchcodec has times of decoded frames only."""
    decoding = Decoding(path)
    try:
        index = decoding.index()
    finally:
        decoding.close()
    if index is None:
        raise VideoDecodeError(path, "torchcodec", "its packets are no sound index")
    return (index.pts - index.pts[0]) * float(index.time_base)
