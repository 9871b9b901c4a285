"""How objects move: start positions and the eight motion classes.

The world is a square of side 1 that repeats in both directions, like wallpaper; the camera's window has
the world's size and starts anywhere in it. So, whatever the motion, an object is equally likely to be
anywhere on the screen in any frame. Start positions are drawn without knowledge of the class, and all
classes but `fall` and `collide` move the whole arrangement rigidly, which leaves even the distribution of
arrangements as it was at the start. A single frame therefore tells (next to) nothing about the class.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS = {"still": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ORBIT_RATE = 2 * np.pi / 16  # radians a frame
GRAVITY_RATE = 0.25  # gravity, in speeds a frame: falling from rest reaches the video's speed in 4 frames
SUBSTEPS = 8  # of a frame, so that fast objects meet at their rims and not inside each other


def start_positions(radii: Array, rng: np.random.Generator) -> Array:
    """Places ``(n, 2)`` inside the walls where no two objects touch; ``radii`` is ``(n,)``."""
    count, tries = len(radii), 50
    while True:
        places = np.empty((count, 2))
        for placed, radius in enumerate(radii):
            candidates = rng.uniform(radius, 1 - radius, size=(tries, 2))
            offsets = candidates[:, None] - places[:placed]
            offsets -= np.round(offsets)  # the nearest copy of the world counts
            free = (np.hypot(offsets[..., 0], offsets[..., 1]) > radii[:placed] + radius).all(axis=1)
            if not free.any():
                break  # no room is left: begin again
            places[placed] = candidates[free.argmax()]
        else:
            return places


def move(
    motion: str, start: Array, radii: Array, speed: float, frames: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """World positions and velocities in each frame, both ``(T, n, 2)``; positions are not wrapped.

    Velocities are per frame, at the instant of the frame.
    """
    if motion in ("fall", "collide"):
        velocities, gravity = _impulses(motion, len(start), speed, rng)
        steps = list(_bounce(start, velocities, radii, gravity, frames))
        return np.stack([place for place, _ in steps]), np.stack([velocity for _, velocity in steps])
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
    # Some objects are on their way up already, as if the fall had begun at different times.
    upright = speed * rng.uniform(-1, 1, size=count)
    return np.stack([np.zeros(count), upright], axis=-1), GRAVITY_RATE * speed


def _bounce(
    start: Array, velocities: Array, radii: Array, gravity: float, frames: int
) -> Iterator[tuple[Array, Array]]:
    """Step through a closed box; energy is conserved by every bounce and collision."""
    positions, velocities, step = start.copy(), velocities.copy(), 1 / SUBSTEPS
    pull = np.array([0.0, gravity])
    rows, columns = np.triu_indices(len(radii), k=1)
    reach = radii[rows] + radii[columns]
    for _ in range(frames):
        yield positions.copy(), velocities.copy()
        for _ in range(SUBSTEPS):
            positions += step * velocities + 0.5 * step**2 * pull
            velocities += step * pull
            _reflect(positions, velocities, radii, gravity)
            offsets = positions[rows] - positions[columns]
            touching = np.flatnonzero((offsets**2).sum(axis=1) < reach**2)
            for pair in touching:
                _collide(positions, velocities, radii, rows[pair], columns[pair])


def _reflect(positions: Array, velocities: Array, radii: Array, gravity: float) -> None:
    """Mirror at the walls what has gone through them, in place."""
    low, high = radii[:, None], 1 - radii[:, None]
    inside = np.clip(positions, low, high)
    depth = positions - inside
    hit = depth != 0
    if not hit.any():
        return
    # A mirrored object stands higher above the floor than it would have got: the energy of that height
    # is taken from its speed, or bounces would gain energy.
    lift = np.zeros_like(velocities)
    lift[:, 1] = 4 * gravity * depth[:, 1]
    speeds = np.sqrt(np.maximum(velocities**2 - lift, 0))
    velocities[hit] = (-np.sign(depth) * speeds)[hit]
    positions[hit] = (inside - depth)[hit]


def _collide(positions: Array, velocities: Array, radii: Array, i: int, j: int) -> None:
    """Exchange momentum along the line of centres, in place; mass goes with area."""
    offset = positions[i] - positions[j]
    normal = offset / max(float(np.hypot(offset[0], offset[1])), 1e-9)
    approach = float((velocities[i] - velocities[j]) @ normal)
    if approach >= 0:  # they part already
        return
    masses = radii[[i, j]] ** 2
    impulse = 2 * approach / masses.sum() * normal
    velocities[i] -= masses[1] * impulse
    velocities[j] += masses[0] * impulse
