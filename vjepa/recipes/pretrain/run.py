"""A pre-training run from its configuration to its report."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from vjepa.objectives.jepa import JEPA
from vjepa.plots.run import draw_report, summary_table
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import describe_run
from vjepa.recipes.pretrain.probe import probe_encoders, probed_lists
from vjepa.training.accelerator import build_accelerator
from vjepa.training.alone import alone
from vjepa.training.fit import finish, fit, leave_processes
from vjepa.training.folder_lock import exclusive
from vjepa.training.optimizer import build_optimizer
from vjepa.training.run_folder import RunFolder, claim, metrics_of
from vjepa.training.stop import answering_signals
from vjepa.training.unreadable import check_files
from vjepa.weights.model_folder import save_pretrained

BuildObjective = Callable[[PretrainConfig], nn.Module]


def pretrain(config: PretrainConfig, build_objective: BuildObjective | None = None) -> dict[str, Any]:
    """Run a configuration to its end, or on from where it was; returns what ``summary.json`` holds.

    Where a frozen target encoder is to be trained first, that is a run of its own, in the folder ``teacher``
    of this one; it goes on, or is found finished, in the same way.

    Args:
        config: Configuration of the run.
        build_objective: Makes an objective of your own (`vjepa.objectives.base.Objective`) instead of the
            configured one; it must have an ``encoder`` as `vjepa.recipes.pretrain.build.model_arguments`
            describes it, which is what the model folder then holds and what is probed.
    """
    with answering_signals():
        if config.objective.trains_teacher and build_objective is None:
            _run(build.teacher_config(config), None)
        summary = _run(config, build_objective)
        leave_processes()
    return summary


def _run(config: PretrainConfig, build_objective: BuildObjective | None) -> dict[str, Any]:
    """One stage, with a folder of its own."""
    folder = RunFolder(config.output_dir)
    accelerator = _start(config)
    with exclusive(folder.path, accelerator):
        return _train(config, build_objective, accelerator, folder)


def _train(
    config: PretrainConfig,
    build_objective: BuildObjective | None,
    accelerator: Accelerator,
    folder: RunFolder,
) -> dict[str, Any]:
    say = accelerator.print
    if claim(folder, config, accelerator):
        return folder.read_summary()
    if config.data.synthetic is not None:
        alone(
            accelerator, partial(build.render_synthetic, config.data.synthetic, config.data.num_workers, say)
        )

    sources = build.training_sources(config)
    measured = {name: [video.path for video in videos] for name, videos in probed_lists(config).items()}
    if accelerator.is_main_process:
        check_files(measured, config.data.max_unreadable, say)
    set_seed(config.seed)
    objective = _objective(config) if build_objective is None else build_objective(config)
    with torch.device("meta"):
        outline = (build_objective or build.build_objective)(config)
    say(describe_run(config, outline, sources.num_rows, accelerator))
    prepared = fit(
        config, accelerator, folder, objective, build_optimizer(objective, config.optim),
        partial(build.build_batches, config, sources), optim=config.optim, rows=sources.rows,
    )  # fmt: skip
    own = build_objective is not None
    return _finish(config, accelerator, _model(config, accelerator, prepared, own), folder)


def _start(config: PretrainConfig) -> Accelerator:
    objective = config.objective
    return build_accelerator(
        config.train,
        config.output_dir,
        config.optim.batch_size,
        no_accumulation_reason=(
            f"objective.stabilizer {objective.stabilizer}" if objective.measures_batch else None
        ),
        # A step on videos does not use the tokenizer of images, nor a step on images that of videos.
        find_unused=config.encoder.image_tokenizer,
    )


def _model(
    config: PretrainConfig, accelerator: Accelerator, prepared: nn.Module, own: bool
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and configuration of the model folder."""
    state, model_config = accelerator.get_state_dict(prepared), build.model_config(config)
    if own:
        # What it predicts with is its own business; its encoder is like any other.
        model_config = {
            name: part for name, part in model_config.items() if name not in ("predictor", "decoder")
        }
        return {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}, model_config
    if config.objective.predict == "embeddings" and config.objective.stabilizer == "frozen":
        # Another run's model: no encoder to use instead of this one, but what predictions are held against.
        state = {re.sub(r"^target_encoder\.", "teacher.", name): tensor for name, tensor in state.items()}
        model_config["teacher"] = build.teacher_arguments(config) or model_config["encoder"]
    return state, model_config


def _objective(config: PretrainConfig) -> nn.Module:
    """The objective with the weights that it starts from."""
    objective = build.build_objective(config)
    if config.init is not None:
        build.load_weights(objective, config.init)
    if config.objective.predict == "embeddings" and config.objective.stabilizer == "frozen":
        build.load_teacher(cast(JEPA, objective), build.teacher_folder(config))
    return objective


def _finish(
    config: PretrainConfig,
    accelerator: Accelerator,
    model: tuple[dict[str, Tensor], dict[str, Any]],
    folder: RunFolder,
) -> dict[str, Any]:
    """Model, probes, summary and plot, made by the main process."""

    def write() -> dict[str, Any]:
        save_pretrained(folder.model, *model)
        records = folder.read_metrics()
        probe, unreadable = probe_encoders(config, folder.model, accelerator.device)
        summary = {
            "steps": config.optim.steps,
            "clips": config.optim.steps * config.optim.batch_size * config.data.clip.clips_per_video,
            **_final(records, config),
            "clips_per_second": _median([record["clips_per_second"] for record in records]),
            "alarms": [record["alarm"] for record in records if "alarm" in record],
            "probe": probe,
            **({"unreadable": unreadable} if unreadable else {}),
            "seconds": folder.seconds(),
        }
        folder.write_summary(summary)
        draw_report(records, summary, folder.plot)
        print(summary_table(summary, folder.path))
        return summary

    summary = alone(accelerator, write)
    finish(accelerator)
    return summary or {}


def _final(records: list[dict[str, Any]], config: PretrainConfig) -> dict[str, dict[str, Any]]:
    """Metrics of the last logged step, and of the last one on images where they are mixed in."""
    last = {record["kind"]: metrics_of(record) for record in records}
    final = {"final": last.get(config.data.kind, metrics_of(records[-1]))}
    if config.data.mixes_in_images and "images" in last:
        final["final_on_images"] = last["images"]
    return final


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
