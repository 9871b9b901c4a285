"""What a video reader is: the one protocol behind which every decoder stands."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from typing import Self


class VideoDecodeError(ValueError):
    """A video that cannot be read: its path, the reader that tried, and the cause in words."""

    def __init__(self, path: str, reader: str, cause: str) -> None:
        # All three go to `args`, so that the error survives the trip out of a worker process.
        super().__init__(path, reader, cause)
        self.path = path
        self.reader = reader
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.path} cannot be read by {self.reader}: {self.cause}"


class VideoReader(Protocol):
    """Random access to the frames of one video, in the order in which a player shows them.

    `timestamps` has the moment, in seconds, at which each frame appears: float64 ``(frames,)``,
    ascending, 0.0 for the first. Counts come from what is in the file, not from its header.
    `damage` says in words what of the file was found damaged so far, None where nothing was: frames that the decoder
    marks as corrupt, packets that it refuses, frames that the header counts and the file lacks. It may become known only
    while frames are read; `examine` reads all.
    A reader belongs to one process: open it where it is used and close it there.
    """

    timestamps: np.ndarray

    @property
    def damage(self) -> str | None: ...

    def __len__(self) -> int:
        """Number of frames, at least one."""

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number, RGB: uint8 ``(T, C, H, W)`` in [0, 255]; any order, duplicates allowed.

        The tensor is a view of ``(T, H, W, C)`` storage, which torchvision resizes faster than a
        contiguous one. IndexError outside ``[0, len)``; `VideoDecodeError` where decoding fails.
        """

    def examine(self) -> None:
        """Decode every frame, so that `damage` is complete; `VideoDecodeError` where decoding fails."""

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def checked_indices(indices: Sequence[int] | np.ndarray, frames: int, path: str) -> np.ndarray:
    """Frame numbers as int64 ``(T,)``; IndexError where one is outside ``[0, frames)``."""
    index_T = np.asarray(indices, dtype=np.int64).reshape(-1)
    if index_T.size and (index_T.min() < 0 or index_T.max() >= frames):
        raise IndexError(
            f"frame {index_T.min() if index_T.min() < 0 else index_T.max()} of {path} was asked for, "
            f"it has {frames}: give numbers from 0 to {frames - 1}"
        )
    return index_T
