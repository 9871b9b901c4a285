"""Settings that cure each cause of a collapse, for the run at hand.

That they cure it is tested: tests/training/test_trainer_sabotage.py and tests/test_learning.py break runs on
purpose and apply the cure that the alarm names, and the runs recover.
"""

from __future__ import annotations

from typing import Any

from vjepa.config import OptimConfig
from vjepa.evaluation.collapse_alarm import Cause, Cures
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.pretrain.config import PretrainConfig

_FACTOR = 10.0  # by which a learning rate is divided, or a weight multiplied
_MOMENTUM = (0.98, 1.0)
_HINGE = {"objective.vicreg.variance": 1.0}
_ENOUGH = {"sigreg.weight": 0.05, "vicreg.variance": 1.0, "vicreg.covariance": 0.04}  # weights that suffice


def cures_of(config: PretrainConfig | ActionConfig, *, own: bool = False) -> Cures:
    """Return the settings that cure each cause of a collapse.

    Args:
        config: Configuration of the run.
        own: Whether the objective is the user's own, so that no setting of `objective` counts.
    """
    known: dict[Cause, dict[str, Any]] = {Cause.LARGE_STEPS: _calmer(config.optim)}
    if own:
        return known
    known[Cause.WEAK_REGULARIZER] = _stronger(config)
    if isinstance(config, ActionConfig) or config.objective.predict != "embeddings":
        return known
    objective = config.objective
    if objective.target_encoder == "ema":
        lowest = max(objective.momentum[0], _MOMENTUM[0])
        known[Cause.FAST_TARGETS] = {"objective.momentum": [lowest, _MOMENTUM[1]], **_hinge(config)}
    if objective.teacher is not None:
        known[Cause.CONSTANT_TARGETS] = {"objective.teacher": None}
    if objective.target_encoder != "init":  # whose encoder stays as it is
        known[Cause.UNPROTECTED] = _hinge(config)
    return known


def _calmer(optim: OptimConfig) -> dict[str, Any]:
    """Return a lower learning rate with a longer warm-up, which no other rate of the schedule exceeds."""
    peak = optim.lr / _FACTOR
    others = {"optim.start_lr": optim.start_lr, "optim.final_lr": optim.final_lr}
    lowered = {key: min(rate, optim.lr) / _FACTOR for key, rate in others.items() if rate > peak}
    schedule = int(optim.steps * min(optim.schedule_stretch, 1))
    return {"optim.lr": peak, **lowered, "optim.warmup_steps": max(optim.warmup_steps, schedule // 10)}


def _hinge(config: PretrainConfig) -> dict[str, Any]:
    """Return the variance hinge; it measures a whole batch, which must then not be cut into pieces."""
    piece = config.train.micro_batch
    cut = piece is not None and piece < config.optim.batch_size
    return {**_HINGE, **({"train.micro_batch": None} if cut else {})}


def _stronger(config: PretrainConfig | ActionConfig) -> dict[str, Any]:
    """Return larger weights of the regularizers that the run has."""
    changed: dict[str, Any] = {}
    for key, enough in _ENOUGH.items():
        section, field = key.split(".")
        settings = getattr(config.objective, section)
        if settings is not None:
            changed[f"objective.{key}"] = max(enough, _FACTOR * getattr(settings, field))
    return changed
