"""Policies: a model that plans, and what it is compared with."""

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
    """A policy for all copies of an environment."""

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes: look at the states and goals of the environment."""
        ...

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """Return the next actions, ``(e, I, A)``; all of them are taken before the next call."""
        ...


class ModelPolicy:
    """Plans towards the image of the goal.

    Args:
        agent: Agent that plans with the model.
        distance: of embeddings, value by value; or the model's inverse dynamics (`InverseGoal`); or a probe,
            whose reading of the goal's image is wanted (`ValueGoal`).
        states: Give the agent the states of the environment, for a model that takes them.
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
        images = as_images(env.image(env.goal_eQ), self._device)
        self.agent.begin(self._goal(images))

    def _goal(self, image_eHWC: Tensor) -> Goal:
        encode, distance = self.agent.model.encode, self.distance
        if isinstance(distance, str):
            return image_goal(encode, image_eHWC, distance)
        tokens_eSD = image_goal(encode, image_eHWC).tokens_BSD
        if isinstance(distance, InverseDynamics):
            return InverseGoal(distance, tokens_eSD)
        return ValueGoal(distance, distance(tokens_eSD))

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        state = torch.from_numpy(env.state_eQ).float().to(self._device) if self.states else None
        actions = self.agent.act(as_images(image_eHWC, self._device), state)
        return np.asarray(actions.cpu().numpy(), dtype=np.float64)

    @property
    def _device(self) -> torch.device:
        return self.agent.bounds.low_A.device


class RandomActions:
    """The random walk that trajectories are collected with."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes: forget the last direction."""
        self.policy = RandomPolicy()

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        return self.policy(env, env.state_eQ, self.rng)[:, None]


class Oracle:
    """Plans with the true dynamics and the true distance; beside it one sees what the errors of a model cost.

    Args:
        planner, horizon, execute, path, seed: See `PlanningAgent`; the horizon is in steps of the
            environment.
    """

    def __init__(self, planner: Planner, *, horizon: int, execute: int, path: float, seed: int) -> None:
        self.planner = planner
        self.horizon = horizon
        self.execute = execute
        self.path = path
        self.seed = seed

    def begin(self, env: ArrayEnv) -> None:
        """Start new episodes: forget the last plan."""
        self.generator = torch.Generator().manual_seed(self.seed)
        self.last: Plan | None = None

    def act(self, env: ArrayEnv, image_eHWC: Pixels) -> Array:
        """See `EnvPolicy`."""
        bounds = env_bounds(env)
        start = bounds.centre_A.expand(env.num_envs, self.horizon, -1)
        if self.last is not None:
            start = self.last.shifted(self.execute, bounds)

        def cost(candidates_esFA: Tensor) -> Tensor:
            return over_steps(_true_distance(env, candidates_esFA), self.path)

        self.last = self.planner.plan(cost, start, bounds, self.generator)
        return np.asarray(self.last.actions_BFA[:, : self.execute].numpy(), dtype=np.float64)


def _true_distance(env: ArrayEnv, candidates_esFA: Tensor) -> Tensor:
    count, horizon = candidates_esFA.shape[1:3]
    actions = in_double(candidates_esFA.flatten(0, 1)).numpy()
    state_eQ, goal_eQ = (np.repeat(part, count, axis=0) for part in (env.state_eQ, env.goal_eQ))
    distances = []
    for step in range(horizon):
        state_eQ = env.advance(state_eQ, actions[:, step])
        distances.append(env.distance(state_eQ, goal_eQ))
    return torch.from_numpy(np.stack(distances, axis=1)).float().unflatten(0, (-1, count))


class CopyLast:
    """Stands in for a model, and imagines that nothing moves; beside it one sees what the dynamics are worth.

    Args:
        model: Model whose encoder and sizes it takes.
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
        """Return the last frame for every step."""
        steps = actions_BIA.shape[1] - tokens_BTSD.shape[1] + 1
        states = None if states_BTQ is None else states_BTQ[:, -1:].expand(-1, steps, -1)
        return Imagined(tokens_BTSD[:, -1:].expand(-1, steps, -1, -1), states)


def env_bounds(env: ArrayEnv, device: torch.device | str = "cpu") -> Bounds:
    """Return the bounds of the actions of an environment."""
    space = env.single_action_space
    return Bounds(
        torch.from_numpy(space.low).float().to(device),  # type: ignore[attr-defined]
        torch.from_numpy(space.high).float().to(device),  # type: ignore[attr-defined]
    )


def as_images(image_eHWC: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """Return images of an environment, uint8 ``(e, H, W, 3)``, in the layout of a model, ``(e, 3, H, W)``."""
    return torch.from_numpy(image_eHWC).permute(0, 3, 1, 2).to(device)
