"""What a planner is asked, and what it answers.

Shape letters: B problems at once, S candidates, H steps of the horizon, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""Candidates ``(B, S, H, A)`` to costs ``(B, S)``; smaller is better. All candidates of an iteration come in one call."""


@dataclass(frozen=True)
class Bounds:
    """The box of possible actions.

    Attributes:
        low_A, high_A: ends of each number's range, finite.
    """

    low_A: Tensor
    high_A: Tensor

    def __post_init__(self) -> None:
        ranges = self.high_A - self.low_A
        if self.low_A.ndim != 1 or self.low_A.shape != self.high_A.shape or not bool((ranges > 0).all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give a low and a higher end for each number "
                "of an action"
            )
        if not bool(ranges.isfinite().all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give finite ends, or there is no scale to sample on"
            )

    @property
    def centre_A(self) -> Tensor:
        """The middle of each range."""
        return (self.low_A + self.high_A) / 2

    @property
    def half_A(self) -> Tensor:
        """Half of each range."""
        return (self.high_A - self.low_A) / 2

    def clamp(self, actions_XA: Tensor) -> Tensor:
        """The nearest possible actions."""
        return actions_XA.clamp(self.low_A, self.high_A)


@dataclass(frozen=True)
class Plan:
    """What a planner found.

    Attributes:
        actions_BFA: to be taken, within the bounds.
        cost_B: of these actions, as the planner's cost says.
    """

    actions_BFA: Tensor
    cost_B: Tensor

    def shifted(self, steps: int, bounds: Bounds) -> Tensor:
        """Where the next plan may start after `steps` of this one were taken: ``(B, H, A)``, the end filled with the middle."""
        filled = bounds.centre_A.expand(len(self.actions_BFA), steps, -1)
        return torch.cat([self.actions_BFA[:, steps:], filled], dim=1)


class Planner(Protocol):
    """Finds actions of small cost."""

    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """Actions for B problems at once.

        Args:
            cost: of candidates.
            start_BFA: where to begin, e.g. `Plan.shifted` of the last plan, or the middle of the bounds; the device and the
                horizon are its.
            bounds: of actions, on the same device.
            generator: of all chance, on the same device; the same state gives the same plan.
        """
        ...


def evaluate(cost: Cost, candidates_BsFA: Tensor) -> Tensor:
    """Costs ``(B, S)``; ValueError where they have another shape or are not numbers."""
    cost_Bs = cost(candidates_BsFA)
    if cost_Bs.shape != candidates_BsFA.shape[:2]:
        raise ValueError(
            f"the cost has shape {tuple(cost_Bs.shape)} for candidates {tuple(candidates_BsFA.shape)}: give one number a "
            f"candidate, {tuple(candidates_BsFA.shape[:2])}"
        )
    if bool(cost_Bs.isnan().any()):
        raise ValueError(
            "the cost of some candidates is NaN: the model has broken down, or was asked outside what it knows"
        )
    return cost_Bs


def coloured_noise(
    shape: tuple[int, int, int, int], exponent: float, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Gaussian noise ``(B, S, H, A)`` of mean 0 and deviation 1 whose power falls as ``1 / frequency ** exponent`` over H.

    With exponent 0 it is white; with 2 to 3, neighbouring steps point the same way, so that candidates go somewhere
    instead of trembling on the spot (iCEM, arXiv 2008.06389).
    """
    white_BsFA = torch.randn(shape, generator=generator, device=device)
    steps = shape[2]
    if exponent == 0 or steps < 2:
        return white_BsFA
    frequency_F = torch.fft.rfftfreq(steps, device=device)
    frequency_F[0] = frequency_F[1]  # the mean, as strong as the slowest wave
    scale_F = frequency_F ** (-exponent / 2)
    # Every wave but the mean, and the fastest of an even number, stands for two of the full spectrum.
    twice_F = torch.full_like(scale_F, 2.0)
    twice_F[0] = 1.0
    if steps % 2 == 0:
        twice_F[-1] = 1.0
    scale_F = scale_F / ((scale_F.square() * twice_F).sum() / steps).sqrt()
    spectrum = torch.fft.rfft(white_BsFA, dim=2) * scale_F[:, None]
    return torch.fft.irfft(spectrum, n=steps, dim=2)
