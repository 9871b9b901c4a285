"""Metrics of all finished cells, with intervals over splits, seeds and test videos."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.evaluation.statistics import Metric, Recognised, balanced_metric, crossed_metric
from vjepa.recipes.compare.cells import Cell
from vjepa.recipes.compare.predictions import Predictions, read_predictions

_ACCURACY = "accuracy/"  # Paths of metrics that are known for every test video begin so.


class _Run(NamedTuple):
    """What a cell has measured: metrics by path, and the class that it gives every test video."""

    metrics: dict[str, Any]
    predictions: Predictions


class Results:
    """Metrics of finished cells; a path names a metric in results.json, such as ``accuracy/ridge/1``.

    Metrics are means over the runs on one or more sets of videos, with every seed. Intervals of accuracies
    cover other splits, seeds and test videos; those of other metrics cover other splits and seeds.

    Args:
        cells: Finished cells of a comparison.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._runs: dict[tuple[str, str], list[_Run]] = {}  # by set of videos and arm, by ascending seed
        for cell in sorted(cells, key=lambda cell: cell.seed):
            run = _Run(json.loads(cell.results_file.read_text()), read_predictions(cell.predictions_file))
            self._runs.setdefault((cell.videos, cell.arm), []).append(run)
        self._check_paths()

    def _check_paths(self) -> None:
        """Raise ValueError where runs on one set of videos were tested on different videos.

        Such runs could not be paired.
        """
        paths: dict[str, tuple[str, list[str]]] = {}
        for (videos, arm), runs in self._runs.items():
            for run in runs:
                first, tested = paths.setdefault(videos, (arm, run.predictions.paths))
                if run.predictions.paths != tested:
                    raise ValueError(
                        f"the arms {first} and {arm} were tested on different videos of {videos}: a list was "
                        "changed between two runs, or a video became unreadable; delete the results.json of "
                        "the cells that were measured first, to measure them again"
                    )

    def metric(self, videos: Sequence[str], arm: str, path: str) -> Metric | None:
        """Return a metric of an arm with its interval; None if the arm has no such metric.

        Args:
            videos: Names of the sets of videos to average over.
            arm: Name of the arm.
            path: Path of the metric.
        """
        values = self._values(videos, arm, path)
        if values is None:
            return None
        if path.startswith(_ACCURACY):
            return balanced_metric([self._recognised(name, arm, path) for name in videos])
        return crossed_metric(values)

    def difference(self, videos: Sequence[str], first: str, second: str, path: str) -> Metric | None:
        """Return the first arm's metric minus the second's; None unless both arms have it.

        Runs on the same set of videos with the same seed are paired, and so are their test videos. For the
        arguments see `metric`.
        """
        values = [self._values(videos, arm, path) for arm in (first, second)]
        if values[0] is None or values[1] is None:
            return None
        if not path.startswith(_ACCURACY):
            return crossed_metric(values[0] - values[1])
        pairs = [[self._recognised(name, arm, path) for arm in (first, second)] for name in videos]
        return balanced_metric([Recognised(a.hits - b.hits, a.labels, a.groups) for a, b in pairs])

    def text(self, videos: Sequence[str], arm: str, path: str) -> str | None:
        """Return a metric that is a text, such as a level: the most frequent one, with its share of the runs.

        None if the arm has no such metric.
        """
        found = Counter(_value_at(run.metrics, path) for run in self._all(videos, arm))
        text, count = found.most_common(1)[0]
        if text is None:
            return None
        return str(text) if count == found.total() else f"{text} ({count} of {found.total()})"

    def config(self, videos: Sequence[str], arm: str) -> dict[str, Any]:
        """Return the resolved pre-training configuration of an arm's first run."""
        config: dict[str, Any] = self._all(videos, arm)[0].metrics["asked"]["config"]
        return config

    def names(self, videos: Sequence[str], arm: str, path: str) -> list[str]:
        """Return the names of the metrics below a path; empty if there are none."""
        below = _value_at(self._all(videos, arm)[0].metrics, path)
        return list(below) if isinstance(below, dict) else []

    def origins(self, name: str) -> str:
        """Return the `commit` or the `machine` of the runs; if there are several, with their numbers."""
        found = Counter(str(run.metrics[name] or "unknown") for runs in self._runs.values() for run in runs)
        return "; ".join(
            text if len(found) == 1 else f"{text} ({count} runs)" for text, count in found.items()
        )

    def tested(self, videos: Sequence[str], arm: str) -> tuple[int, int]:
        """Return the numbers of test videos and of their groups, in all sets of videos together."""
        runs = [self._runs[name, arm][0].predictions for name in videos]
        paths = {path for run in runs for path in run.paths}
        return len(paths), len({group for run in runs for group in run.groups})

    def _all(self, videos: Sequence[str], arm: str) -> list[_Run]:
        return [run for name in videos for run in self._runs[name, arm]]

    def _values(self, videos: Sequence[str], arm: str, path: str) -> NDArray[np.float64] | None:
        """Return a metric of every run, one row for each set of videos, one column for each seed."""
        found = [[_value_at(run.metrics, path) for run in self._runs[name, arm]] for name in videos]
        missing = any(value is None for row in found for value in row)
        return None if missing else np.array(found, dtype=np.float64)

    def _recognised(self, videos: str, arm: str, path: str) -> Recognised:
        runs = [run.predictions for run in self._runs[videos, arm]]
        hits = np.array([run.hits(path.removeprefix(_ACCURACY)) for run in runs])
        return Recognised(hits, runs[0].labels, runs[0].groups)


def _value_at(metrics: dict[str, Any], path: str) -> Any:
    value: Any = metrics
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value
