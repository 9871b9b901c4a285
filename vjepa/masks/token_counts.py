"""Numbers of context and target tokens that a mask gives, over many optimiser steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import Mask

_STEPS = 256


class Spread(NamedTuple):
    """Smallest, median and largest value of a number over many optimiser steps."""

    least: int
    median: int
    most: int

    @staticmethod
    def of(numbers: list[int]) -> Spread:
        """Return the spread of numbers; the median is one of them."""
        ordered = sorted(numbers)
        return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1])

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else " / ".join(map(str, self))


class TokenCounts(NamedTuple):
    """Numbers of context tokens and target tokens of one clip, over many optimiser steps."""

    context: Spread
    targets: Spread


def count_tokens(mask: Mask, grid: Grid) -> TokenCounts:
    """Count the tokens of a clip over 256 steps with fixed seeds; all clips of a step have equally many."""
    context, targets = [], []
    for step in range(_STEPS):
        drawn = mask.sample(grid, [np.random.default_rng([step, 1])], np.random.default_rng([step, 0]))
        context.append(drawn.context_BK.shape[1])
        targets.append(drawn.target_BM.shape[1])
    return TokenCounts(Spread.of(context), Spread.of(targets))
