"""What a pre-training run costs, counted before it, and arms that are given the FLOPs of another."""

from __future__ import annotations

import dataclasses
import math

import torch

from vjepa.profiling.flops import forward_flops
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import average_cost, kinds_of_steps

_PREDICTING = {"embeddings": "predictor", "pixels": "decoder", "views": "projector"}


def clip_count(config: PretrainConfig) -> int:
    """Return the number of clips that a run sees, those of its teacher's stage included."""
    return sum(_clips(stage) for stage in build.stages(config))


def training_flops(config: PretrainConfig) -> float:
    """Return the number of floating-point operations of a run, its target encoder and teacher included.

    Only those of matrix products are counted, forward and backward, on the meta device.
    """
    return sum(_step_flops(stage) * _clips(stage) for stage in build.stages(config))


def with_flops(config: PretrainConfig, flops: float) -> PretrainConfig:
    """Return the configuration with as many steps as take `flops` floating-point operations in all.

    All settings that count optimiser steps are multiplied by the same factor, so that schedules keep their
    shape. The number of FLOPs is met up to half a step (of each stage).
    """
    factor = flops / training_flops(config)
    objective, optim = config.objective, config.optim

    def scaled(steps: int) -> int:
        return max(round(factor * steps), 1)

    steps = scaled(optim.steps)
    optim = dataclasses.replace(
        optim, steps=steps, warmup_steps=min(round(factor * optim.warmup_steps), steps)
    )
    objective = dataclasses.replace(objective, teacher_steps=scaled(objective.teacher_steps))
    if objective.context_loss is not None:
        first, last = (round(factor * step) for step in objective.context_loss.warmup)
        context_loss = dataclasses.replace(objective.context_loss, warmup=(first, last))
        objective = dataclasses.replace(objective, context_loss=context_loss)
    probe = dataclasses.replace(config.probe, every=scaled(config.probe.every))
    return dataclasses.replace(config, optim=optim, objective=objective, probe=probe)


def run_cost(config: PretrainConfig) -> dict[str, float]:
    """Return the cost of a run by name.

    FLOPs are per clip, except for ``total_flops``. ``seen`` is the share of the tokens in the context of the
    first mask, and ``predicted_values`` the number of values that are predicted of each token; both are
    absent where no tokens are predicted.
    """
    with torch.device("meta"):
        objective = build.build_objective(build.resolve(config))
    _, batch = kinds_of_steps(config)[0]
    name = _PREDICTING[config.objective.predict]
    predicting = getattr(objective, name)  # None for views that are compared without a projector
    parts = forward_flops(objective, batch)
    tokens = math.prod(objective.encoder.grid_of(batch.video_BTCHW.transpose(1, 2)))
    of_tokens = {}
    if batch.masks:
        of_tokens = {
            "predicted_values": predicting.proj.out_features,
            "seen": batch.masks[0].context_BK.shape[1] / tokens,
        }
    return {
        "predicting_parameters": sum(p.numel() for p in predicting.parameters()) if predicting else 0,
        "predicting_flops": parts.get(name, 0.0),
        "encoder_flops": parts["encoder"],
        "target_encoder_flops": parts.get("target_encoder", 0.0),
        "step_flops": average_cost(config, objective).flops,
        "total_flops": training_flops(config),
        "clips": clip_count(config),
        **of_tokens,
    }


def _step_flops(config: PretrainConfig) -> float:
    """Return the number of floating-point operations of an average step, per clip."""
    with torch.device("meta"):
        return average_cost(config, build.build_objective(build.resolve(config))).flops


def _clips(config: PretrainConfig) -> int:
    return config.optim.steps * config.optim.batch_size * config.data.clip.clips_per_video
