"""Settings that cure each cause of a collapse, for the run at hand.

That they cure it is tested: tests/training/test_trainer_sabotage.py and tests/test_learning.py break runs on
purpose and apply the cure that the alarm names, and the runs recover.
"""

from __future__ import annotations

from typing import Any

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
    optim = config.optim
    warmup = max(optim.warmup_steps, optim.steps // 10)
    calmer: dict[str, Any] = {"optim.lr": optim.lr / _FACTOR, "optim.warmup_steps": warmup}
    known: dict[Cause, dict[str, Any]] = {Cause.LARGE_STEPS: calmer}
    if own:
        return known
    known[Cause.WEAK_REGULARIZER] = _stronger(config)
    if isinstance(config, ActionConfig) or config.objective.predict != "embeddings":
        return known
    objective = config.objective
    if objective.target_encoder == "ema":
        lowest = max(objective.momentum[0], _MOMENTUM[0])
        known[Cause.FAST_TARGETS] = {"objective.momentum": [lowest, _MOMENTUM[1]], **_HINGE}
    if objective.teacher is not None:
        known[Cause.CONSTANT_TARGETS] = {"objective.teacher": None}
    known[Cause.UNPROTECTED] = _HINGE
    return known


def _stronger(config: PretrainConfig | ActionConfig) -> dict[str, Any]:
    """Return larger weights of the regularizers that the run has."""
    changed: dict[str, Any] = {}
    for key, enough in _ENOUGH.items():
        section, field = key.split(".")
        settings = getattr(config.objective, section)
        if settings is not None:
            changed[f"objective.{key}"] = max(enough, _FACTOR * getattr(settings, field))
    return changed
