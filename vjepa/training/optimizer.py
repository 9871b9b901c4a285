"""AdamW with its parameter groups, and the schedules of learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from vjepa.config import OptimConfig
from vjepa.models.classifier import QUERIES, Classifier
from vjepa.models.head_grid import HeadGrid
from vjepa.schedules import anneal, warm_up_then_anneal


def build_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Build AdamW for the trained parameters; those that `_sorted` puts aside have no weight decay."""
    matrices, others = _sorted(module)
    groups: list[dict[str, Any]] = [
        {"params": matrices, "decays": True, "lr_scale": 1.0},
        {"params": others, "decays": False, "lr_scale": 1.0, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def build_classifier_optimizer(
    network: Classifier, config: OptimConfig, layer_decay: float
) -> torch.optim.AdamW:
    """Build AdamW with layer-wise learning rates, as in BEiT and VideoMAE.

    Args:
        network: Classifier to train.
        config: Settings of the optimiser; weight decay is constant.
        layer_decay: Factor of the learning rate from each block to the one below it.
    """
    groups = param_groups_layer_decay(
        network, config.weight_decay, tuple(network.no_weight_decay()), layer_decay=layer_decay
    )
    return _constant_decay(groups, config)


def build_grid_optimizer(
    grid: HeadGrid, config: OptimConfig, pairs: Sequence[tuple[float, float]]
) -> torch.optim.AdamW:
    """Build AdamW for a grid of heads that share no parameters.

    Args:
        grid: Heads to train.
        config: Settings of the optimiser; weight decay is constant.
        pairs: Peak learning rate and weight decay of each head. What `_sorted` puts
            aside has no weight decay.
    """
    groups = []
    for head, (lr, weight_decay) in zip(grid.heads, pairs, strict=True):
        for parameters, decay in zip(_sorted(head), (weight_decay, 0.0), strict=True):
            groups.append({"params": parameters, "lr_scale": lr / config.lr, "weight_decay": decay})
    return _constant_decay(groups, config)


def _sorted(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trained matrices of a module, then what has no weight decay.

    These are vectors (biases, norms), and the queries of an attentive head, which stand for tokens, as in
    `Classifier.no_weight_decay`.
    """
    trained = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for name, parameter in trained:
        parts[parameter.ndim < 2 or name.endswith(QUERIES)].append(parameter)
    return parts


def _constant_decay(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.AdamW:
    groups = [{**group, "decays": False} for group in groups]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


@dataclass(frozen=True)
class Schedules:
    """Schedules of learning rate and weight decay, as functions of the number of steps taken.

    Attributes:
        config: Settings of the optimiser, which include those of the schedules.
    """

    config: OptimConfig

    @property
    def _total(self) -> float:
        return self.config.steps * self.config.schedule_stretch

    def lr(self, step: int) -> float:
        """Return the learning rate of the step after `step` steps."""
        c = self.config
        return warm_up_then_anneal(
            step, total=self._total, warmup=c.warmup_steps,
            start=c.start_lr, peak=c.lr, final=c.final_lr, shape=c.lr_shape,
        )  # fmt: skip

    def weight_decay(self, step: int) -> float:
        """Return the weight decay of matrices in the step after `step` steps."""
        c = self.config
        final = c.weight_decay if c.final_weight_decay is None else c.final_weight_decay
        return anneal(step, self._total, c.weight_decay, final, "cosine")

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set learning rates and weight decays of an optimiser for the step after `step` steps."""
        for group in optimizer.param_groups:
            group["lr"] = self.lr(step) * group["lr_scale"]
            if group["decays"]:
                group["weight_decay"] = self.weight_decay(step)
