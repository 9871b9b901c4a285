"""Masks that hide the future: nothing is predicted from a token that is not earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vjepa.grid import Grid
from vjepa.masks.base import MaskIndices


@dataclass(frozen=True, kw_only=True)
class FutureMask:
    """Mask whose context is the beginning of a clip and whose targets follow it.

    Attributes:
        context: Smallest and largest share of the clip's time steps that are context, each in (0, 1]; one
            share is drawn per optimiser step.
        horizon: Smallest and largest share of the remaining time steps that are targets, each in (0, 1],
            counted from the end of the context; one share is drawn per optimiser step.
        each_step: Predict each target time step from all time steps before it, and not from the context
            alone: a clip gives one prediction of the next time step for each target, and `context` is the
            shortest past of a prediction. The predictor then attends to the past alone, and so must the
            encoder (`encoder.causal`); all masks must have `each_step`.
    """

    context: tuple[float, float] = (0.5, 0.5)
    horizon: tuple[float, float] = (1.0, 1.0)
    each_step: bool = False

    def __post_init__(self) -> None:
        for name in ("context", "horizon"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise ValueError(f"{name} is ({low}, {high}): give shares with 0 < low <= high <= 1")

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw masks; see `vjepa.masks.base.Mask`."""
        if grid.t < 2:
            raise ValueError(
                f"a clip of {grid.t} time step has no future: give more frames or a shorter tubelet"
            )
        context_steps = _steps(grid.t - 1, grid.t, step_rng.uniform(*self.context))
        rest = grid.t - context_steps
        horizon_steps = _steps(rest, rest, step_rng.uniform(*self.horizon))
        plane = grid.h * grid.w
        index_N = np.arange(grid.size)
        last = context_steps + horizon_steps
        context_K = index_N[: (last - 1 if self.each_step else context_steps) * plane]
        target_M = index_N[context_steps * plane : last * plane]
        context_BK, target_BM = (np.tile(index, (len(sample_rngs), 1)) for index in (context_K, target_M))
        return MaskIndices(context_BK, target_BM)

    def longest_context(self, steps: int) -> int:
        """Return the largest number of time steps that are context, in clips of `steps` time steps."""
        return steps - 1 if self.each_step else _steps(steps - 1, steps, self.context[1])


def _steps(most: int, whole: int, share: float) -> int:
    return min(max(round(whole * share), 1), most)
