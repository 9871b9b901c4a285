"""Error handling around file parsers: any exception while a file is read becomes a `VideoDecodeError`.

A damaged or hostile file can make a parser raise any exception, so no list of expected exceptions is kept:
all code that reads the contents of one file runs inside `reading`, which turns exceptions into a
`VideoDecodeError` with the path.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vjepa.data.readers.base import VideoDecodeError, checked_indices
from vjepa.data.remote import RemoteError

if TYPE_CHECKING:
    from typing import Self

MAX_PIXELS = 2**26  # Largest size of a frame: 8192 x 8192; 8K video (7680 x 4320) has half of it.
MAX_BYTES = 2**33  # Largest size of the frames of one read, all in memory at once; 64 8K frames take 6.4e9.
CHUNK = 32  # Number of frames read at a time when all are read, so that long videos do not fill the memory.


class GuardedReader(ABC):
    """Base class of all readers: checks frame numbers, converts errors of decoding, and is a context manager.

    Attributes:
        name: Name of the reader in errors.
        path: Path of the video.
        timestamps: Time in seconds at which each frame appears, see `VideoReader`.
    """

    name = "arrays"
    path: str
    timestamps: np.ndarray

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def damage(self) -> str | None:
        """Damage found so far, see `VideoReader`; None here, as readers without a decoder raise instead."""
        return None

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Read frames by number, in any order and with duplicates: uint8 ``(T, C, H, W)``."""
        index_T = checked_indices(indices, len(self), self.path)
        with reading(self.path, self.name):
            return torch.from_numpy(self._frames_THWC(index_T)).permute(0, 3, 1, 2)

    def examine(self) -> None:
        """Read every frame, a chunk at a time."""
        for begin in range(0, len(self), CHUNK):
            self.get_frames(range(begin, min(begin + CHUNK, len(self))))

    @abstractmethod
    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        """Read frames by checked numbers: uint8 ``(T, H, W, C)``; exceptions become `VideoDecodeError`."""

    def close(self) -> None:  # noqa: B027  (not every reader has something open)
        """Close the file; readers that hold one override this."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def reading(path: str, reader: str) -> Iterator[None]:
    """Turn any exception of the block, which must read only the file at `path`, into `VideoDecodeError`.

    This includes MemoryError: Linux refuses an allocation only if a single one is absurdly large, as a
    damaged header may request. It excludes errors that are not the file's fault (`is_machines_fault`), and
    KeyboardInterrupt and SystemExit, which are not subclasses of `Exception`.

    Args:
        path: Path of the file, for the error.
        reader: Name of the reader, for the error.

    Raises:
        VideoDecodeError: The block raised an exception.
    """
    try:
        yield
    except VideoDecodeError:
        raise
    except Exception as error:
        if is_machines_fault(error):
            raise
        raise VideoDecodeError(path, reader, cause_of(error)) from error


def is_machines_fault(error: Exception) -> bool:
    """Return whether an error is not the file's: no file handle is left, or a network fails."""
    return isinstance(error, RemoteError) or (
        isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
    )


def cause_of(error: Exception) -> str:
    """Describe an exception in one line: the cause of a `VideoDecodeError`, else its type and message."""
    if isinstance(error, VideoDecodeError):
        return error.cause
    words = getattr(error, "strerror", None) or str(error).strip() or "no reason given"
    return f"{type(error).__name__}: {words.splitlines()[0]}"


def check_kind(path: str, reader: str) -> None:
    """Raise `VideoDecodeError` if `path` is missing, or neither file nor folder.

    Reading a pipe could block for ever.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise VideoDecodeError(path, reader, "there is no such file or folder") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        cause = "it is a pipe, a socket or a device: copy what it gives to a file"
        raise VideoDecodeError(path, reader, cause)


def check_pixels(path: str, reader: str, width: int, height: int) -> None:
    """Raise `VideoDecodeError` if a frame has more than `MAX_PIXELS` pixels.

    A file of a kilobyte can claim gigabytes of frames.
    """
    if width * height > MAX_PIXELS:
        cause = (
            f"its frames have {width} x {height} pixels, more than {MAX_PIXELS} (8192 x 8192): "
            "encode it again at a smaller size"
        )
        raise VideoDecodeError(path, reader, cause)


def check_bytes(path: str, reader: str, frames: int, frame_bytes: int) -> None:
    """Raise `VideoDecodeError` if the frames of one read take more than `MAX_BYTES` bytes.

    A small file can decode to terabytes.
    """
    if frames * frame_bytes > MAX_BYTES:
        cause = (
            f"{frames} frames of it take {frames * frame_bytes / 1e9:.1f} GB, and one read takes at most "
            f"{MAX_BYTES / 1e9:.1f}: encode the video again at a smaller size, or read fewer frames at a time"
        )
        raise VideoDecodeError(path, reader, cause)


def load_npy(path: str) -> np.ndarray:
    """Memory-map the array of a ``.npy`` file.

    The header is checked here because numpy's own errors advise to load pickles, which would execute code
    from the file.

    Raises:
        ValueError: The file contains no plain array.
    """
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it is no .npy file, whatever its name says: write it with numpy.save")
        file.seek(0)
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            dtype = read_header(file)[2]
        except Exception as error:  # numpy evaluates the header as Python, so damage can raise anything
            raise ValueError(f"its header is damaged ({cause_of(error)}): write it again") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded: save an array of numbers")
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
