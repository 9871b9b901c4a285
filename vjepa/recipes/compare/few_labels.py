"""Accuracy against the share of labels: one fine-tuning run for each arm, share and seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vjepa.config import config_tree
from vjepa.plots.label_curve import draw_label_curve, label_curve_table
from vjepa.recipes.compare.config import DETERMINED
from vjepa.recipes.compare.processes import run_tasks
from vjepa.recipes.finetune import build as finetuning
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.finetune.run import finetune
from vjepa.training.going_on import flat_settings
from vjepa.training.run_folder import RunFolder
from vjepa.weights.model_folder import read_model_config

SHARES = (0.01, 0.05, 0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Arm:
    """A model from which fine-tuning starts.

    Attributes:
        name: Name of the arm in the table.
        init: Run folder or model folder.
        untrained: Whether the model's weights are replaced by random ones.
    """

    name: str
    init: str
    untrained: bool = False


def read_arm(text: str) -> Arm:
    """Read an arm from ``NAME=FOLDER``, or ``NAME=random:FOLDER`` for that model with random weights.

    Raises:
        ValueError: The text has neither form.
    """
    name, equals, init = text.partition("=")
    if not (name and equals and init):
        raise ValueError(f"the arm is {text!r}: give NAME=FOLDER, or NAME=random:FOLDER")
    return Arm(name, init.removeprefix("random:"), init.startswith("random:"))


def few_labels(
    config: FinetuneConfig,
    arms: Sequence[Arm],
    *,
    recipe: Mapping[str, Any] | None = None,
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> dict[str, dict[float, list[float]]]:
    """Fine-tune every arm with every share of the labels, and write the accuracies with a plot and a table.

    Finished runs are kept, so that the same call resumes an interrupted one.

    Args:
        config: Configuration of all runs; arm, share, seed and output folder are set for each run.
        arms: Models to start from, with names that differ.
        recipe: Settings of the recipe that `config` changes, whose arm, share and seed give way; None takes
            the defaults.
        shares: Shares of the labels of each class, in (0, 1].
        seeds: Random seeds of the runs; a seed also determines which labels are used.
        jobs: Number of runs at the same time.
        say: Function that prints a line.

    Returns:
        Mean-class accuracies on the test split, in [0, 1], by arm and share: a list with one value per seed.

    Raises:
        ValueError: There is no test split, nothing to run or two arms of the same name, or the splits or a
            model cannot be used.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}: give 1 or more")
    if not shares or not seeds:
        raise ValueError(f"shares is {list(shares)} and seeds {list(seeds)}: give one or more of each")
    if config.data.test is None and not config.data.test_share:
        raise ValueError(
            "data.test is null and data.test_share 0: give the videos to measure on, or a share to hold back"
        )
    _check_unset(config, recipe)
    _check_names(arms)
    finetuning.labelled_splits(config)  # A check before the first run.
    for arm in arms:
        read_model_config(arm.init)
    cells = {
        (arm.name, share, seed): _cell(config, arm, share, seed)
        for share in shares
        for seed in seeds
        for arm in arms
    }
    left = [cell for cell in cells.values() if not RunFolder(cell.output_dir).finished_with(cell)]
    say(f"{len(cells)} runs, {len(cells) - len(left)} finished already")
    for number, cell in enumerate(run_tasks(left, _run, jobs), start=1):
        say(f"{number}/{len(left)} {cell.output_dir}")
    curves: dict[str, dict[float, list[float]]] = {}
    for (name, share, _), cell in cells.items():
        metrics = RunFolder(cell.output_dir).read_summary()
        curves.setdefault(name, {}).setdefault(share, []).append(metrics["test"]["mean_class"][0])
    _write(Path(config.output_dir), curves, 1 / metrics["test"]["known_classes"])
    return curves


def _check_names(arms: Sequence[Arm]) -> None:
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"the arms are {names}: give one or more, with names that differ")


def _check_unset(config: FinetuneConfig, recipe: Mapping[str, Any] | None) -> None:
    """Raise ValueError where a setting is given, beside the recipe, that arms, shares and seeds determine."""
    before = flat_settings(config_tree(FinetuneConfig()) if recipe is None else recipe)
    given = flat_settings(config_tree(config))
    for key in DETERMINED:
        if given[key] != before[key]:
            random = ", and give an arm NAME=random:FOLDER" if key == "model.weights" else ""
            raise ValueError(
                f"{key} is {given[key]}, and arms, shares and seeds determine it: leave it out{random}"
            )


def _cell(config: FinetuneConfig, arm: Arm, share: float, seed: int) -> FinetuneConfig:
    folder = Path(config.output_dir) / "runs" / f"{arm.name}-{share:g}-{seed}"
    model = replace(config.model, init=arm.init, weights="random" if arm.untrained else "trained")
    data = replace(config.data, label_share=share, label_seed=seed)
    return replace(config, output_dir=str(folder), seed=seed, model=model, data=data)


def _run(cell: FinetuneConfig) -> None:
    finetune(replace(cell, train=replace(cell.train, threads=torch.get_num_threads())))


def _write(folder: Path, curves: dict[str, dict[float, list[float]]], chance: float) -> None:
    table = label_curve_table(curves)
    (folder / "few_labels.md").write_text(table + "\n")
    plain: dict[str, Any] = {
        name: {f"{s:g}": v for s, v in points.items()} for name, points in curves.items()
    }
    (folder / "few_labels.json").write_text(
        json.dumps({"chance": chance, "mean_class": plain}, indent=1) + "\n"
    )
    draw_label_curve(curves, folder / "few_labels.png", chance)
