"""One trajectory: frames, the actions between them and, if they are known, states.

T frames, A numbers of an action, Q numbers of a state; for other letters see `vjepa.tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.cache import VideoCache
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video

Rows = NDArray[np.float32]

MOST_NUMBERS = 2**27  # largest array of actions or states: half a gigabyte, which no real episode has


class Frames(Protocol):
    """Interface of the frames of an episode. It can be pickled, and opens files only when frames are read."""

    @property
    def path(self) -> str:
        """Path of the file, for messages."""
        ...

    def read(self, index_T: NDArray[np.int64], damage: list[str] | None = None) -> Tensor:
        """Read frames by number: uint8 ``(K, C, H, W)``, or tokens ``(K, S, D)`` that were encoded before.

        Args:
            index_T: Numbers of the frames, ascending.
            damage: List to which descriptions of damage in the file are appended; None ignores damage.
        """
        ...


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video.

    Attributes:
        path: Path of the video, see `open_video`.
        first: Number of the episode's first frame in the video.
        reader: Video decoder, see `open_video`.
        cache: Cache of decoded videos; None decodes each time.
    """

    path: str
    first: int = 0
    reader: str = "auto"
    cache: VideoCache | None = None

    def read(self, index_T: NDArray[np.int64], damage: list[str] | None = None) -> Tensor:
        """Read frames, see `Frames`.

        Raises:
            VideoDecodeError: The video cannot be read, or is too short.
        """
        open_one = open_video if self.cache is None else self.cache.open
        with open_one(self.path, self.reader) as video:
            wanted = index_T + self.first
            if wanted[-1] >= len(video):
                cause = f"it has {len(video)} frames, and actions for {wanted[-1] + 1} or more"
                raise VideoDecodeError(self.path, self.reader, cause)
            frames_TCHW = video.get_frames(wanted)
            if damage is not None and video.damage is not None:
                damage.append(video.damage)
            return frames_TCHW


@dataclass(frozen=True)
class Episode:
    """Frames and actions of one trajectory.

    Attributes:
        frames: Frames of the episode, T of them.
        actions_TA: Actions, float32; the action of row t is taken in frame t and leads to frame t + 1. The
            action of the last row is not used.
        states_TQ: State in each frame, float32; None if states are not known or not read.
        number: Number of the episode in its source.
        shared: Whether the file holds other episodes, too.
    """

    frames: Frames
    actions_TA: Rows
    states_TQ: Rows | None = None
    number: int = 0
    shared: bool = False

    @property
    def where(self) -> str:
        """Path of the file and, if it holds several episodes, the number of the episode, for messages."""
        return f"{self.frames.path}, episode {self.number}" if self.shared else self.frames.path

    def __post_init__(self) -> None:
        where = self.where
        shape: tuple[int, ...] = self.actions_TA.shape
        if len(shape) != 2:
            raise ValueError(f"{where}: actions have shape {shape}: give one row a frame, (T, A)")
        if self.states_TQ is not None and (
            self.states_TQ.ndim != 2 or len(self.states_TQ) != len(self.actions_TA)
        ):
            raise ValueError(
                f"{where}: states have shape {self.states_TQ.shape} and actions {self.actions_TA.shape}: "
                "give one row a frame of each"
            )
        for name, rows in (("actions", self.actions_TA), ("states", self.states_TQ)):
            broken = [] if rows is None else np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
            if broken:
                raise ValueError(
                    f"{where}: {name} of {len(broken)} frames are not finite, the first is frame "
                    f"{broken[0]}: correct or leave out "
                    "the episode"
                )

    def __len__(self) -> int:
        """Number of frames, T."""
        return len(self.actions_TA)


def as_rows(array: NDArray[Any], name: str) -> Rows:
    """Convert real numbers to float32; raise ValueError for any other type, such as complex numbers."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"'{name}' holds {array.dtype}: give real numbers")
    return array.astype(np.float32)


class ListedEpisode(NamedTuple):
    """An episode that a source lists and that has not been read yet.

    Attributes:
        number: Number of the episode in its source.
        read: Function that reads the episode. Any exception that it raises concerns this episode alone.
    """

    number: int
    read: Callable[[], Episode]


def check_alike(episodes: Sequence[Episode]) -> None:
    """Raise ValueError if episodes differ in the sizes of their actions or states."""
    if not episodes:
        raise ValueError("there are no episodes: give a folder of videos with actions, of LeRobot or of HDF5")
    first = episodes[0]
    for other in episodes:
        sizes = [(one.actions_TA.shape[1], _size(one.states_TQ)) for one in (first, other)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"{other.where} has actions of {sizes[1][0]} numbers and states of {sizes[1][1]}, "
                f"{first.where} of "
                f"{sizes[0][0]} and {sizes[0][1]}: give episodes of one kind"
            )


def _size(rows: Rows | None) -> int:
    return 0 if rows is None else rows.shape[1]
