"""A disc (the hand) that pushes another disc (the block) to a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vjepa.environments.base import Array, ArrayEnv, Pixels, blank, paint_discs, to_bytes

STRIDE = 0.05  # distance that an action of 1 moves the hand, in sides of the frame
HAND, BLOCK = 0.06, 0.09  # radii
NEAR = 0.08
SUBSTEPS = 5  # largest length of a stride


class Pushing(ArrayEnv):
    """Environment of a hand that pushes a block.

    The state is x, y of the hand and x, y of the block. Actions move the hand; the goal is a place of the
    block. The block does not slide: if the hand runs into it, it is moved out of the way along the line of
    centres. Walls hold the block, and a block that is held stops the hand.
    """

    state_size = 4
    goal_numbers = (2, 3)

    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        count, margin = self.num_envs, BLOCK + 0.12  # a block at a wall cannot be pushed away from it
        block = rng.uniform(margin, 1 - margin, (count, 2))
        angle, reach = rng.uniform(0, 2 * np.pi, count), rng.uniform(HAND + BLOCK, 0.3, count)
        hand = (block + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).clip(
            HAND, 1 - HAND
        )
        goal = rng.uniform(margin, 1 - margin, (count, 2))
        # The image of the goal shows the hand behind the block, as if it had just pushed it there.
        way = _unit(goal - block)
        resting = (goal - (HAND + BLOCK) * way).clip(HAND, 1 - HAND)
        start = _apart(np.concatenate([hand, block], axis=1))
        return start, np.concatenate([resting, goal], axis=1)

    def advance(self, state_eQ: Array, action_eA: Array) -> Array:
        """Move the hand in small strides, and move the block out of the way after each stride."""
        state = state_eQ.copy()
        for _ in range(SUBSTEPS):
            state[:, :2] = (state[:, :2] + STRIDE / SUBSTEPS * action_eA).clip(HAND, 1 - HAND)
            state = _apart(state)
        return state

    def reached(self, state_eQ: Array, goal_eQ: Array) -> NDArray[np.bool_]:
        """Return whether the block is close to its goal."""
        return self.distance(state_eQ, goal_eQ) < NEAR

    def distance(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return the distance of the block from its goal."""
        offset = state_eQ[:, 2:] - goal_eQ[:, 2:]
        return np.hypot(offset[:, 0], offset[:, 1])

    def guide(self, state_eQ: Array, goal_eQ: Array) -> Array:
        """Return actions that lead around the block to the side away from the goal, and then push."""
        hand, block = state_eQ[:, :2], state_eQ[:, 2:]
        way = _unit(goal_eQ[:, 2:] - block)
        offset = hand - block
        along = (offset * way).sum(axis=1, keepdims=True)
        aside = offset - along * way
        ready = (along < 0) & (_length(aside)[:, None] < 0.5 * HAND)
        push = way - 2 * aside / HAND  # forward, and back to the line through block and goal
        to_behind = -offset - (HAND + BLOCK + 0.02) * way
        outward = _unit(offset)
        blocked = (_length(offset)[:, None] < HAND + BLOCK + 0.04) & (
            (to_behind * outward).sum(1, keepdims=True) < 0
        )
        tangent = to_behind - (to_behind * outward).sum(1, keepdims=True) * outward
        sideways = np.where(_length(tangent)[:, None] > 1e-3, tangent, outward[:, ::-1] * [1.0, -1.0])
        walk = np.where(blocked, _unit(sideways) + 0.2 * outward, to_behind / STRIDE)
        return np.where(ready, push, walk).clip(-1, 1)

    def image(self, state_eQ: Array) -> Pixels:
        """Draw a blue block and a white hand."""
        canvas = blank(len(state_eQ), self.size)
        paint_discs(canvas, state_eQ[:, 2:], BLOCK, (0.2, 0.4, 1.0))
        paint_discs(canvas, state_eQ[:, :2], HAND, (1.0, 1.0, 1.0))
        return to_bytes(canvas)


def _apart(state_eQ: Array) -> Array:
    """Move an overlapping hand and block apart.

    The block moves first; the hand moves if a wall holds the block.
    """
    hand, block = state_eQ[:, :2], state_eQ[:, 2:]
    block = _moved_from(hand, block).clip(BLOCK, 1 - BLOCK)
    hand = _moved_from(block, hand).clip(HAND, 1 - HAND)
    return np.concatenate([hand, block], axis=1)


def _moved_from(fixed: Array, other: Array) -> Array:
    offset = other - fixed
    length = np.hypot(offset[:, 0], offset[:, 1])
    lacking = np.maximum(HAND + BLOCK - length, 0)
    direction = np.where(length[:, None] > 1e-9, offset / np.maximum(length, 1e-9)[:, None], [1.0, 0.0])
    return np.asarray(other + lacking[:, None] * direction)


def _length(offset_e2: Array) -> Array:
    return np.asarray(np.hypot(offset_e2[:, 0], offset_e2[:, 1]))


def _unit(offset_e2: Array) -> Array:
    return np.asarray(offset_e2 / np.maximum(_length(offset_e2), 1e-9)[:, None])
