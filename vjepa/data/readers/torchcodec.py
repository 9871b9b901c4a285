"""The torchcodec reader, in exact mode, on the CPU or a GPU; needs torchcodec and FFmpeg's libraries."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader
from vjepa.data.readers.decoding import Decoding


class TorchcodecReader(GuardedReader):
    """Random access with torchcodec in exact mode, on one thread or on the decoding unit of a GPU.

    It finds frames by the times of their packets, and seeks to packets marked as keyframes. If the packets
    are not a reliable index (UCF101's AVI files, MPEG-TS, H.264 without true keyframes, damaged files),
    frames are wrong or missing, mostly without an error; `fitness.open_fit` compares it with the exact
    reader.

    Args:
        path: A video file.
        device: Where frames are decoded: ``cpu`` or ``cuda``, the GPU's decoding unit. Frames are returned in
            the memory of the CPU either way.

    Raises:
        VideoDecodeError: The packets give no index, or torchcodec finds another number of frames.
        ValueError: torchcodec does not load.
    """

    name = "torchcodec"

    def __init__(self, path: str, device: str = "cpu") -> None:
        self.path = path
        self.timestamps = _presentation_times(path)
        self._decoder = package().VideoDecoder(
            path, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1, device=device
        )
        if len(self._decoder) != len(self):
            cause = f"it counts {len(self._decoder)} frames where the packets have {len(self)}"
            raise VideoDecodeError(path, "torchcodec", cause)

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        frames_THWC: np.ndarray = self._decoder.get_frames_at(index_T.tolist()).data.cpu().numpy()
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


def check_gpu() -> None:
    """Raise ValueError if there is no CUDA GPU."""
    if not torch.cuda.is_available():
        raise ValueError(
            "reader 'torchcodec_cuda' decodes on a CUDA GPU, and torch finds none: choose 'torchcodec' or "
            "'auto', which decode on the CPU"
        )


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
