"""The interface of planners: bounds, costs, plans, and the noise that candidates are drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""Costs ``(B, s)`` of candidate plans ``(B, s, F, A)``; smaller is better.

A round makes one call for all candidates.
"""


@dataclass(frozen=True)
class Bounds:
    """The box of possible actions.

    Attributes:
        low_A, high_A: Lower and upper end of the range of each number of an action; finite.
    """

    low_A: Tensor
    high_A: Tensor

    def __post_init__(self) -> None:
        ranges = self.high_A - self.low_A
        if self.low_A.ndim != 1 or self.low_A.shape != self.high_A.shape or not bool((ranges > 0).all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give a low and a higher "
                "end for each number "
                "of an action"
            )
        if not bool(ranges.isfinite().all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give finite ends, or there "
                "is no scale to sample on"
            )

    @property
    def centre_A(self) -> Tensor:
        """Middle of each range, ``(A,)``."""
        return (self.low_A + self.high_A) / 2

    @property
    def half_A(self) -> Tensor:
        """Half the width of each range, ``(A,)``."""
        return (self.high_A - self.low_A) / 2

    def clamp(self, actions_XA: Tensor) -> Tensor:
        """Return the nearest actions within the bounds."""
        return actions_XA.clamp(self.low_A, self.high_A)


@dataclass(frozen=True)
class Plan:
    """The best actions that a planner found.

    Attributes:
        actions_BFA: Actions of each step, within the bounds.
        cost_B: Cost of these actions.
    """

    actions_BFA: Tensor
    cost_B: Tensor

    def shifted(self, steps: int, bounds: Bounds) -> Tensor:
        """Return a start for the next plan after `steps` steps of this one, ``(B, F, A)``.

        The end is the middle of the bounds.
        """
        filled = bounds.centre_A.expand(len(self.actions_BFA), steps, -1)
        return torch.cat([self.actions_BFA[:, steps:], filled], dim=1)


class Planner(Protocol):
    """Finds actions of small cost."""

    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """Plan actions for B problems at once.

        Args:
            cost: Cost of candidate plans.
            start_BFA: where to begin, e.g. `Plan.shifted` of the last plan, or the middle of the bounds; the
                device and the horizon are its.
            bounds: Bounds of the actions, on the same device.
            generator: Source of all random numbers, on the same device; the same state gives the same plan.
        """
        ...


def evaluate(cost: Cost, candidates_BsFA: Tensor) -> Tensor:
    """Return the costs ``(B, s)`` of candidates; ValueError if they have another shape or are NaN."""
    cost_Bs = cost(candidates_BsFA)
    if cost_Bs.shape != candidates_BsFA.shape[:2]:
        raise ValueError(
            f"the cost has shape {tuple(cost_Bs.shape)} for candidates {tuple(candidates_BsFA.shape)}: give "
            "one number a "
            f"candidate, {tuple(candidates_BsFA.shape[:2])}"
        )
    if bool(cost_Bs.isnan().any()):
        raise ValueError(
            "the cost of some candidates is NaN: the model has broken down, or was asked outside what it "
            "knows"
        )
    return cost_Bs


def coloured_noise(
    shape: tuple[int, int, int, int], exponent: float, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Return Gaussian noise ``(B, s, F, A)`` of mean 0 and deviation 1 whose power falls as ``1 / frequency
    ** exponent``.

    With exponent 0 it is white; with 2 to 3, neighbouring steps point the same way, so that candidates go
    somewhere instead of trembling on the spot (iCEM, arXiv 2008.06389).
    """
    white_BsFA = torch.randn(shape, generator=generator, device=device)
    steps = shape[2]
    if exponent == 0 or steps < 2:
        return white_BsFA
    frequency_F = torch.fft.rfftfreq(steps, device=device)
    frequency_F[0] = frequency_F[1]  # The mean is as strong as the slowest wave.
    scale_F = frequency_F ** (-exponent / 2)
    # Every wave but the mean, and the fastest of an even number, stands for two of the full spectrum.
    twice_F = torch.full_like(scale_F, 2.0)
    twice_F[0] = 1.0
    if steps % 2 == 0:
        twice_F[-1] = 1.0
    scale_F = scale_F / ((scale_F.square() * twice_F).sum() / steps).sqrt()
    spectrum = torch.fft.rfft(white_BsFA, dim=2) * scale_F[:, None]
    return torch.fft.irfft(spectrum, n=steps, dim=2)
