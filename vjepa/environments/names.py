"""Names of the embedded worlds, for whoever must know them without having gymnasium."""

from __future__ import annotations

from typing import Literal

WorldName = Literal["two_rooms", "two_rooms_random", "point_mass", "pushing"]
