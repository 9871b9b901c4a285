"""Checks of settings, made when a configuration is created; errors name value, rule and remedy.

Except for `options_at_least`, each function takes the section's name, as error messages print it, and the
section's dataclass. A setting that is null passes where its type allows null.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from typing import Any

from vjepa.models.sizes import SIZES, SizeName

LARGEST_SEED = 2**32 - 1  # the largest that numpy's global generator accepts


def at_least(section: str, settings: Any, **least: float) -> None:
    """Raise ValueError where a setting is below its smallest value, infinite or not a number."""
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and not bound <= value < math.inf:
            raise ValueError(_message(section, settings, name, f"give {bound} or more"))


def options_at_least(options: argparse.Namespace, **least: int) -> None:
    """Raise ValueError where an option of a command is below its smallest value."""
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise ValueError(f"--{name} is {value}: give {bound} or more")


def above_zero(section: str, settings: Any, *names: str) -> None:
    """Raise ValueError where a setting is 0 or less, infinite or not a number."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(_message(section, settings, name, "give a number above 0"))


def share(section: str, settings: Any, *names: str) -> None:
    """Raise ValueError where a setting is outside [0, 1]."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(_message(section, settings, name, "give a share from 0 to 1"))


def positive_share(section: str, settings: Any, *names: str) -> None:
    """Raise ValueError where a setting is outside (0, 1]."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 < value <= 1:
            raise ValueError(_message(section, settings, name, "give a share above 0, at most 1"))


def below_one(section: str, settings: Any, *names: str) -> None:
    """Raise ValueError where a setting, or one of its values, is outside [0, 1)."""
    for name in names:
        value = getattr(settings, name)
        values = value if isinstance(value, tuple | list) else (value,)
        if value is not None and not all(0 <= one < 1 for one in values):
            what = "numbers" if isinstance(value, tuple | list) else "a number"
            raise ValueError(_message(section, settings, name, f"give {what} from 0 to less than 1"))


def ascending(section: str, settings: Any, name: str, highest: float = math.inf) -> None:
    """Raise ValueError where a pair is not ascending, not above 0, or above `highest`."""
    low, high = getattr(settings, name)
    if not (0 < low <= high <= highest and math.isfinite(high)):
        most = f", none above {highest:g}" if math.isfinite(highest) else ""
        raise ValueError(
            _message(section, settings, name, f"give two numbers above 0{most}, the smaller first")
        )


def seed(section: str, settings: Any, name: str) -> None:
    """Raise ValueError where a seed is outside the range that all random number generators accept."""
    value = getattr(settings, name)
    if not 0 <= value <= LARGEST_SEED:
        raise ValueError(_message(section, settings, name, f"give a whole number from 0 to {LARGEST_SEED}"))


def frame_size(section: str, settings: Any, name: str = "size") -> None:
    """Raise ValueError where a height or a width in pixels is less than 1."""
    value = getattr(settings, name)
    sides = value if isinstance(value, tuple | list) else (value,)
    if value is not None and min(sides) < 1:
        raise ValueError(
            _message(section, settings, name, "give pixels of a side, or [height, width], 1 or more")
        )


def pixel_statistics(section: str, settings: Any) -> None:
    """Raise ValueError where `mean` and `std` differ in length, or a standard deviation is not above 0."""
    mean, std = settings.mean, settings.std
    finite = all(math.isfinite(value) for value in (*mean, *std))
    if not mean or len(mean) != len(std) or not finite or min(std) <= 0:
        raise ValueError(
            f"{section}.mean is {list(mean)} and {section}.std {list(std)}: give one number of each for "
            "every channel, deviations above 0"
        )


def num_heads(section: str, embed_dim: int | None, number: int | None, size: SizeName | None = None) -> None:
    """Raise ValueError where `embed_dim` is not a multiple of the number of attention heads.

    With `size`, null values are those of that size.
    """
    known = SIZES[size] if size is not None else None
    embed_dim = embed_dim if embed_dim is not None or known is None else known.embed_dim
    number = number if number is not None or known is None else known.num_heads
    if embed_dim is not None and number is not None and embed_dim % number:
        raise ValueError(
            f"{section}.embed_dim is {embed_dim} and {section}.num_heads {number}: give "
            "an embed_dim that is a multiple of the heads"
        )


def _message(section: str, settings: Any, name: str, rule: str) -> str:
    kinds = {field.name: str(field.type) for field in dataclasses.fields(settings)}
    null = ", or null" if kinds[name].endswith("None") else ""
    value = getattr(settings, name)
    shown = list(value) if isinstance(value, tuple) else value
    return f"{section + '.' if section else ''}{name} is {shown}: {rule}{null}"
