"""From configuration to objects: the only place that knows both."""

from __future__ import annotations

import dataclasses
from typing import Any

from vjepa.config import Config, config_tree
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.models.sizes import SIZES
from vjepa.objectives.jepa import JEPA
from vjepa.schedules import anneal


def model_arguments(config: Config) -> dict[str, Any]:
    """Constructor arguments of the networks, as plain values: what a model folder's config.json holds."""
    encoder = {**SIZES[config.encoder.size]._asdict(), **_given(config.encoder)}
    del encoder["size"]
    shared = {"positions": config.encoder.positions, "rotary_layout": config.encoder.rotary_layout}
    return {
        "encoder": {**encoder, "channels": len(config.data.mean)},
        "predictor": {
            **dataclasses.asdict(config.predictor),
            **shared,
            "in_width": encoder["width"],
            "out_width": encoder["width"],
            "num_mask_tokens": len(config.masks.all),
        },
        "pixels": {"mean": list(config.data.mean), "std": list(config.data.std)},
    }


def model_config(config: Config) -> dict[str, Any]:
    """What a model folder says of itself: the networks' arguments and how they were trained."""
    return {"library": "vjepa", **model_arguments(config), "training": config_tree(config)}


def build_objective(config: Config) -> JEPA:
    """The objective with its networks, freshly initialised from torch's random state."""
    arguments = model_arguments(config)
    encoder = VideoEncoder(**arguments["encoder"])
    predictor = Predictor(**arguments["predictor"])
    encoder.set_grad_checkpointing(config.train.activation_checkpointing)
    predictor.set_grad_checkpointing(config.train.activation_checkpointing)
    start, final = config.objective.momentum
    total = config.optim.steps * config.optim.schedule_stretch
    return JEPA(
        encoder=encoder,
        predictor=predictor,
        normalizer=PixelNormalizer(**arguments["pixels"]),
        momentum=lambda step: anneal(step, total, start, final, "linear"),
        loss_exponent=config.objective.loss_exponent,
    )


def _given(section: Any) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}
