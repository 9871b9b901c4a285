"""A dot in two rooms, which has to pass a door to reach a goal in the other room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vjepa.environments.base import Array, ArrayEnv, Pixels, blank, paint_discs, to_bytes

STRIDE = 0.06  # distance that an action of 1 moves the dot, in sides of the frame
RADIUS = 0.05
WALL = 0.06  # thickness of the inner wall
DOOR = 0.24  # height of the door
FRAME = 0.04  # thickness of the outer walls
NEAR = 0.08
SUBSTEPS = 4  # largest length of a stride, which is shorter than the wall is thick


class TwoRooms(ArrayEnv):
    """Environment of a dot in two rooms.

    The state is x, y of the dot, x of the wall, and y of the middle of its door. Actions move the dot. The
    goal is a place of the dot.

    Args:
        num_envs: Number of copies.
        size: Height and width of the images in pixels.
        max_steps: Number of steps after which an episode ends.
        ends: Whether reaching the goal ends the episode.
        wall: Place of the wall and its door: `fixed`, both in the middle, or `random`, drawn for every
            episode.
        cross: Whether start and goal are always in different rooms.
    """

    state_size = 4

    def __init__(
        self,
        num_envs: int = 1,
        size: int = 64,
        max_steps: int = 50,
        *,
        wall: str = "fixed",
        cross: bool = True,
        ends: bool = True,
    ) -> None:
        if wall not in ("fixed", "random"):
            raise ValueError(f"wall is {wall!r}: give fixed or random")
        super().__init__(num_envs, size, max_steps, ends=ends)
        self.wall = wall
        self.cross = cross

    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        count = self.num_envs
        layout = np.tile([0.5, 0.5], (count, 1))
        if self.wall == "random":
            layout = np.stack([rng.uniform(0.35, 0.65, count), rng.uniform(0.25, 0.75, count)], axis=1)
        return self._draw_places(rng, layout)

    def draw_goals(self, rng: np.random.Generator) -> Array:
        """Draw goals for all copies, ``(e, 4)``, in the rooms that they have."""
        return self._draw_places(rng, self.state_eQ[:, 2:])[1]

    def _draw_places(self, rng: np.random.Generator, layout: Array) -> tuple[Array, Array]:
        """Draw states and goals in rooms of a layout."""
        count = self.num_envs
        left = rng.random(count) < 0.5
        goes_left = ~left if self.cross else rng.random(count) < 0.5
        start, goal = (self._place(rng, layout, side) for side in (left, goes_left))
        return np.concatenate([start, layout], axis=1), np.concatenate([goal, layout], axis=1)

    def _place(self, rng: np.random.Generator, layout: Array, left: NDArray[np.bool_]) -> Array:
        """Draw places in the left or in the right room."""
        edge, gap = FRAME + RADIUS, WALL / 2 + RADIUS
        low = np.where(left, edge, layout[:, 0] + gap)
        high = np.where(left, layout[:, 0] - gap, 1 - edge)
        y = rng.uniform(edge, 1 - edge, len(left))
        return np.stack([rng.uniform(low, high), y], axis=1)

    def advance(self, state_eQ: Array, action_eA: Array) -> Array:
        """Move the dot in small strides, without the component of a stride that leads into a wall."""
        place, layout = state_eQ[:, :2].copy(), state_eQ[:, 2:]
        for _ in range(SUBSTEPS):
            for axis in (0, 1):
                wanted = place.copy()
                wanted[:, axis] += STRIDE / SUBSTEPS * action_eA[:, axis]
                free = ~self._blocked(wanted, layout)
                place[free, axis] = wanted[free, axis]
        return np.concatenate([place, layout], axis=1)

    def _blocked(self, place: Array, layout: Array) -> NDArray[np.bool_]:
        edge = FRAME + RADIUS
        outside = ((place < edge) | (place > 1 - edge)).any(axis=1)
        at_wall = np.abs(place[:, 0] - layout[:, 0]) < WALL / 2 + RADIUS
        in_door = np.abs(place[:, 1] - layout[:, 1]) < DOOR / 2 - RADIUS
        return outside | (at_wall & ~in_door)

    def reached(self, state_eQ: Array, goal_eQ: Array) -> NDArray[np.bool_]:
        """Return whether the dot is close to the goal."""
        offset = state_eQ[:, :2] - goal_eQ[:, :2]
        return np.hypot(offset[:, 0], offset[:, 1]) < NEAR

    def distance(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return the length of the shortest way, through the middle of the door if the rooms differ."""
        direct = _length(state_eQ[:, :2] - goal_eQ[:, :2])
        door = state_eQ[:, 2:]
        through = _length(state_eQ[:, :2] - door) + _length(goal_eQ[:, :2] - door)
        same_room = (state_eQ[:, 0] < door[:, 0]) == (goal_eQ[:, 0] < door[:, 0])
        return np.where(same_room, direct, through)

    def guide(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return actions towards the goal.

        If it is in the other room, first to the door and then through it.
        """
        place, door, goal = state_eQ[:, :2], state_eQ[:, 2:], goal_eQ[:, :2]
        side = np.sign(place[:, 0] - door[:, 0])
        in_front = np.stack([door[:, 0] + side * (WALL / 2 + RADIUS + 0.02), door[:, 1]], axis=1)
        beyond = np.stack([door[:, 0] - side * (WALL / 2 + RADIUS + 0.02), door[:, 1]], axis=1)
        aligned = np.abs(place[:, 1] - door[:, 1]) < DOOR / 2 - RADIUS - 0.02
        there = np.sign(goal[:, 0] - door[:, 0]) == side
        target = np.where(there[:, None], goal, np.where(aligned[:, None], beyond, in_front))
        in_doorway = (
            np.abs(place[:, 0] - door[:, 0]) < WALL / 2 + RADIUS
        )  # straight out of the door, and then to the goal
        ahead = np.stack([np.sign(goal[:, 0] - door[:, 0]), np.zeros(len(place))], axis=1)
        target = np.where(in_doorway[:, None], place + 2 * STRIDE * ahead, target)
        return ((target - place) / STRIDE).clip(-1, 1)

    def image(self, state_eQ: Array) -> Pixels:
        """Draw grey walls and a white dot, all with edges that are one pixel soft.

        Edges that were rounded to pixels would hide where a wall stops the dot.
        """
        middles_W = (np.arange(self.size) + 0.5) / self.size
        frame_W = self._covered(FRAME - np.minimum(middles_W, 1 - middles_W))
        wall_eW = self._covered(WALL / 2 - np.abs(middles_W - state_eQ[:, 2:3]))
        solid_eH = self._covered(np.abs(middles_W - state_eQ[:, 3:4]) - DOOR / 2)
        cover_eHW = np.maximum(solid_eH[:, :, None] * wall_eW[:, None, :], np.maximum.outer(frame_W, frame_W))
        canvas = blank(len(state_eQ), self.size)
        canvas += np.float32(0.5) * cover_eHW[..., None]
        paint_discs(canvas, state_eQ[:, :2], RADIUS, (1.0, 1.0, 1.0))
        return to_bytes(canvas)

    def _covered(self, depth: Array) -> NDArray[np.float32]:
        """Return the share of a pixel that is inside, from the depth of its middle in sides of the frame."""
        return np.clip(depth * self.size + 0.5, 0, 1).astype(np.float32)


def _length(offset_e2: Array) -> Array:
    return np.hypot(offset_e2[:, 0], offset_e2[:, 1])
