"""Names of the embedded environments, for whoever must know them without having gymnasium."""

from __future__ import annotations

from typing import Literal

EnvName = Literal["two_rooms", "two_rooms_random", "point_mass", "pushing"]
