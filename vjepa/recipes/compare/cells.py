"""The cells of a comparison: one run for each combination of arm, set of videos and seed.

Each cell is trained and measured by itself, in a folder of its own. Finished cells are kept, so that a
comparison can be resumed; an interrupted cell resumes its run from the latest checkpoint.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vjepa.config import TrainConfig, config_from_tree, config_tree
from vjepa.data.manifest import read_manifest
from vjepa.data.splits import check_leaks
from vjepa.evaluation.features.extract import probe_classes
from vjepa.evaluation.probes.factors import frame_ahead
from vjepa.files import written_atomically
from vjepa.profiling.timing import machine_name
from vjepa.recipes.compare.budget import training_flops, with_flops
from vjepa.recipes.compare.config import CompareConfig, Kind, Measure
from vjepa.recipes.compare.processes import run_tasks
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.data import as_list, probe_manifests, render_synthetic
from vjepa.source_commit import source_commit
from vjepa.training.run_folder import digest_of_rows

WITHOUT_TOKENS: tuple[Kind, ...] = ("pca", "frame")  # kinds of arms that are no encoder
OF_TOKENS: tuple[Measure, ...] = ("attentive", "finetune")  # measures that need one


@dataclass(frozen=True)
class Cell:
    """One run of a comparison, and its measurement.

    Attributes:
        arm: Name of the arm.
        videos: Name of the set of videos: `base`, `split1` and so on, or a point of the sweep.
        seed: Random seed of the run.
        kind: Kind of the arm, see `vjepa.recipes.compare.config.Arm`.
        config: Resolved configuration of the pre-training; for arms that are not trained, of the encoder and
            the data.
        train: Labelled manifest to which read-outs are fitted.
        test: Labelled manifest of the videos to measure on.
        measures: Read-outs of classes.
        label_shares: Shares of the training labels, in (0, 1], to which read-outs are fitted.
        horizons: Numbers of frames after the clip at which factors are read; empty without known factors.
        finetune: Sections of a fine-tuning configuration, for the measure `finetune`.
    """

    arm: str
    videos: str
    seed: int
    kind: Kind
    config: PretrainConfig
    train: str
    test: str
    measures: tuple[Measure, ...]
    label_shares: tuple[float, ...]
    horizons: tuple[int, ...]
    finetune: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Folder of the run and of its results."""
        return Path(self.config.output_dir)

    @property
    def results_file(self) -> Path:
        """JSON file of the cell's metrics and settings."""
        return self.folder / "results.json"

    @property
    def predictions_file(self) -> Path:
        """CSV file of the class that each read-out gives every test video."""
        return self.folder / "predictions.csv"

    def finished(self) -> bool:
        """Return whether the cell has results; raise ValueError if they are of another configuration."""
        if not self.results_file.exists():
            return False
        found = json.loads(self.results_file.read_text())["asked"]
        if found != self.settings():
            differing = [name for name, value in self.settings().items() if found.get(name) != value]
            raise ValueError(
                f"{self.results_file} has results of other settings ({', '.join(differing)}): give another "
                "output_dir; or delete that file to measure the run again; or its folder, to train again"
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
        data, given = self.config.data, self.finetune
        cache = dataclasses.asdict(data.cache)
        read = {"num_workers": data.num_workers, "reader": data.reader, "cache": cache}
        execution = config_tree(self.config)["train"]
        common = {field.name: execution[field.name] for field in dataclasses.fields(TrainConfig)}
        tree = {
            **given,
            "output_dir": str(self.folder / "finetuned"),
            "seed": self.seed,
            "model": {**given.get("model", {}), "init": str(init)},
            "data": {"train": self.train, "test": self.test, **read, **given.get("data", {})},
            "train": {**common, **given.get("train", {}), "threads": threads},
        }
        return config_from_tree(tree, FinetuneConfig)

    def settings(self) -> dict[str, Any]:
        """Return all settings on which the results depend, as JSON values."""
        settings = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("arm", "videos", "seed")
        }
        if self.config.data.synthetic is None:
            settings["lists"] = [self._digest(self.train), self._digest(self.test)]
        return dict(json.loads(json.dumps({**settings, "config": config_tree(self.config)})))

    def _digest(self, manifest: str) -> str:
        """Return a digest of the videos of a list, which may have changed since a cell was finished."""
        videos = read_manifest(manifest, images=self.config.data.kind == "images")
        rows = [(video.path, video.label, video.group, video.start, video.end) for video in videos]
        return digest_of_rows(rows)


class _Videos(NamedTuple):
    """A set of videos that arms are trained and measured on.

    Attributes:
        name: Name of the set, which is that of a folder.
        overrides: Changes to the base configuration and the arm's overrides.
        manifests: Training and test manifest; None for rendered videos.
        seeds: Random seeds.
        arms: Names of the arms.
        measures: Read-outs of classes.
    """

    name: str
    overrides: dict[str, Any]
    manifests: tuple[str, str] | None
    seeds: Sequence[int]
    arms: Sequence[str]
    measures: tuple[Measure, ...]


def base_videos(comparison: CompareConfig) -> list[str]:
    """Return the names of the sets of videos whose runs are averaged: all splits, or the rendered videos."""
    if comparison.splits is None:
        return ["base"]
    return [f"split{number}" for number in range(1, len(comparison.splits) + 1)]


def all_cells(comparison: CompareConfig) -> list[Cell]:
    """Return all cells of a comparison, seed by seed, those of the sweep last.

    Raises:
        ConfigError: A cell has no valid configuration.
        ValueError: A rendered video ends before a frame whose factors are asked for.
    """
    cells = [cell for part in _sets_of_videos(comparison) for cell in _cells_of(comparison, part)]
    base = base_videos(comparison)
    order = {seed: number for number, seed in enumerate(comparison.seeds)}
    cells.sort(key=lambda cell: (cell.videos not in base, order.get(cell.seed, 0)))
    tuned = next((cell for cell in cells if "finetune" in cell.measures), None)
    if tuned is not None:  # A check before the first run; all cells have the same sections.
        tuned.finetune_config(tuned.folder)
    return cells


def _sets_of_videos(comparison: CompareConfig) -> Iterator[_Videos]:
    measures, sweep = tuple(comparison.measures), comparison.sweep
    arms, seeds = list(comparison.arms), comparison.seeds
    for number, name in enumerate(base_videos(comparison)):
        split = None if comparison.splits is None else comparison.splits[number]
        manifests = None if split is None else (split.train, split.test)
        yield _Videos(name, {}, manifests, seeds, arms, measures)
    frozen = tuple(measure for measure in measures if measure != "finetune")
    for name, point in sweep.points.items() if sweep is not None else ():
        assert sweep is not None
        yield _Videos(name, point.overrides, None, sweep.seeds, sweep.arms, frozen)


def _cells_of(comparison: CompareConfig, videos: _Videos) -> Iterator[Cell]:
    """Yield the cells of a set of videos."""
    for name in videos.arms:
        arm, config = comparison.arms[name], _config(_tree(comparison, name, videos))
        if arm.flops_of is not None:
            config = with_flops(config, _flops(_tree(comparison, arm.flops_of, videos)))
        if config.train.patience is not None:
            raise ValueError(
                f"train.patience is {config.train.patience}: arms are compared at equal budgets, so no run "
                "may end early; leave it out (train.keep_best takes the best weights on the way)"
            )
        train, test = videos.manifests or probe_manifests(config)
        assert train is not None
        assert test is not None
        folder = Path(config.output_dir) / "cells" / videos.name
        for seed in videos.seeds:
            yield Cell(
                arm=name,
                videos=videos.name,
                seed=seed,
                kind=arm.kind,
                config=replace(config, seed=seed, output_dir=str(folder / f"{name}-{seed}")),
                train=train,
                test=test,
                measures=tuple(
                    measure
                    for measure in videos.measures
                    if measure not in OF_TOKENS or arm.kind not in WITHOUT_TOKENS
                ),
                label_shares=tuple(comparison.label_shares),
                horizons=_horizons(comparison, config),
                finetune=comparison.finetune if "finetune" in videos.measures else {},
            )


def _tree(comparison: CompareConfig, arm: str, videos: _Videos) -> str:
    """Return the settings of an arm on a set of videos as JSON; seed and run folder are still to be set."""
    tree = _merged(_merged(comparison.base, comparison.arms[arm].overrides), videos.overrides)
    data, folder = tree.setdefault("data", {}), Path(comparison.output_dir)
    if videos.manifests is not None:
        data["train"] = [videos.manifests[0], *comparison.extra_train]
        if tree.get("probe", {}).get("online") is not None:  # It reads the training videos alone.
            tree["probe"] |= {"train": videos.manifests[0], "test": videos.manifests[1]}
    else:
        data["synthetic"].setdefault("folder", str(folder / "videos" / videos.name))
        data.setdefault("cache", {}).setdefault("folder", str(folder / "cache" / videos.name))
    return json.dumps({**tree, "output_dir": str(folder)})


@lru_cache(maxsize=256)
def _config(tree: str) -> PretrainConfig:
    """Return the configuration of `_tree`; several arms share one, and reading it takes a while."""
    return config_from_tree(json.loads(tree), PretrainConfig)


@lru_cache(maxsize=256)
def _flops(tree: str) -> float:
    """Return the number of training FLOPs of `_tree`, which several arms may be given."""
    return training_flops(_config(tree))


def _horizons(comparison: CompareConfig, config: PretrainConfig) -> tuple[int, ...]:
    """Return the horizons at which factors are read; ValueError if the rendered videos are too short."""
    if config.data.synthetic is None:
        return ()
    clip = replace(config.data.clip, clips_per_video=1)
    for horizon in comparison.horizons:
        try:
            frame_ahead(config.data.synthetic.render.frames, clip, horizon)
        except ValueError as error:
            raise ValueError(
                f"horizons has {horizon}: {error} (base.data.synthetic.render.frames)"
            ) from error
    return tuple(comparison.horizons)


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
        ValueError: A cell has results of other settings, labels cannot be read out, or test videos are among
            the training videos.
    """
    left = [cell for cell in cells if not cell.finished()]
    say(f"{len(cells)} cells, {len(cells) - len(left)} finished already")
    _check_lists(left)
    for config in _configs_of_rendered_videos(left):
        assert config.data.synthetic is not None
        render_synthetic(config.data.synthetic, jobs, say)
    started = time.monotonic()
    for number, cell in enumerate(run_tasks(left, partial(_write_results, run), jobs), start=1):
        minutes = (time.monotonic() - started) / 60
        rest = minutes / number * (len(left) - number)
        say(
            f"{number}/{len(left)} {cell.videos} {cell.arm} seed {cell.seed}: {minutes:.0f} min, about "
            f"{rest:.0f} min left"
        )


def _check_lists(cells: Sequence[Cell]) -> None:
    """Raise ValueError where labels cannot be read out or test videos are trained on, or share a group with
    labelled training videos.
    """
    splits = {(cell.train, cell.test): cell for cell in cells if cell.config.data.synthetic is None}
    for (train, test), cell in splits.items():
        read = partial(read_manifest, images=cell.config.data.kind == "images")
        fitted, tested = read(train), read(test)
        check_leaks({f"train {train}": fitted, f"test {test}": tested})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Each measurement will warn.
            probe_classes(fitted, tested, (train, test))
        # Groups of another manifest may have the same names by chance: files and contents decide.
        ungrouped = [replace(video, group=None) for video in tested]
        for source in as_list(cell.config.data.train)[1:]:
            further = [replace(video, group=None) for video in read(source)]
            check_leaks({f"extra_train {source}": further, f"test {test}": ungrouped})


def _configs_of_rendered_videos(cells: Sequence[Cell]) -> list[PretrainConfig]:
    """Return one configuration for each folder of rendered videos, which several cells may share."""
    folders = {
        cell.config.data.synthetic.folder: cell.config
        for cell in cells
        if cell.config.data.synthetic is not None
    }
    return list(folders.values())


def _write_results(run: Callable[[Cell], dict[str, Any]], cell: Cell) -> None:
    results = {
        "asked": cell.settings(),
        "seed": cell.seed,
        "commit": source_commit(),
        "machine": machine_name(torch.device("cpu")),
        **run(cell),
    }
    cell.results_file.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(cell.results_file) as draft:
        draft.write_text(json.dumps(results, indent=1) + "\n")
