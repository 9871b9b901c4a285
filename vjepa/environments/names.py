"""Names of the library's own environments, which can be read without gymnasium."""

from __future__ import annotations

from typing import Literal

EnvName = Literal["two_rooms", "two_rooms_random", "point_mass", "pushing"]
