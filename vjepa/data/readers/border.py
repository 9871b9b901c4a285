"""The border between files and the library: whatever reading a file raises is that file's fault.

A damaged or hostile file can make a parser raise anything. So nothing here lists what a parser may raise: all code that
reads the contents of one file runs inside `reading`, and what comes out of it is a `VideoDecodeError` with the file's path.
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

if TYPE_CHECKING:
    from typing import Self

MAX_PIXELS = 2**26  # of one frame: 8192 x 8192; 8K video (7680 x 4320) has half of it
MAX_BYTES = 2**33  # of the frames of one read, which lie in memory together: 64 frames of 8K video have 6.4e9
CHUNK = 32  # frames that are read at a time where all are, so that long videos do not fill the memory


class GuardedReader(ABC):
    """What all readers share: checked frame numbers, the border around decoding, and a context manager.

    Attributes:
        name: of the reader, in errors.
        path: of the video.
        timestamps, damage: as of `VideoReader`.
    """

    name = "arrays"
    path: str
    timestamps: np.ndarray

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def damage(self) -> str | None:
        """As of `VideoReader`; without a decoder, what does not read raises instead."""
        return None

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number: uint8 ``(T, C, H, W)``; any order, duplicates allowed."""
        index_T = checked_indices(indices, len(self), self.path)
        with reading(self.path, self.name):
            return torch.from_numpy(self._frames_THWC(index_T)).permute(0, 3, 1, 2)

    def examine(self) -> None:
        """Read every frame, some at a time."""
        for begin in range(0, len(self), CHUNK):
            self.get_frames(range(begin, min(begin + CHUNK, len(self))))

    @abstractmethod
    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        """Frames by number, which are in range: uint8 ``(T, H, W, C)``; whatever it raises is the file's fault."""

    def close(self) -> None:  # noqa: B027  (not every reader has something open)
        """Nothing to let go of, unless the reader says otherwise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def reading(path: str, reader: str) -> Iterator[None]:
    """Turn any exception of the block, which reads the file at `path` and nothing else, into `VideoDecodeError`.

    A MemoryError is the file's, too: Linux refuses an allocation only where a single one is absurdly large, which is what
    a damaged header asks for. That no file handle is left is not. KeyboardInterrupt and SystemExit are no `Exception` and pass.

    Args:
        path: of the file; it stands in the error.
        reader: name of what reads it; it stands in the error.
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
    """Whether the process or the machine has no file handle left, which says nothing of the file that was to be opened."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def cause_of(error: Exception) -> str:
    """What an exception says, in one line, behind its type where it is not of our own making."""
    if isinstance(error, VideoDecodeError):
        return error.cause
    words = getattr(error, "strerror", None) or str(error).strip() or "no reason given"
    return f"{type(error).__name__}: {words.splitlines()[0]}"


def check_kind(path: str, reader: str) -> None:
    """`VideoDecodeError` where `path` is missing, or is neither a file nor a folder: reading a pipe can block for ever."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise VideoDecodeError(path, reader, "there is no such file or folder") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        cause = "it is a pipe, a socket or a device: copy what it gives to a file"
        raise VideoDecodeError(path, reader, cause)


def check_pixels(path: str, reader: str, width: int, height: int) -> None:
    """`VideoDecodeError` where a frame has more than `MAX_PIXELS`: a file of a kilobyte can claim gigabytes of frames."""
    if width * height > MAX_PIXELS:
        cause = f"its frames have {width} x {height} pixels, more than {MAX_PIXELS} (8192 x 8192): encode it again at a smaller size"
        raise VideoDecodeError(path, reader, cause)


def check_bytes(path: str, reader: str, frames: int, frame_bytes: int) -> None:
    """`VideoDecodeError` where the frames of one read have more than `MAX_BYTES`: a small file can decode to terabytes."""
    if frames * frame_bytes > MAX_BYTES:
        cause = (
            f"{frames} frames of it take {frames * frame_bytes / 1e9:.1f} GB, and one read takes at most {MAX_BYTES / 1e9:.1f}: "
            "encode the video again at a smaller size, or read fewer frames at a time"
        )
        raise VideoDecodeError(path, reader, cause)


def load_npy(path: str) -> np.ndarray:
    """The array of a ``.npy`` file, mapped into memory; ValueError with the cause where the file holds no plain array.

    numpy's own errors advise loading pickles, which runs what the file says. That advice must not be passed on.
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
        except (
            Exception
        ) as error:  # numpy evaluates the header as Python: damage raises whatever Python raises
            raise ValueError(f"its header is damaged ({cause_of(error)}): write it again") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded: save an array of numbers")
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
