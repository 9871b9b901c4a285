"""Planning by gradient descent on the actions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.planning.planner import Bounds, Cost, Plan, evaluate
from vjepa.planning.settings import GradientSettings


@dataclass(frozen=True, kw_only=True)
class GradientPlanner(GradientSettings):
    """Planner that optimises actions with Adam through a differentiable cost, from several starts at once.

    It suits smooth costs: around obstacles the gradient points into the wall (jepa-wms, arXiv 2512.24497).

    Its attributes are those of `GradientSettings`.
    """

    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """See `Planner.plan`; the plan is the best one over all starts."""
        batch, horizon, width = start_BFA.shape
        shape = (batch, self.starts - 1, horizon, width)
        noise_BsFA = torch.randn(shape, generator=generator, device=start_BFA.device)
        others_BsFA = start_BFA[:, None] + self.deviation * bounds.half_A * noise_BsFA
        begun_BsFA = bounds.clamp(torch.cat([start_BFA[:, None], others_BsFA], dim=1))
        # Scaled to shares of half the range, all numbers of an action suit one learning rate.
        free_BsFA = ((begun_BsFA - bounds.centre_A) / bounds.half_A).requires_grad_(True)
        optimizer = torch.optim.Adam([free_BsFA], lr=self.lr)
        with torch.enable_grad():
            for _ in range(self.steps):
                # Gradients of the actions alone: backward would add to those of the model's weights.
                total = evaluate(cost, _actions(free_BsFA, bounds)).sum()
                (free_BsFA.grad,) = torch.autograd.grad(total, free_BsFA)
                optimizer.step()
                with torch.no_grad():
                    free_BsFA.clamp_(-1, 1)
        with torch.no_grad():
            found_BsFA = _actions(free_BsFA, bounds)
            best = evaluate(cost, found_BsFA).min(dim=1)
        rows = torch.arange(batch, device=start_BFA.device)
        return Plan(found_BsFA[rows, best.indices], best.values)


def _actions(free_BsFA: Tensor, bounds: Bounds) -> Tensor:
    return bounds.clamp(bounds.centre_A + bounds.half_A * free_BsFA)
