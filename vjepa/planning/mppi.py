"""Model predictive path integral control (MPPI)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.planning.planner import Bounds, Cost, Plan, coloured_noise, evaluate
from vjepa.planning.settings import MPPISettings


@dataclass(frozen=True, kw_only=True)
class MPPI(MPPISettings):
    """Planner that averages its candidates with the weights ``exp(-cost / temperature)`` in each round.

    Source: information-theoretic MPC (arXiv 1707.02342). Costs are first standardised to mean 0 and standard
    deviation 1 over the candidates, so that a temperature has the same effect with every model.

    Its attributes are those of `MPPISettings`.
    """

    @torch.no_grad()
    def plan(
        self, cost: Cost, start_BFA: Tensor, bounds: Bounds, generator: torch.Generator | None = None
    ) -> Plan:
        """See `Planner.plan`; the plan is the mean of the last round."""
        mean_BFA = bounds.clamp(start_BFA)
        batch, horizon, width = mean_BFA.shape
        std_A = self.deviation * bounds.half_A
        for _ in range(self.iterations):
            shape = (batch, self.samples - 1, horizon, width)
            noise_BsFA = coloured_noise(shape, self.noise_exponent, generator, mean_BFA.device)
            drawn_BsFA = bounds.clamp(mean_BFA[:, None] + std_A * noise_BsFA)
            candidates_BsFA = torch.cat([mean_BFA[:, None], drawn_BsFA], dim=1)
            weight_Bs = self._weights(evaluate(cost, candidates_BsFA))
            mean_BFA = torch.einsum("bs,bsfa->bfa", weight_Bs, candidates_BsFA)
            std_A = self.decay * std_A
        return Plan(mean_BFA, evaluate(cost, mean_BFA[:, None])[:, 0])

    def _weights(self, cost_Bs: Tensor) -> Tensor:
        """Return the weight of each candidate; that of an infinite cost is 0."""
        finite_Bs = cost_Bs.isfinite()
        if not bool(finite_Bs.any(dim=1).all()):
            raise ValueError("the cost of all candidates is infinite: give a cost that some plans can pay")
        count_B1 = finite_Bs.sum(dim=1, keepdim=True)
        known_Bs = cost_Bs.where(finite_Bs, 0)
        gap_Bs = (known_Bs - known_Bs.sum(dim=1, keepdim=True) / count_B1).where(finite_Bs, 0)
        variance_B1 = gap_Bs.square().sum(dim=1, keepdim=True) / (count_B1 - 1).clamp_min(1)
        standard_Bs = gap_Bs / variance_B1.sqrt().clamp_min(1e-12)
        return (-standard_Bs / self.temperature).masked_fill(~finite_Bs, -torch.inf).softmax(dim=1)
