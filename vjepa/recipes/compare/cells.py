"""The cells of a comparison: one run for each combination of arm, point of the sweep and seed.

Each cell is trained and measured by itself, in a folder of its own. Finished cells are kept, so that a
comparison can be resumed; an interrupted cell resumes its run from the latest checkpoint.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from vjepa.config import TrainConfig, config_from_tree, config_tree
from vjepa.files import written_atomically
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.processes import run_tasks
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.data import probe_manifests, render_synthetic

BASE_POINT = "base"


@dataclass(frozen=True)
class Cell:
    """One run of a comparison, and its measurement.

    Attributes:
        arm: Name of the arm.
        point: Name of the point of the sweep, or `BASE_POINT`.
        seed: Random seed of the run.
        kind: Kind of the arm, see `vjepa.recipes.compare.config.Arm`.
        config: Resolved configuration of the pre-training; for arms that are not trained, of the encoder and
            the data.
        label_shares: Shares of the training labels, in (0, 1], to which probes are fitted.
        finetune: Sections of a fine-tuning configuration; None turns fine-tuning off.
    """

    arm: str
    point: str
    seed: int
    kind: str
    config: PretrainConfig
    label_shares: tuple[float, ...]
    finetune: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """Folder of the run and of its results."""
        return Path(self.config.output_dir)

    @property
    def results_file(self) -> Path:
        """JSON file of the cell's metrics and settings."""
        return self.folder / "results.json"

    def finished(self) -> bool:
        """Return whether the cell has results; raise ValueError if they are of another configuration."""
        if not self.results_file.exists():
            return False
        found = json.loads(self.results_file.read_text())["asked"]
        if found != self.settings():
            raise ValueError(
                f"{self.folder} holds results of another configuration: give another output_dir, or delete "
                "that folder"
            )
        return True

    def finetune_config(self, init: Path, threads: int | None = None) -> FinetuneConfig:
        """Return the fine-tuning configuration of the cell.

        Args:
            init: Model folder from which fine-tuning starts.
            threads: Number of CPU threads; None chooses it automatically.

        Raises:
            ConfigError: The sections in `finetune` do not make a valid configuration.
        """
        assert self.finetune is not None
        train, test = probe_manifests(self.config)
        data, given = self.config.data, self.finetune
        shared = ("num_workers", "reader", "cache_dir", "cache_short_side")
        read = {name: getattr(data, name) for name in shared}
        execution = config_tree(self.config)["train"]
        common = {field.name: execution[field.name] for field in fields(TrainConfig)}
        tree = {
            **given,
            "output_dir": str(self.folder / "finetuned"),
            "seed": self.seed,
            "model": {**given.get("model", {}), "init": str(init)},
            "data": {"train": train, "test": test, **read, **given.get("data", {})},
            "train": {**common, **given.get("train", {}), "threads": threads},
        }
        return config_from_tree(tree, FinetuneConfig)

    def settings(self) -> dict[str, Any]:
        """Return all settings on which the results depend, as JSON values."""
        settings = {"kind": self.kind, "label_shares": self.label_shares, "config": config_tree(self.config)}
        if self.finetune is not None:
            settings["finetune"] = self.finetune
        return dict(json.loads(json.dumps(settings)))


def all_cells(comparison: CompareConfig) -> list[Cell]:
    """Return all cells of a comparison: first those of the base point, seed by seed, then those of the sweep.

    Raises:
        ConfigError: A cell has no valid configuration.
    """
    cells = [
        _cell(comparison, arm, BASE_POINT, seed, {}) for seed in comparison.seeds for arm in comparison.arms
    ]
    if comparison.sweep is not None:
        cells += [
            _cell(comparison, arm, name, seed, point.overrides)
            for seed in comparison.sweep.seeds
            for name, point in comparison.sweep.points.items()
            for arm in comparison.sweep.arms
        ]
    tuned = next((cell for cell in cells if cell.finetune is not None), None)
    if tuned is not None:  # A check before the first run; all cells have the same sections.
        tuned.finetune_config(tuned.folder)
    return cells


def _cell(comparison: CompareConfig, arm: str, point: str, seed: int, overrides: dict[str, Any]) -> Cell:
    tree = _merged(_merged(comparison.base, comparison.arms[arm].overrides), overrides)
    data = tree.get("data", {})
    folder = Path(comparison.output_dir)
    if comparison.train is not None:
        tree["data"] = data | {"train": comparison.train}
        tree["probe"] = {"train": comparison.train, "test": comparison.test}
    if data.get("synthetic") is not None:
        data["synthetic"].setdefault("folder", str(folder / "videos" / point))
        data.setdefault("cache_dir", str(folder / "cache" / point))
    tree |= {"seed": seed, "output_dir": str(folder / "cells" / point / f"{arm}-{seed}")}
    kind, shares = comparison.arms[arm].kind, tuple(comparison.label_shares)
    finetune = comparison.finetune if point == BASE_POINT and kind != "pca" else None
    return Cell(arm, point, seed, kind, config_from_tree(tree, PretrainConfig), shares, finetune)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes`, nested dictionaries merged; both stay unchanged."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else copy.deepcopy(value)
    return merged


def run_cells(
    cells: Sequence[Cell], run: Callable[[Cell], dict[str, Any]], jobs: int, say: Callable[[str], None]
) -> None:
    """Run all cells that are not finished, each in a fresh process with an equal share of the CPU cores.

    Args:
        cells: All cells of a comparison.
        run: Function that trains and measures a cell, and returns its metrics as JSON values.
        jobs: Number of cells that run at the same time.
        say: Function that prints a line.

    Raises:
        ValueError: A cell has results of another configuration.
    """
    left = [cell for cell in cells if not cell.finished()]
    say(f"{len(cells)} cells, {len(cells) - len(left)} finished already")
    for config in _configs_of_rendered_videos(left):
        assert config.data.synthetic is not None
        render_synthetic(config.data.synthetic, jobs, say)
    started = time.monotonic()
    for number, cell in enumerate(run_tasks(left, partial(_write_results, run), jobs), start=1):
        minutes = (time.monotonic() - started) / 60
        rest = minutes / number * (len(left) - number)
        say(
            f"{number}/{len(left)} {cell.point} {cell.arm} seed {cell.seed}: {minutes:.0f} min, about "
            f"{rest:.0f} min left"
        )


def _configs_of_rendered_videos(cells: Sequence[Cell]) -> list[PretrainConfig]:
    """Return one configuration for each folder of rendered videos, which several cells may share."""
    folders = {
        cell.config.data.synthetic.folder: cell.config
        for cell in cells
        if cell.config.data.synthetic is not None
    }
    return list(folders.values())


def _write_results(run: Callable[[Cell], dict[str, Any]], cell: Cell) -> None:
    results = {"asked": cell.settings(), **run(cell)}
    cell.results_file.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(cell.results_file) as draft:
        draft.write_text(json.dumps(results, indent=1) + "\n")
