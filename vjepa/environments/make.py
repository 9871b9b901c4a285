"""The library's own environments, by name."""

from __future__ import annotations

from typing import Any

from vjepa.environments.base import ArrayEnv
from vjepa.environments.names import EnvName
from vjepa.environments.point_mass import PointMass
from vjepa.environments.pushing import Pushing
from vjepa.environments.two_rooms import TwoRooms

_ENVS: dict[EnvName, tuple[type[ArrayEnv], dict[str, Any]]] = {
    "two_rooms": (TwoRooms, {"wall": "fixed"}),
    "two_rooms_random": (TwoRooms, {"wall": "random"}),
    "point_mass": (PointMass, {}),
    "pushing": (Pushing, {}),
}


def make_env(
    name: EnvName,
    num_envs: int,
    size: int = 64,
    max_steps: int = 50,
    *,
    ends: bool = True,
    anywhere: bool = False,
) -> ArrayEnv:
    """Make copies of an environment.

    Args:
        name: Name of the environment. `two_rooms` has its wall and door in the middle; `two_rooms_random`
            draws their places for every episode.
        num_envs: Number of copies.
        size: Height and width of the images in pixels.
        max_steps: Number of steps after which an episode ends.
        ends: Whether reaching the goal ends the episode.
        anywhere: Whether start and goal may be in the same room (two rooms only).
    """
    if name not in _ENVS:
        raise ValueError(f"there is no environment {name!r}: give one of {', '.join(_ENVS)}")
    kind, options = _ENVS[name]
    if kind is TwoRooms:
        options = {**options, "cross": not anywhere}
    return kind(num_envs, size, max_steps, ends=ends, **options)
