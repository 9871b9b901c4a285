"""The embedded worlds by name."""

from __future__ import annotations

from typing import Any

from vjepa.environments.base import ArrayWorld
from vjepa.environments.names import WorldName
from vjepa.environments.point_mass import PointMass
from vjepa.environments.pushing import Pushing
from vjepa.environments.two_rooms import TwoRooms

_WORLDS: dict[WorldName, tuple[type[ArrayWorld], dict[str, Any]]] = {
    "two_rooms": (TwoRooms, {"wall": "fixed"}),
    "two_rooms_random": (TwoRooms, {"wall": "random"}),
    "point_mass": (PointMass, {}),
    "pushing": (Pushing, {}),
}


def make_world(
    name: WorldName,
    num_envs: int,
    size: int = 64,
    max_steps: int = 50,
    *,
    ends: bool = True,
    anywhere: bool = False,
) -> ArrayWorld:
    """Copies of a world.

    Args:
        name: `two_rooms` has its wall and door in the middle, `two_rooms_random` elsewhere in every episode.
        num_envs, size, max_steps, ends: as of `ArrayWorld`.
        anywhere: in two rooms, starts and goals may be in the same one.
    """
    if name not in _WORLDS:
        raise ValueError(f"there is no world {name!r}: give one of {', '.join(_WORLDS)}")
    kind, options = _WORLDS[name]
    if kind is TwoRooms:
        options = {**options, "cross": not anywhere}
    return kind(num_envs, size, max_steps, ends=ends, **options)
