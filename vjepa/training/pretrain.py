"""A pre-training run from its configuration to its report."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import ProjectConfiguration, set_seed
from torch import nn
from torch.utils.data import DataLoader

from vjepa import build
from vjepa.batch import Batch
from vjepa.config import Config, config_tree
from vjepa.cpu_threads import threads_per_process
from vjepa.data.collate import MaskCollator
from vjepa.data.sampling import StepBatches
from vjepa.evaluation.report import draw_report, summary_table
from vjepa.training.optimizer import build_optimizer
from vjepa.training.plan import describe_run
from vjepa.training.probe import probe_encoders
from vjepa.training.run_folder import RunFolder
from vjepa.training.stop import leave_signals_to_parent
from vjepa.training.trainer import Trainer
from vjepa.training.unreadable import UnreadableVideos
from vjepa.weights import save_pretrained


def pretrain(config: Config) -> dict[str, Any]:
    """Run a configuration to its end, or on from where it was; returns what ``summary.json`` holds."""
    started = time.perf_counter()
    accelerator = _accelerator(config)
    say = accelerator.print
    folder = RunFolder(config.output_dir)
    if accelerator.is_main_process:
        folder.claim(config)
        if config.data.synthetic is not None:
            build.render_synthetic(config.data.synthetic, config.data.workers, say)
    accelerator.wait_for_everyone()

    sources = build.training_sources(config)
    num_videos = sum(len(source) for source in sources)
    set_seed(config.seed)
    objective = build.build_objective(config)
    if config.init is not None:
        build.load_weights(objective, config.init)
    say(describe_run(config, num_videos, accelerator))
    # From here on each process has random numbers of its own (drop path), the networks being equal.
    set_seed(config.seed, device_specific=True)

    dataset = build.build_dataset(config, sources)
    collate = MaskCollator(config.masks.all, config.encoder.tubelet, config.seed)
    micro_batch = (
        config.optim.batch_size // accelerator.num_processes // accelerator.gradient_accumulation_steps
    )

    def batches(first_step: int) -> Iterable[Batch]:
        sampler = StepBatches(
            build.sample_order(config, sources), batch_size=config.optim.batch_size, micro_batch=micro_batch,
            rank=accelerator.process_index, world=accelerator.num_processes,
            first_step=first_step, last_step=config.optim.steps,
        )  # fmt: skip
        return DataLoader(
            dataset, batch_sampler=cast(Any, sampler), collate_fn=collate, num_workers=config.data.workers,
            pin_memory=accelerator.device.type == "cuda", worker_init_fn=leave_signals_to_parent,
            generator=torch.Generator(),  # its own: the run's random state must not depend on workers
        )  # fmt: skip

    prepared, optimizer = accelerator.prepare(objective, build_optimizer(objective, config.optim))
    _start_trackers(accelerator, config)
    trainer = Trainer(
        accelerator=accelerator,
        objective=prepared,
        optimizer=optimizer,
        batches=batches,
        unreadable=UnreadableVideos(num_videos, config.data.max_unreadable, say),
        folder=folder,
        optim=config.optim,
        train=config.train,
    )
    trainer.fit()
    return _finish(config, accelerator, prepared, folder, started)


def _finish(
    config: Config, accelerator: Accelerator, prepared: nn.Module, folder: RunFolder, started: float
) -> dict[str, Any]:
    """Model, probes, summary and picture."""
    state = accelerator.get_state_dict(prepared)
    summary: dict[str, Any] = {}
    if accelerator.is_main_process:
        save_pretrained(folder.model, state, build.model_config(config))
        records = folder.read_metrics()
        summary = {
            "steps": config.optim.steps,
            "clips": config.optim.steps * config.optim.batch_size * config.data.clip.clips_per_video,
            "final": {key: value for key, value in records[-1].items() if key != "step"},
            "clips_per_second": _median([record["clips_per_second"] for record in records]),
            "alarms": [record["alarm"] for record in records if "alarm" in record],
            "probe": probe_encoders(config, folder.model, accelerator.device),
            "seconds": round(time.perf_counter() - started, 1),
        }
        folder.write_summary(summary)
        draw_report(records, summary, folder.picture)
        print(summary_table(summary, folder.path))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return summary


def _accelerator(config: Config) -> Accelerator:
    cpu = config.train.device == "cpu"
    state = PartialState(cpu=cpu)
    world = state.num_processes
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != world:
        raise ValueError(
            f"{launched} processes were started and each sees {world}: without a GPU give --train.device cpu, "
            "so that they find each other (configs/accelerate/two_cpu_processes.yaml)"
        )
    if state.device.type == "cpu":
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(config.train.threads or threads_per_process(local))
    return Accelerator(
        cpu=cpu,
        mixed_precision=config.train.precision,
        gradient_accumulation_steps=_accumulation(config, world),
        log_with=config.train.trackers or None,
        project_config=ProjectConfiguration(project_dir=config.output_dir, logging_dir=config.output_dir),
        step_scheduler_with_optimizer=False,
    )


def _accumulation(config: Config, world: int) -> int:
    """Micro-batches of one step on one process: the fewest that respect `train.micro_batch`."""
    batch_size, most = config.optim.batch_size, config.train.micro_batch
    if batch_size % world:
        raise ValueError(
            f"optim.batch_size {batch_size} cannot be shared by {world} processes: give a multiple of {world}"
        )
    share = batch_size // world
    parts = 1 if most is None else math.ceil(share / most)
    while share % parts:
        parts += 1
    return parts


def _start_trackers(accelerator: Accelerator, config: Config) -> None:
    flat = {key: json.dumps(value) for key, value in config_tree(config).items()}
    accelerator.init_trackers(Path(config.output_dir).name, config=flat)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
