"""Motion of objects: start positions and the eight motion classes.

The scene is a square of side 1 that repeats in both directions, like wallpaper. The camera's window has the
scene's size and starts anywhere in it, so an object is equally likely to be anywhere on the screen in any
frame, whatever the motion. Start positions do not depend on the class, and all classes except `fall` and
`collide` move all objects together, which keeps the distribution of arrangements as it was at the start. A
single frame therefore contains almost no information about the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS = {"still": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
BOUNCING = ("fall", "collide")
ORBIT_RATE = 2 * np.pi / 16  # radians per frame
GRAVITY_RATE = (
    0.25  # share of the video's speed per frame: an object that falls from rest reaches it in 4 frames
)
_MOST_BEGINNINGS = 1000  # times that the places of a scene are drawn anew at most
SUBSTEPS = 8  # share of a frame, so that fast objects collide at their rims and not inside each other


def start_positions(radii: Array, rng: np.random.Generator, wall: float = 0.0) -> Array:
    """Draw positions ``(n, 2)`` between walls at which no two objects touch, for radii ``(n,)``.

    Raises:
        ValueError: No room was found for all objects.
    """
    count, tries = len(radii), 50
    for _ in range(_MOST_BEGINNINGS):
        places = np.empty((count, 2))
        for placed, radius in enumerate(radii + wall):
            candidates = rng.uniform(radius, 1 - radius, size=(tries, 2))
            offsets = candidates[:, None] - places[:placed]
            offsets -= np.round(offsets)  # the nearest copy of the repeating scene counts
            free = (np.hypot(offsets[..., 0], offsets[..., 1]) > radii[:placed] + radius).all(axis=1)
            if not free.any():
                break  # no room is left: start over
            places[placed] = candidates[free.argmax()]
        else:
            return places
    raise ValueError(
        f"no room was found for {count} objects with radii up to {radii.max():.3g} between walls of "
        f"{wall:.3g}, which objects keep as a distance, too: give fewer or smaller objects, or thinner walls"
    )


class Box(NamedTuple):
    """Closed room in which objects fall and collide.

    Attributes:
        wall: Thickness of the walls inside the edges of the scene, as a share of its side.
        random_bounce: Random generator of the directions in which walls throw objects back, at the same
            speed; None reflects objects like a mirror.
        gravity: Change of the vertical velocity from frame to frame, in sides of the frame per frame.
    """

    wall: float = 0.0
    random_bounce: np.random.Generator | None = None
    gravity: float = 0.0


OPEN = Box()
"""Invisible walls on the scene's edges, mirrors, no gravity."""


def move(
    motion: str,
    start: Array,
    radii: Array,
    speed: float,
    frames: int,
    rng: np.random.Generator,
    box: Box = OPEN,
) -> tuple[Array, Array]:
    """Compute positions in the scene and velocities in each frame, both ``(T, n, 2)``.

    Positions are not wrapped at the edges of the scene. Velocities are those at the instant of the frame, in
    sides of the frame per frame.
    """
    if motion in BOUNCING:
        velocities, gravity = _impulses(motion, len(start), speed, rng)
        return bounce(start, velocities, radii, frames, box._replace(gravity=gravity))
    time = np.arange(frames)
    if motion == "orbit":
        angles = ORBIT_RATE * time + rng.uniform(0, 2 * np.pi)
        spokes = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * speed / ORBIT_RATE
        paths = spokes - spokes[0]
        velocities = ORBIT_RATE * np.stack([-spokes[:, 1], spokes[:, 0]], axis=-1)
    else:
        velocities = np.tile(speed * np.asarray(DIRECTIONS[motion], dtype=float), (frames, 1))
        paths = velocities * time[:, None]
    shape = (frames, *start.shape)
    return start + paths[:, None], np.broadcast_to(velocities[:, None], shape).copy()


def _impulses(motion: str, count: int, speed: float, rng: np.random.Generator) -> tuple[Array, float]:
    if motion == "collide":
        angles = rng.uniform(0, 2 * np.pi, size=count)
        return speed * np.stack([np.cos(angles), np.sin(angles)], axis=-1), 0.0
    # Some objects move up at first, as if they had begun to fall at different times.
    upright = speed * rng.uniform(-1, 1, size=count)
    return np.stack([np.zeros(count), upright], axis=-1), GRAVITY_RATE * speed


def bounce(
    start: Array, velocities: Array, radii: Array, frames: int, box: Box, ghost: int | None = None
) -> tuple[Array, Array]:
    """Simulate objects in a closed box from a given state: positions and velocities, both ``(T, n, 2)``.

    Every bounce and collision conserves energy. The object number `ghost` passes through walls.
    """
    held = np.arange(len(radii)) != (-1 if ghost is None else ghost)
    steps = list(_steps(start, velocities, radii, box, held, frames))
    return np.stack([place for place, _ in steps]), np.stack([velocity for _, velocity in steps])


def _steps(
    start: Array, velocities: Array, radii: Array, box: Box, held: NDArray[np.bool_], frames: int
) -> Iterator[tuple[Array, Array]]:
    positions, velocities, step = start.copy(), velocities.copy(), 1 / SUBSTEPS
    pull = np.array([0.0, box.gravity])
    rows, columns = np.triu_indices(len(radii), k=1)
    reach = radii[rows] + radii[columns]
    for _ in range(frames):
        yield positions.copy(), velocities.copy()
        for _ in range(SUBSTEPS):
            positions += step * velocities + 0.5 * step**2 * pull
            velocities += step * pull
            _reflect(positions, velocities, radii, box, held)
            offsets = positions[rows] - positions[columns]
            touching = np.flatnonzero((offsets**2).sum(axis=1) < reach**2)
            for pair in touching:
                _collide(positions, velocities, radii, rows[pair], columns[pair])


def _reflect(positions: Array, velocities: Array, radii: Array, box: Box, held: NDArray[np.bool_]) -> None:
    """Reflect objects that have gone into the walls, in place."""
    low, high = radii[:, None] + box.wall, 1 - radii[:, None] - box.wall
    inside = np.clip(positions, low, high)
    depth = np.where(held[:, None], positions - inside, 0.0)
    hit = depth != 0
    if not hit.any():
        return
    # A reflected object is higher above the floor than it would have been: the energy of that height
    # is taken from its speed, because bounces would gain energy otherwise.
    lift = np.zeros_like(velocities)
    lift[:, 1] = 4 * box.gravity * depth[:, 1]
    speeds = np.sqrt(np.maximum(velocities**2 - lift, 0))
    velocities[hit] = (-np.sign(depth) * speeds)[hit]
    positions[hit] = (inside - depth)[hit]
    if box.random_bounce is not None:
        for number in np.flatnonzero(hit.any(axis=1)):
            velocities[number] = _thrown(velocities[number], -np.sign(depth[number]), box.random_bounce)


def _thrown(velocity: Array, inwards: Array, rng: np.random.Generator) -> Array:
    """Draw velocities of the same speed in random directions, away from the walls that were hit."""
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    direction = np.where(inwards != 0, inwards * np.abs(direction), direction)
    return float(np.hypot(velocity[0], velocity[1])) * direction


def _collide(positions: Array, velocities: Array, radii: Array, i: int, j: int) -> None:
    """Exchange momentum along the line of centres, in place; mass is proportional to area."""
    offset = positions[i] - positions[j]
    normal = offset / max(float(np.hypot(offset[0], offset[1])), 1e-9)
    approach = float((velocities[i] - velocities[j]) @ normal)
    if approach >= 0:  # they already move apart
        return
    masses = radii[[i, j]] ** 2
    impulse = 2 * approach / masses.sum() * normal
    velocities[i] -= masses[1] * impulse
    velocities[j] += masses[0] * impulse
