"""Settings of the windows that are cut from episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vjepa.choices import Combine

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Windows that are cut from episodes.

    Attributes:
        frames: Number of frames of a window.
        skip: Number of frames of the episode from one frame of a window to the next.
        combine: How the `skip` actions between two frames of a window become one: `concat` concatenates them;
            `sum` adds them, for actions that are displacements.
    """

    frames: int = 8
    skip: int = 1
    combine: Combine = "concat"

    def __post_init__(self) -> None:
        if self.frames < 2 or self.skip < 1:
            raise ValueError(
                f"window.frames is {self.frames} and window.skip {self.skip}: give 2 frames or more, and a "
                "skip of 1 or more"
            )

    @property
    def span(self) -> int:
        """Number of frames of the episode from the first to the last frame of a window."""
        return (self.frames - 1) * self.skip + 1

    def combined(self, actions_TA: Rows) -> Rows:
        """Combine the actions of ``I * skip`` frames to I actions between the frames of a window."""
        grouped = actions_TA.reshape(-1, self.skip, actions_TA.shape[1])
        return grouped.sum(axis=1) if self.combine == "sum" else grouped.reshape(len(grouped), -1)

    def action_size(self, numbers: int) -> int:
        """Return the number of components of a combined action."""
        return numbers if self.combine == "sum" else numbers * self.skip
