"""The interface of all video readers, and the error of a video that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from typing import Self


class VideoDecodeError(ValueError):
    """A video cannot be read.

    Args:
        path: Path of the video.
        reader: Name of the reader that failed.
        cause: Cause in words.
    """

    def __init__(self, path: str, reader: str, cause: str) -> None:
        # All three go to `args`, so that the error can be pickled and sent from a worker process.
        super().__init__(path, reader, cause)
        self.path = path
        self.reader = reader
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.path} cannot be read by {self.reader}: {self.cause}"


class VideoReader(Protocol):
    """Random access to the frames of one video, in the order in which a player shows them.

    Frames are counted from the contents of the file, not from its header. A reader belongs to one process:
    open and close it in the process that uses it.

    Attributes:
        timestamps: Time in seconds at which each frame appears: float64 ``(frames,)``, ascending, 0.0 for the
            first.
        damage: Description of the damage found so far, None if none was found: frames that the decoder marks
            as corrupt, packets that it refuses, frames that the header counts and the file lacks. Damage may
            be found only while frames are read; `examine` reads all of them.
    """

    timestamps: np.ndarray

    @property
    def damage(self) -> str | None: ...

    def __len__(self) -> int:
        """Number of frames, at least one."""

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Read frames by number, in any order and with duplicates: uint8 RGB ``(T, C, H, W)`` in [0, 255].

        The tensor is a view of ``(T, H, W, C)`` storage, which torchvision resizes faster than a contiguous
        one.

        Raises:
            IndexError: A number is outside ``[0, len)``.
            ValueError: There is no number.
            VideoDecodeError: Decoding fails.
        """

    def examine(self) -> None:
        """Decode every frame, so that `damage` is complete; `VideoDecodeError` if decoding fails."""

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def checked_indices(indices: Sequence[int] | np.ndarray, frames: int, path: str) -> np.ndarray:
    """Return frame numbers as int64 ``(T,)``; see `VideoReader.get_frames` for errors."""
    index_T = np.asarray(indices, dtype=np.int64).reshape(-1)
    if not index_T.size:
        raise ValueError(f"no frame of {path} was asked for: give one number or more")
    if index_T.min() < 0 or index_T.max() >= frames:
        raise IndexError(
            f"frame {index_T.min() if index_T.min() < 0 else index_T.max()} of {path} was asked for, "
            f"it has {frames}: give numbers from 0 to {frames - 1}"
        )
    return index_T
