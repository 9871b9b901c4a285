"""Base class of the library's own environments: states as arrays, goals, episodes and images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa.packages import need_packages

try:
    from gymnasium.spaces import Box
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError:
    need_packages("an environment", "gymnasium")
    raise

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class ArrayEnv(VectorEnv[Pixels, Array, Any], ABC):
    """Copies of one environment, stepped together.

    Lengths are shares of the frame's side, and times are steps. Observations are images, uint8 ``(e, H, W,
    3)``; ``info`` has ``state`` and ``goal``, ``(e, Q)``, and ``goal_image``. Reaching the goal or taking the
    last step ends an episode; the reward is 1 in a step that ends it at the goal, else 0. Ended copies keep
    their state until `reset`.

    Args:
        num_envs: Number of copies.
        size: Height and width of the images in pixels.
        max_steps: Number of steps after which an episode ends.
        ends: Whether reaching the goal ends the episode; false for collecting trajectories.

    Attributes:
        state_eQ: State of each copy, such as the positions of objects; `set_state` changes it.
        goal_eQ: Goal of each copy, with the same components as the state; `set_state` changes it.
        goal_numbers: Indices of the state's components that a goal determines; one image shows these.
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
        self.state_eQ = np.zeros((num_envs, self.state_size))
        self.goal_eQ = np.zeros((num_envs, self.state_size))
        self._steps_e = np.zeros(num_envs, dtype=np.int64)
        self._ended_e = np.zeros(num_envs, dtype=bool)
        self._goal_image: Pixels | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Draw new states and goals for all copies; the same seed gives the same ones."""
        super().reset(seed=seed)
        self.state_eQ, self.goal_eQ = self._draw(self.np_random)
        self._goal_image = None
        self._steps_e[:] = 0
        self._ended_e[:] = False
        return self.image(self.state_eQ), self._info()

    def set_state(self, state_eQ: Array, goal_eQ: Array | None = None) -> None:
        """Set the states and goals of all copies, and begin new episodes."""
        for name, given in (("state", state_eQ), ("goal", goal_eQ)):
            if given is not None and np.shape(given) != self.state_eQ.shape:
                raise ValueError(f"{name} has shape {np.shape(given)}: give {self.state_eQ.shape}")
        self.state_eQ = np.array(state_eQ, dtype=np.float64)
        if goal_eQ is not None:
            self.goal_eQ, self._goal_image = np.array(goal_eQ, dtype=np.float64), None
        self._steps_e[:] = 0
        self._ended_e[:] = False

    def step(
        self, actions: Array
    ) -> tuple[Pixels, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one step in all copies; actions ``(e, A)`` in [-1, 1] are clipped to that range."""
        action_eA = self._checked(actions)
        moving = ~self._ended_e
        self.state_eQ = np.where(moving[:, None], self.advance(self.state_eQ, action_eA), self.state_eQ)
        self._steps_e += moving
        reached_e = self.reached(self.state_eQ, self.goal_eQ) & moving & self.ends
        late_e = (self._steps_e >= self.max_steps) & moving & ~reached_e
        self._ended_e |= reached_e | late_e
        return self.image(self.state_eQ), reached_e.astype(np.float64), reached_e, late_e, self._info()

    def _checked(self, actions: Array) -> Array:
        action_eA = np.asarray(actions, dtype=np.float64)
        if action_eA.shape != (self.num_envs, self.action_size):
            raise ValueError(
                f"actions have shape {action_eA.shape}: give {(self.num_envs, self.action_size)}"
            )
        if not np.isfinite(action_eA).all():
            raise ValueError("some actions are not finite: give numbers in [-1, 1]")
        return action_eA.clip(-1, 1)

    def _info(self) -> dict[str, Any]:
        if self._goal_image is None:  # drawn once per episode
            self._goal_image = self.image(self.goal_eQ)
        return {
            "state": self.state_eQ.copy(),
            "goal": self.goal_eQ.copy(),
            "goal_image": self._goal_image,
        }

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw states and goals, both ``(e, Q)``."""

    @abstractmethod
    def advance(self, state_eQ: Array, action_eA: Array) -> Array:
        """Compute the true next states ``(e, Q)`` of any number of states; an oracle plans with them."""

    @abstractmethod
    def reached(self, state_eQ: Array, goal_eQ: Array) -> NDArray[np.bool_]:
        """Return whether states have reached their goals, ``(e,)``."""

    @abstractmethod
    def distance(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return the distances of states from their goals, ``(e,)``."""

    @abstractmethod
    def guide(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return actions ``(e, A)`` of a scripted policy that lead towards goals, not always on the
        shortest way.
        """

    def draw_goals(self, rng: np.random.Generator) -> Array:
        """Draw goals for all copies, ``(e, Q)``, as `reset` does for copies that stay as they are."""
        return self._draw(rng)[1]

    @abstractmethod
    def image(self, state_eQ: Array) -> Pixels:
        """Draw images of states, ``(e, H, W, 3)``."""


def blank(count: int, size: int) -> NDArray[np.float32]:
    """Return black images ``(e, H, W, 3)`` in [0, 1] to paint on."""
    return np.zeros((count, size, size, 3), dtype=np.float32)


def paint_discs(
    canvas_eHWC: NDArray[np.float32], centre_e2: Array, radius: float, colour: tuple[float, float, float]
) -> None:
    """Paint a disc on each image, in place, with an edge that is one pixel soft.

    X points right and y down, in [0, 1].
    """
    size = canvas_eHWC.shape[1]
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    centre_e2 = centre_e2.astype(np.float32)
    across_eW = (middles - centre_e2[:, :1]) ** 2
    down_eH = (middles - centre_e2[:, 1:2]) ** 2
    distance_eHW = np.sqrt(down_eH[:, :, None] + across_eW[:, None, :])
    cover_eHW = np.clip((np.float32(radius) - distance_eHW) * size + np.float32(0.5), 0, 1)
    touched = cover_eHW > 0  # only the few pixels that the discs cover
    cover_N1 = cover_eHW[touched][:, None]
    canvas_eHWC[touched] += cover_N1 * (np.asarray(colour, dtype=np.float32) - canvas_eHWC[touched])


def to_bytes(canvas_eHWC: NDArray[np.float32]) -> Pixels:
    """Convert images in [0, 1] to uint8."""
    return (255 * canvas_eHWC + np.float32(0.5)).astype(np.uint8)
