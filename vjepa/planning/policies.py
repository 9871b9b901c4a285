"""Policies of environments: planning with a model, and the baselines that it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vjepa.choices import DistanceName
from vjepa.data.trajectories.collect import RandomPolicy
from vjepa.double_precision import in_double
from vjepa.environments.base import Array, ArrayEnv, Pixels
from vjepa.models.action_model import ActionModel, Imagined, NextState
from vjepa.models.inverse_dynamics import InverseDynamics
from vjepa.planning.agent import PlanningAgent
from vjepa.planning.goals import Goal, InverseGoal, ValueGoal, image_goal, over_steps
from vjepa.planning.planner import Bounds, Plan, Planner


class EnvPolicy(Protocol):
    """Interface of policies, which act in all copies of an environment at once."""

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes with the environment's current states and goals."""
        ...

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """Return the next actions, ``(e, I, A)``; all I of them are taken before the next call.

        Args:
            env: Environment to act in.
            image_eHWC: Current image of each copy, uint8.
        """
        ...


class ModelPolicy:
    """Policy that plans towards an image of the goal.

    Args:
        agent: Agent that plans with the model.
        distance: Distance of imagined frames from the goal: the name of an elementwise distance of embeddings
            (`EmbeddingGoal`), the model's inverse dynamics (`InverseGoal`), or a probe, whose values at the
            goal's image are the goal (`ValueGoal`).
        states: Whether the agent gets the environment's states, for a model that takes them.
    """

    def __init__(
        self,
        agent: PlanningAgent,
        distance: DistanceName | InverseDynamics | Callable[[Tensor], Tensor] = "l2",
        states: bool = False,
    ) -> None:
        self.agent = agent
        self.distance = distance
        self.states = states

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes; the goal is the image of the environment's goal."""
        image_eCHW = as_images(env.image(env.goal_eQ), self._device)
        self.agent.begin(self._goal(image_eCHW))

    def _goal(self, image_eCHW: Tensor) -> Goal:
        encode, distance = self.agent.model.encode, self.distance
        if isinstance(distance, str):
            return image_goal(encode, image_eCHW, distance)
        tokens_eSD = image_goal(encode, image_eCHW).tokens_BSD
        if isinstance(distance, InverseDynamics):
            return InverseGoal(distance, tokens_eSD)
        return ValueGoal(distance, distance(tokens_eSD))

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        state_eQ = torch.from_numpy(env.state_eQ).float().to(self._device) if self.states else None
        actions_eIA = self.agent.act(as_images(image_eHWC, self._device), state_eQ)
        return np.asarray(actions_eIA.cpu().numpy(), dtype=np.float64)

    @property
    def _device(self) -> torch.device:
        return self.agent.bounds.low_A.device


class RandomActions:
    """Baseline: the random walk that trajectories are collected with.

    Args:
        seed: Random seed of the actions.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes, and forget the last direction."""
        self.policy = RandomPolicy()

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        return self.policy(env, env.state_eQ, self.rng)[:, None]


class Oracle:
    """Baseline that plans with the true dynamics and distance; it shows what a model's errors cost.

    Args:
        planner: Planner from `vjepa.planning`.
        horizon: Number of steps of a plan, in environment steps.
        execute: Number of steps of a plan that are taken before the next plan is made.
        path: Weight of the mean distance over all steps in a plan's cost, in [0, 1] (see `over_steps`).
        seed: Random seed of the planner.
    """

    def __init__(self, planner: Planner, *, horizon: int, execute: int, path: float, seed: int) -> None:
        self.planner = planner
        self.horizon = horizon
        self.execute = execute
        self.path = path
        self.seed = seed

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes, and forget the last plan."""
        self.generator = torch.Generator().manual_seed(self.seed)
        self.last: Plan | None = None

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        bounds = env_bounds(env)
        start_eFA = bounds.centre_A.expand(env.num_envs, self.horizon, -1)
        if self.last is not None:
            start_eFA = self.last.shifted(self.execute, bounds)

        def cost(candidates_esFA: Tensor) -> Tensor:
            return over_steps(_true_distance(env, candidates_esFA), self.path)

        self.last = self.planner.plan(cost, start_eFA, bounds, self.generator)
        return np.asarray(self.last.actions_BFA[:, : self.execute].numpy(), dtype=np.float64)


def _true_distance(env: ArrayEnv, candidates_esFA: Tensor) -> Tensor:
    """Return the true distance from the goal after each step of candidate plans, ``(e, s, F)``."""
    count, horizon = candidates_esFA.shape[1:3]
    actions_sFA = in_double(candidates_esFA.flatten(0, 1)).numpy()
    state_sQ, goal_sQ = (np.repeat(values_eQ, count, axis=0) for values_eQ in (env.state_eQ, env.goal_eQ))
    distances = []
    for step in range(horizon):
        state_sQ = env.advance(state_sQ, actions_sFA[:, step])
        distances.append(env.distance(state_sQ, goal_sQ))
    return torch.from_numpy(np.stack(distances, axis=1)).float().unflatten(0, (-1, count))


class CopyLast:
    """Substitute for a model that imagines no change; as a baseline it shows what learnt dynamics contribute.

    Args:
        model: Model whose encoder, and sizes of actions and states, it takes.
    """

    window = 1

    def __init__(self, model: ActionModel) -> None:
        self.model = model
        self.dynamics = model.dynamics

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """See `ActionModel.encode`."""
        return self.model.encode(video_BTCHW)

    def imagine(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """Return the last frame and state for every step."""
        steps = actions_BIA.shape[1] - tokens_BTSD.shape[1] + 1
        states = None if states_BTQ is None else states_BTQ[:, -1:].expand(-1, steps, -1)
        return Imagined(tokens_BTSD[:, -1:].expand(-1, steps, -1, -1), states)


def env_bounds(env: ArrayEnv, device: torch.device | str = "cpu") -> Bounds:
    """Return the bounds of an environment's actions."""
    space = env.single_action_space
    return Bounds(
        torch.from_numpy(space.low).float().to(device),  # type: ignore[attr-defined]
        torch.from_numpy(space.high).float().to(device),  # type: ignore[attr-defined]
    )


def as_images(image_eHWC: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """Convert images from an environment's layout, uint8 ``(e, H, W, 3)``, to a model's, ``(e, 3, H, W)``."""
    return torch.from_numpy(image_eHWC).permute(0, 3, 1, 2).to(device)
