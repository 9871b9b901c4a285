"""Environments of gymnasium that render images; their observations become the states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F

from vjepa.environments.base import Array, Pixels  # first: it says what to install if gymnasium is missing

# isort: split
import gymnasium
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class GymEnv(VectorEnv[Pixels, Array, Any]):
    """Copies of an environment of gymnasium, stepped one after the other.

    Ended copies keep their state until `reset`. For an environment with discrete actions, an action is one
    number for each choice, and the choice with the largest number is taken.

    Args:
        name: Name for `gymnasium.make`; the environment must render (``render_mode="rgb_array"``).
        num_envs: Number of copies.
        size: Height and width in pixels to which images are resized.
        arguments: Further arguments of `gymnasium.make`.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  (gymnasium's way)

    def __init__(self, name: str, num_envs: int = 1, size: int = 64, **arguments: Any) -> None:
        self.name = name
        self.num_envs = num_envs
        self.size = size
        self.arguments = arguments
        self.envs = [gymnasium.make(name, render_mode="rgb_array", **arguments) for _ in range(num_envs)]
        self._given = self.envs[0].action_space
        if isinstance(self._given, Discrete):
            self.single_action_space = Box(0.0, 1.0, (int(self._given.n),), np.float32)
        elif isinstance(self._given, Box) and self._given.is_bounded():
            self.single_action_space = Box(
                self._given.low.reshape(-1), self._given.high.reshape(-1), dtype=np.float32
            )
        else:
            raise ValueError(f"{name} has actions {self._given}: give one with bounded or numbered actions")
        self.single_observation_space = Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended_e = np.zeros(num_envs, dtype=bool)
        self._states: list[NDArray[np.float64]] = []
        self._images: list[Pixels] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Begin a new episode in all copies; copy number e is seeded by ``seed + e``."""
        self._ended_e[:] = False
        seeds = [None if seed is None else seed + number for number in range(self.num_envs)]
        first = [env.reset(seed=one, options=options)[0] for env, one in zip(self.envs, seeds, strict=True)]
        self._states = [_flat(observation) for observation in first]
        self._images = [self._drawn(env) for env in self.envs]
        return np.stack(self._images), self._info()

    def step(
        self, actions: Array
    ) -> tuple[Pixels, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one step in the copies that have not ended; actions ``(e, A)``."""
        action_eA = np.asarray(actions, dtype=np.float64)
        if action_eA.shape != self.action_space.shape or not np.isfinite(action_eA).all():
            raise ValueError(
                f"actions have shape {action_eA.shape}: give finite numbers of shape "
                f"{self.action_space.shape}"
            )
        rewards, reached, late = np.zeros(self.num_envs), self._ended_e & False, self._ended_e & False
        for number in np.flatnonzero(~self._ended_e):
            env = self.envs[number]
            observation, reward, reached[number], late[number], _ = env.step(self._native(action_eA[number]))
            rewards[number] = float(reward)
            self._states[number], self._images[number] = _flat(observation), self._drawn(env)
        self._ended_e |= reached | late
        return np.stack(self._images), rewards, reached, late, self._info()

    def _native(self, action_A: Array) -> Any:
        if isinstance(self._given, Discrete):
            return int(self._given.start) + int(action_A.argmax())
        assert isinstance(self._given, Box)
        action = action_A.reshape(self._given.shape).clip(self._given.low, self._given.high)
        if np.issubdtype(self._given.dtype, np.integer):
            action = action.round()
        return action.astype(self._given.dtype)

    def _drawn(self, env: gymnasium.Env[Any, Any]) -> Pixels:
        image = env.render()
        if not isinstance(image, np.ndarray):
            raise ValueError(
                f"{self.name} draws {type(image).__name__}: give an environment that draws rgb_array"
            )
        image_CHW = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        resized = F.resize(image_CHW, [self.size, self.size], antialias=True)
        return np.asarray(resized.permute(1, 2, 0).numpy())

    def _info(self) -> dict[str, Any]:
        return {"state": np.stack(self._states)}

    def close_extras(self, **kwargs: Any) -> None:
        """Close every copy."""
        for env in self.envs:
            env.close()


def _flat(observation: Any) -> NDArray[np.float64]:
    """Return the numbers in an observation as a vector; text and other parts without numbers are left out."""
    if isinstance(observation, dict):
        observation = tuple(observation[name] for name in sorted(observation))
    if isinstance(observation, tuple):
        return np.concatenate([np.zeros(0), *(_flat(part) for part in observation)])
    values = np.asarray(observation)
    return values.astype(np.float64).reshape(-1) if values.dtype.kind in "biuf" else np.zeros(0)
