"""The cross-entropy method (CEM), and iCEM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.planning.planner import Bounds, Cost, Plan, coloured_noise, evaluate
from vjepa.planning.settings import CEMSettings


@dataclass(frozen=True, kw_only=True)
class CEM(CEMSettings):
    """Planner that refits the mean and deviation of a Gaussian to its best candidates in each round.

    With `noise_exponent` and `kept` above 0 it is iCEM (arXiv 2008.06389). V-JEPA 2-AC plans with 400
    samples, 10 elites, 10 iterations and a momentum of 0.15; jepa-wms plans with 300 samples, 10 elites and
    30 iterations.

    Its attributes are those of `CEMSettings`.
    """

    @torch.no_grad()
    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """See `Planner.plan`; the plan is the best candidate of all rounds."""
        mean_BFA = bounds.clamp(start_BFA)
        std_BFA = (self.deviation * bounds.half_A).expand_as(mean_BFA)
        kept_BsFA = mean_BFA[:, None][:, :0]
        best: Plan | None = None
        for _ in range(self.iterations):
            candidates_BsFA = self._candidates(mean_BFA, std_BFA, kept_BsFA, bounds, generator)
            cost_Bs = evaluate(cost, candidates_BsFA)
            order_Bs = cost_Bs.topk(self.elites, dim=1, largest=False).indices
            elite_BsFA = _pick(candidates_BsFA, order_Bs)
            best = _better(best, Plan(elite_BsFA[:, 0], cost_Bs.gather(1, order_Bs[:, :1])[:, 0]))
            old, new = self.momentum, 1 - self.momentum
            mean_BFA = old * mean_BFA + new * elite_BsFA.mean(dim=1)
            std_BFA = old * std_BFA + new * elite_BsFA.std(dim=1, unbiased=False)
            std_BFA = std_BFA.maximum(self.least_deviation * bounds.half_A)
            kept_BsFA = elite_BsFA[:, : self.kept]
        assert best is not None
        return best

    def _candidates(
        self,
        mean_BFA: Tensor,
        std_BFA: Tensor,
        kept_BsFA: Tensor,
        bounds: Bounds,
        generator: torch.Generator | None,
    ) -> Tensor:
        batch, horizon, width = mean_BFA.shape
        fresh = self.samples - 1 - kept_BsFA.shape[1]
        shape = (batch, fresh, horizon, width)
        noise_BsFA = coloured_noise(shape, self.noise_exponent, generator, mean_BFA.device)
        drawn_BsFA = bounds.clamp(mean_BFA[:, None] + std_BFA[:, None] * noise_BsFA)
        return torch.cat([mean_BFA[:, None], kept_BsFA, drawn_BsFA], dim=1)


def _pick(candidates_BsFA: Tensor, rows_Bs: Tensor) -> Tensor:
    index = rows_Bs[:, :, None, None].expand(-1, -1, *candidates_BsFA.shape[2:])
    return candidates_BsFA.gather(1, index)


def _better(first: Plan | None, second: Plan) -> Plan:
    """Return the plan of lower cost for each problem."""
    if first is None:
        return second
    wins_B = second.cost_B < first.cost_B
    actions_BFA = torch.where(wins_B[:, None, None], second.actions_BFA, first.actions_BFA)
    return Plan(actions_BFA, torch.minimum(first.cost_B, second.cost_B))
