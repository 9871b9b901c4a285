"""Selection of episodes of a source: ``FILE?episodes=0-179&without=3,17``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

Ranges = tuple[tuple[int, int | None], ...]
"""First and last number of each range, both included; None is up to the end."""


@dataclass(frozen=True)
class Selection:
    """Episodes selected by their numbers.

    Attributes:
        taken: Ranges of episodes that are taken; None takes all.
        without: Ranges of episodes that are left out.
    """

    taken: Ranges | None = None
    without: Ranges = ()

    def takes(self, number: int) -> bool:
        """Return whether an episode is taken."""
        return (self.taken is None or _holds(self.taken, number)) and not _holds(self.without, number)

    def check(self, numbers: set[int], source: str) -> None:
        """Raise ValueError if a selected number does not exist in the source."""
        bounds = {
            bound for part in (*(self.taken or ()), *self.without) for bound in part if bound is not None
        }
        absent = sorted(bounds - numbers)
        if absent:
            known = (
                f"it has {len(numbers)}, from {min(numbers)} to {max(numbers)}" if numbers else "it has none"
            )
            raise ValueError(f"{source} asks for episode {absent[0]}, which is not there: {known}")


def _holds(ranges: Ranges, number: int) -> bool:
    return any(first <= number and (last is None or number <= last) for first, last in ranges)


def split_source(source: str) -> tuple[str, Selection]:
    """Split ``PATH?episodes=0-179,190-&without=3`` into the path and the selection; ranges include both ends.

    Raises:
        ValueError: The text after the question mark is not such a selection.
    """
    path, _, query = source.partition("?")
    if not query or os.path.exists(source):
        return source, Selection()
    chosen: dict[str, Ranges] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name not in ("episodes", "without") or name in chosen:
            raise ValueError(
                f"{source} selects by '{part}': give episodes=0-179 for those that are taken, without=3,17 "
                "for those that are not"
            )
        chosen[name] = tuple(_range(piece.strip(), source) for piece in value.split(","))
    return path, Selection(chosen.get("episodes"), chosen.get("without", ()))


def _range(text: str, source: str) -> tuple[int, int | None]:
    found = re.fullmatch(r"(\d{1,18})(?:(-)(\d{1,18})?)?", text)
    if found is None or (found[3] and int(found[3]) < int(found[1])):
        raise ValueError(
            f"{source} has the range '{text}': give a number (7), or first and last (0-179, or 180-)"
        )
    return int(found[1]), int(found[3]) if found[3] else None if found[2] else int(found[1])
