"""From the planning settings of a run to policies."""

from __future__ import annotations

import dataclasses
from typing import Any

from vjepa.choices import DistanceName
from vjepa.config import config_from_tree
from vjepa.data.trajectories.window import WindowConfig
from vjepa.environments.base import ArrayEnv
from vjepa.evaluation.probes.state import Read, fit_state_probe
from vjepa.models.action_model import ActionModel
from vjepa.models.inverse_dynamics import InverseDynamics
from vjepa.planning.agent import Imagines, PlanningAgent
from vjepa.planning.cem import CEM
from vjepa.planning.gradient import GradientPlanner
from vjepa.planning.mppi import MPPI
from vjepa.planning.planner import Planner
from vjepa.planning.policies import CopyLast, EnvPolicy, ModelPolicy, Oracle, RandomActions, env_bounds
from vjepa.recipes.action.build import frame_transform, read_train
from vjepa.recipes.action.config import ActionConfig, PlanningConfig

POLICIES = ("model", "random", "copy_last", "oracle")


def planner_of(config: PlanningConfig) -> Planner:
    """Return the planner that the configuration names, with its settings."""
    if config.planner == "cem":
        return CEM(**dataclasses.asdict(config.cem))
    if config.planner == "mppi":
        return MPPI(**dataclasses.asdict(config.mppi))
    return GradientPlanner(**dataclasses.asdict(config.gradient))


def build_policy(
    name: str,
    model: ActionModel,
    folder: dict[str, Any],
    config: PlanningConfig,
    env: ArrayEnv,
    seed: int,
) -> EnvPolicy:
    """Build a policy by name.

    Args:
        name: One of `POLICIES`: `model` plans with the model; `copy_last` plans with a model in which nothing
            moves; `oracle` plans with the true dynamics; `random` does not plan.
        model: Action-conditioned model, on the device it runs on.
        folder: Configuration stored in the model folder.
        config: Planner settings.
        env: Environment to act in.
        seed: Random seed of the policy.

    Raises:
        ValueError: `planning.distance` is `inverse` and the model has no inverse dynamics.
    """
    window = WindowConfig(**folder["trajectories"])
    if name == "random":
        return RandomActions(seed)
    if name == "oracle":
        horizon, execute = config.horizon * window.skip, config.execute * window.skip
        return Oracle(planner_of(config), horizon=horizon, execute=execute, path=config.path, seed=seed)
    device = next(model.parameters()).device
    imagines: Imagines = CopyLast(model) if name == "copy_last" else model
    agent = PlanningAgent(
        imagines, planner_of(config), window, env_bounds(env, device),
        horizon=config.horizon, execute=config.execute, path=config.path, seed=seed,
    )  # fmt: skip
    distance = _distance(config, model, folder, env, seed)
    return ModelPolicy(agent, distance, states=model.dynamics.state_size > 0)


def _distance(
    config: PlanningConfig, model: ActionModel, folder: dict[str, Any], env: ArrayEnv, seed: int
) -> DistanceName | InverseDynamics | Read:
    if config.distance == "probe":
        run = config_from_tree(folder["training"], ActionConfig)
        episodes = read_train(run, states=True)
        return fit_state_probe(model, episodes, frame_transform(run), env.goal_numbers, seed)
    if config.distance != "inverse":
        return config.distance
    if model.inverse is None:
        raise ValueError(
            "planning.distance is inverse and the model has no inverse dynamics: train it with "
            "objective.inverse, or give l1 or l2"
        )
    return model.inverse
