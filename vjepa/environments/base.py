"""What the embedded environments share: states as arrays, goals, episodes, images.

Letters: E copies, S numbers of a state, A numbers of an action, H W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from gymnasium.spaces import Box
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "environments need the package gymnasium: pip install 'vjepa-world[env]'"
    ) from error

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class ArrayEnv(VectorEnv[Pixels, Array, Any], ABC):
    """Copies of one environment, stepped together. Lengths are shares of the frame's side, times are steps.

    Observations are images, uint8 ``(E, H, W, 3)``; ``info`` has ``state`` and ``goal`` ``(E, S)`` and
    ``goal_image``. The reward is 1 in the step in which a goal is reached, which ends the episode; so does,
    unreached, its last step. Ended copies stay as they are until `reset`.

    Args:
        num_envs: E.
        size: H and W.
        max_steps: Steps after which an episode ends.
        ends: Whether a reached goal ends the episode; not where trajectories are collected.

    Attributes:
        state_ES, goal_ES: Positions of things, and the wanted positions. `set_state` changes them.
        goal_numbers: Numbers of the state that a goal is about, and that one image shows.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_fps": 10}  # noqa: RUF012  (gymnasium's way)
    state_size: int
    goal_numbers: tuple[int, ...] = (0, 1)
    action_size = 2

    def __init__(self, num_envs: int = 1, size: int = 64, max_steps: int = 50, *, ends: bool = True) -> None:
        if num_envs < 1 or size < 16 or max_steps < 1:
            raise ValueError(
                f"num_envs is {num_envs}, size {size}, max_steps {max_steps}: give 1 copy or more, 16 pixels "
                "or more, 1 step or more"
            )
        self.num_envs = num_envs
        self.size = size
        self.max_steps = max_steps
        self.ends = ends
        self.single_observation_space = Box(0, 255, (size, size, 3), np.uint8)
        self.single_action_space = Box(-1.0, 1.0, (self.action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.state_ES = np.zeros((num_envs, self.state_size))
        self.goal_ES = np.zeros((num_envs, self.state_size))
        self._steps_E = np.zeros(num_envs, dtype=np.int64)
        self._ended_E = np.zeros(num_envs, dtype=bool)
        self._goal_image: Pixels | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """New states and goals for all copies; the same seed gives the same ones."""
        super().reset(seed=seed)
        self.state_ES, self.goal_ES = self._draw(self.np_random)
        self._goal_image = None
        self._steps_E[:] = 0
        self._ended_E[:] = False
        return self.image(self.state_ES), self._info()

    def set_state(self, state_ES: Array, goal_ES: Array | None = None) -> None:
        """Put all copies into given states, and give them goals; their episodes begin anew."""
        for name, given in (("state", state_ES), ("goal", goal_ES)):
            if given is not None and np.shape(given) != self.state_ES.shape:
                raise ValueError(f"{name} has shape {np.shape(given)}: give {self.state_ES.shape}")
        self.state_ES = np.array(state_ES, dtype=np.float64)
        if goal_ES is not None:
            self.goal_ES, self._goal_image = np.array(goal_ES, dtype=np.float64), None
        self._steps_E[:] = 0
        self._ended_E[:] = False

    def step(
        self, actions: Array
    ) -> tuple[Pixels, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of all copies; actions ``(E, A)`` in [-1, 1], what is beyond is cut off."""
        action_EA = self._checked(actions)
        moving = ~self._ended_E
        self.state_ES = np.where(moving[:, None], self.advance(self.state_ES, action_EA), self.state_ES)
        self._steps_E += moving
        reached_E = self.reached(self.state_ES, self.goal_ES) & moving & self.ends
        late_E = (self._steps_E >= self.max_steps) & moving & ~reached_E
        self._ended_E |= reached_E | late_E
        return self.image(self.state_ES), reached_E.astype(np.float64), reached_E, late_E, self._info()

    def _checked(self, actions: Array) -> Array:
        action_EA = np.asarray(actions, dtype=np.float64)
        if action_EA.shape != (self.num_envs, self.action_size):
            raise ValueError(
                f"actions have shape {action_EA.shape}: give {(self.num_envs, self.action_size)}"
            )
        if not np.isfinite(action_EA).all():
            raise ValueError("some actions are not finite: give numbers in [-1, 1]")
        return action_EA.clip(-1, 1)

    def _info(self) -> dict[str, Any]:
        if self._goal_image is None:  # drawn once an episode
            self._goal_image = self.image(self.goal_ES)
        return {
            "state": self.state_ES.copy(),
            "goal": self.goal_ES.copy(),
            "goal_image": self._goal_image,
        }

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """States and goals, ``(E, S)`` each."""

    @abstractmethod
    def advance(self, state_XS: Array, action_XA: Array) -> Array:
        """The true dynamics, of any number of states: what an oracle plans with."""

    @abstractmethod
    def reached(self, state_XS: Array, goal_XS: Array) -> NDArray[np.bool_]:
        """Whether states are as good as their goals, ``(X,)``."""

    @abstractmethod
    def distance(self, state_XS: Array, goal_XS: Array) -> Array:
        """How far states are from their goals, ``(X,)``."""

    @abstractmethod
    def guide(self, state_XS: Array, goal_XS: Array) -> Array:
        """A scripted policy: actions ``(X, A)`` that lead towards goals, not always on the shortest way."""

    def draw_goals(self, rng: np.random.Generator) -> Array:
        """Goals for all copies, ``(E, S)``, as `reset` draws them."""
        return self._draw(rng)[1]

    @abstractmethod
    def image(self, state_XS: Array) -> Pixels:
        """What states look like, ``(X, H, W, 3)``."""


def blank(count: int, size: int) -> NDArray[np.float32]:
    """Black images ``(X, H, W, 3)`` in [0, 1], to be painted on."""
    return np.zeros((count, size, size, 3), dtype=np.float32)


def paint_discs(
    canvas_XHWC: NDArray[np.float32], centre_X2: Array, radius: float, colour: tuple[float, float, float]
) -> None:
    """A disc with a soft edge of a pixel on each image, in place; x points right, y down, both in [0, 1]."""
    size = canvas_XHWC.shape[1]
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    centre_X2 = centre_X2.astype(np.float32)
    across_XW = (middles - centre_X2[:, :1]) ** 2
    down_XH = (middles - centre_X2[:, 1:2]) ** 2
    distance_XHW = np.sqrt(down_XH[:, :, None] + across_XW[:, None, :])
    cover_XHW = np.clip((np.float32(radius) - distance_XHW) * size + np.float32(0.5), 0, 1)
    touched = cover_XHW > 0  # a few pixels of many
    cover_N1 = cover_XHW[touched][:, None]
    canvas_XHWC[touched] += cover_N1 * (np.asarray(colour, dtype=np.float32) - canvas_XHWC[touched])


def to_bytes(canvas_XHWC: NDArray[np.float32]) -> Pixels:
    """Images in [0, 1] as bytes."""
    return (255 * canvas_XHWC + np.float32(0.5)).astype(np.uint8)
