"""AdamW, what decays and what does not, and the schedules that drive it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vjepa.config import OptimConfig
from vjepa.schedules import anneal, warm_up_then_anneal


def build_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trained parameters; vectors (biases, norms) have no weight decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "decays": True},
        {
            "params": [parameter for parameter in trained if parameter.ndim < 2],
            "decays": False,
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


@dataclass(frozen=True)
class Schedules:
    """What changes over a run, as functions of the number of steps taken."""

    config: OptimConfig

    @property
    def _total(self) -> float:
        return self.config.steps * self.config.schedule_stretch

    def lr(self, step: int) -> float:
        """Learning rate."""
        c = self.config
        return warm_up_then_anneal(
            step, total=self._total, warmup=c.warmup_steps,
            start=c.start_lr, peak=c.lr, final=c.final_lr, shape=c.lr_shape,
        )  # fmt: skip

    def weight_decay(self, step: int) -> float:
        """Weight decay of the matrices."""
        c = self.config
        final = c.weight_decay if c.final_weight_decay is None else c.final_weight_decay
        return anneal(step, self._total, c.weight_decay, final, "cosine")

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set an optimiser's groups for the step that comes after `step` steps."""
        for group in optimizer.param_groups:
            group["lr"] = self.lr(step)
            if group["decays"]:
                group["weight_decay"] = self.weight_decay(step)
