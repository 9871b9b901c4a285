"""Metrics of all finished cells, found by point of the sweep, arm and path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vjepa.evaluation.statistics import Estimate, estimate
from vjepa.recipes.compare.cells import Cell


class Results:
    """Metrics of finished cells; a path names a metric in results.json, such as ``probe/linear/1``.

    Args:
        cells: Finished cells of a comparison.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._metrics = {
            (cell.point, cell.arm, cell.seed): json.loads(cell.results_file.read_text()) for cell in cells
        }

    def values(self, point: str, arm: str, path: str) -> list[float]:
        """Return a list with one value per seed, by ascending seed; empty if the arm has no such metric."""
        found = [
            _value_at(metrics, path)
            for (its_point, its_arm, _), metrics in sorted(self._metrics.items())
            if (its_point, its_arm) == (point, arm)
        ]
        return [float(value) for value in found if value is not None]

    def estimate(self, point: str, arm: str, path: str) -> Estimate | None:
        """Return the mean over seeds and its 95 % interval; None if the arm has no such metric."""
        values = self.values(point, arm, path)
        return estimate(values) if values else None

    def config(self, point: str, arm: str) -> dict[str, Any]:
        """Return the resolved pre-training configuration of an arm's run with the lowest seed."""
        found = [
            metrics for (its_point, its_arm, _), metrics in sorted(self._metrics.items())
            if (its_point, its_arm) == (point, arm)
        ]  # fmt: skip
        config: dict[str, Any] = found[0]["asked"]["config"]
        return config

    def metric_names(self, point: str, arm: str, path: str) -> list[str]:
        """Return the names of the metrics below a path; empty if there are none."""
        for (its_point, its_arm, _), metrics in sorted(self._metrics.items()):
            below = _value_at(metrics, path)
            if (its_point, its_arm) == (point, arm) and isinstance(below, dict):
                return list(below)
        return []


def _value_at(metrics: dict[str, Any], path: str) -> Any:
    value: Any = metrics
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value
