"""A dot with momentum, which must be slowed down to stop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vjepa.environments.base import Array, ArrayEnv, Pixels, blank, paint_discs, to_bytes

FORCE = 0.012  # velocity that an action of 1 adds, in sides of the frame per step
DRAG = 0.9  # share of the velocity that remains after a step
RADIUS = 0.06
NEAR = 0.08  # largest distance at which the goal is reached
SLOW = 0.02  # largest speed at which the dot counts as stopped


class PointMass(ArrayEnv):
    """Environment of a dot that actions accelerate.

    The state is x, y, and the velocity in x and y. The goal is to rest at a place. Walls stop the dot. A
    single image does not show the velocity.
    """

    state_size = 4

    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        places = rng.uniform(RADIUS, 1 - RADIUS, size=(2, self.num_envs, 2))
        resting = np.zeros((self.num_envs, 2))
        start, goal = (np.concatenate([place, resting], axis=1) for place in places)
        return start, goal

    def advance(self, state_eQ: Array, action_eA: Array) -> Array:
        """Apply force, drag and walls."""
        velocity = DRAG * state_eQ[:, 2:] + FORCE * action_eA
        wanted = state_eQ[:, :2] + velocity
        place = wanted.clip(RADIUS, 1 - RADIUS)
        return np.concatenate([place, np.where(place == wanted, velocity, 0.0)], axis=1)

    def reached(self, state_eQ: Array, goal_eQ: Array) -> NDArray[np.bool_]:
        """Return whether the dot is close to the goal and slow."""
        slow = np.hypot(state_eQ[:, 2], state_eQ[:, 3]) < SLOW
        return slow & (self.distance(state_eQ, goal_eQ) < NEAR)

    def distance(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return the distance between the places of state and goal."""
        offset = state_eQ[:, :2] - goal_eQ[:, :2]
        return np.hypot(offset[:, 0], offset[:, 1])

    def guide(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return actions towards a velocity that is proportional to the distance from the goal."""
        wanted = 0.15 * (goal_eQ[:, :2] - state_eQ[:, :2])
        return ((wanted - DRAG * state_eQ[:, 2:]) / FORCE).clip(-1, 1)

    def image(self, state_eQ: Array) -> Pixels:
        """Draw a white dot."""
        canvas = blank(len(state_eQ), self.size)
        paint_discs(canvas, state_eQ[:, :2], RADIUS, (1.0, 1.0, 1.0))
        return to_bytes(canvas)
