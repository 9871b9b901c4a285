"""The interface of planners: bounds, costs and plans; and the noise that candidates are sampled with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""Function from candidate plans ``(B, s, F, A)`` to their costs ``(B, s)``; smaller is better.

A planner calls it once a round, with all candidates.
"""


@dataclass(frozen=True)
class Bounds:
    """The box of possible actions.

    Attributes:
        low_A: Lower end of the range of each number of an action; finite.
        high_A: Upper end of the range of each number of an action; finite and above `low_A`.
    """

    low_A: Tensor
    high_A: Tensor

    def __post_init__(self) -> None:
        ranges = self.high_A - self.low_A
        if self.low_A.ndim != 1 or self.low_A.shape != self.high_A.shape or not bool((ranges > 0).all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give a low and a higher "
                "end for each number of an action"
            )
        if not bool(ranges.isfinite().all()):
            raise ValueError(
                f"bounds go from {self.low_A.tolist()} to {self.high_A.tolist()}: give finite ends, which "
                "set the scale of the sampled actions"
            )

    @property
    def centre_A(self) -> Tensor:
        """Middle of each range, ``(A,)``."""
        return (self.low_A + self.high_A) / 2

    @property
    def half_A(self) -> Tensor:
        """Half the width of each range, ``(A,)``."""
        return (self.high_A - self.low_A) / 2

    def clamp(self, actions: Tensor) -> Tensor:
        """Return the nearest actions within the bounds, ``(..., A)``."""
        return actions.clamp(self.low_A, self.high_A)


@dataclass(frozen=True)
class Plan:
    """The best actions that a planner found.

    Attributes:
        actions_BFA: Actions of each step, within the bounds.
        cost_B: Cost of the plan of each problem.
    """

    actions_BFA: Tensor
    cost_B: Tensor

    def shifted(self, steps: int, bounds: Bounds) -> Tensor:
        """Return a start for the next plan after `steps` steps of this one, ``(B, F, A)``.

        The last `steps` actions are the middle of the bounds.
        """
        filled = bounds.centre_A.expand(len(self.actions_BFA), steps, -1)
        return torch.cat([self.actions_BFA[:, steps:], filled], dim=1)


class Planner(Protocol):
    """Interface of planners, which search for actions of small cost."""

    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """Plan actions for B problems at once.

        Args:
            cost: Cost of candidate plans.
            start_BFA: Plan at which the search begins, such as `Plan.shifted` of the last plan or the middle
                of the bounds. It sets the horizon and the device.
            bounds: Bounds of the actions, on the same device.
            generator: Source of all random numbers, on the same device; equal states give equal plans. None
                uses torch's global generator.
        """
        ...


def evaluate(cost: Cost, candidates_BsFA: Tensor) -> Tensor:
    """Return the costs of candidates, ``(B, s)``, after checking them.

    Raises:
        ValueError: The costs have another shape, or some are NaN.
    """
    cost_Bs = cost(candidates_BsFA)
    if cost_Bs.shape != candidates_BsFA.shape[:2]:
        raise ValueError(
            f"the cost has shape {tuple(cost_Bs.shape)} for candidates {tuple(candidates_BsFA.shape)}: give "
            f"one number for each candidate, {tuple(candidates_BsFA.shape[:2])}"
        )
    if bool(cost_Bs.isnan().any()):
        raise ValueError(
            "the cost of some candidates is NaN: check the model's weights for NaN, and give inputs and "
            "bounds within the range of its training data"
        )
    return cost_Bs


def coloured_noise(
    shape: tuple[int, int, int, int], exponent: float, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Return Gaussian noise whose power over the steps falls as ``1 / frequency ** exponent``.

    It has mean 0 and standard deviation 1. With an exponent of 2 to 3, neighbouring steps are correlated, so
    that candidates cover some distance instead of jittering around one place (iCEM, arXiv 2008.06389).

    Args:
        shape: Shape ``(B, s, F, A)`` of the noise.
        exponent: Exponent of the power's decay; 0 gives white noise.
        generator: Source of the random numbers; None uses torch's global generator.
        device: Device of the noise.
    """
    white_BsFA = torch.randn(shape, generator=generator, device=device)
    steps = shape[2]
    if exponent == 0 or steps < 2:
        return white_BsFA
    frequency_f = torch.fft.rfftfreq(steps, device=device)
    frequency_f[0] = frequency_f[1]  # Frequency 0 gets the power of the lowest one, not infinity.
    scale_f = frequency_f ** (-exponent / 2)
    # In the real spectrum, each frequency stands for two of the full spectrum, except 0 and, if the number of
    # steps is even, the highest.
    twice_f = torch.full_like(scale_f, 2.0)
    twice_f[0] = 1.0
    if steps % 2 == 0:
        twice_f[-1] = 1.0
    scale_f = scale_f / ((scale_f.square() * twice_f).sum() / steps).sqrt()
    spectrum = torch.fft.rfft(white_BsFA, dim=2) * scale_f[:, None]
    return torch.fft.irfft(spectrum, n=steps, dim=2)
