"""The figures of all finished cells, by world, arm and name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vjepa.comparison.cells import Cell
from vjepa.evaluation.statistics import Estimate, estimate


class Results:
    """Figures by their path in a cell's figures.json, such as ``probe/linear/1``."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._figures = {
            (cell.world, cell.arm, cell.seed): json.loads(cell.figures.read_text()) for cell in cells
        }

    def values(self, world: str, arm: str, path: str) -> list[float]:
        """One value a seed, by ascending seed; empty where the arm has no such figure."""
        found = [
            _at(figures, path)
            for (its_world, its_arm, _), figures in sorted(self._figures.items())
            if (its_world, its_arm) == (world, arm)
        ]
        return [float(value) for value in found if value is not None]

    def estimate(self, world: str, arm: str, path: str) -> Estimate | None:
        """Mean and interval over seeds; None where the arm has no such figure."""
        values = self.values(world, arm, path)
        return estimate(values) if values else None

    def config(self, world: str, arm: str) -> dict[str, Any]:
        """The resolved pre-training configuration of an arm, of its first seed."""
        found = [
            figures for (its_world, its_arm, _), figures in sorted(self._figures.items())
            if (its_world, its_arm) == (world, arm)
        ]  # fmt: skip
        config: dict[str, Any] = found[0]["asked"]["config"]
        return config

    def names(self, world: str, arm: str, path: str) -> list[str]:
        """Names below a path."""
        for (its_world, its_arm, _), figures in sorted(self._figures.items()):
            below = _at(figures, path)
            if (its_world, its_arm) == (world, arm) and isinstance(below, dict):
                return list(below)
        return []


def _at(figures: dict[str, Any], path: str) -> Any:
    value: Any = figures
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value
