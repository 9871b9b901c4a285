"""How many tokens a mask shows and has predicted, over many steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import Mask

_STEPS = 256


class Spread(NamedTuple):
    """Least, median and largest of a number over many steps."""

    least: int
    median: int
    most: int

    @staticmethod
    def of(numbers: list[int]) -> Spread:
        """The spread of some numbers; the median is one of them."""
        ordered = sorted(numbers)
        return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1])

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else " / ".join(map(str, self))


class TokenCounts(NamedTuple):
    """Numbers of context tokens and of target tokens of one clip."""

    context: Spread
    targets: Spread


def count_tokens(mask: Mask, grid: Grid) -> TokenCounts:
    """Numbers of tokens of a clip over 256 steps with fixed seeds; all clips of a step have the same."""
    context, targets = [], []
    for step in range(_STEPS):
        drawn = mask.sample(grid, [np.random.default_rng([step, 1])], np.random.default_rng([step, 0]))
        context.append(drawn.context_BK.shape[1])
        targets.append(drawn.target_BM.shape[1])
    return TokenCounts(Spread.of(context), Spread.of(targets))
