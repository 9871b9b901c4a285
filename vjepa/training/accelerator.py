"""The processes of a run: how many there are, how a batch is cut among them, and what they report to."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

from vjepa.config import TrainConfig, config_tree
from vjepa.cpu_threads import threads_per_process


def start(
    train: TrainConfig,
    output_dir: str,
    batch_size: int,
    *,
    together: int = 1,
    whole: str | None = None,
    find_unused: bool = False,
) -> Accelerator:
    """The accelerator of a run, with as many accumulated micro-batches as the memory limit asks for.

    Args:
        train: Section `train` of the configuration.
        output_dir: Run folder, for trackers.
        batch_size: Videos of one step, over all processes and micro-batches.
        together: Neighbouring videos that must not be parted.
        whole: Why a step cannot be cut into micro-batches at all; None where it can.
        find_unused: Whether a step may leave weights unused.
    """
    cpu = train.device == "cpu"
    state = PartialState(cpu=cpu)
    world_size = state.num_processes
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != world_size:
        raise ValueError(
            f"{launched} processes were started and each sees {world_size}: without a GPU give "
            "--train.device cpu, "
            "so that they find each other (configs/accelerate/two_cpu_processes.yaml)"
        )
    if state.device.type == "cpu":
        torch.set_num_threads(train.threads or threads_per_process(local_processes()))
    return Accelerator(
        cpu=cpu,
        mixed_precision=train.precision,
        gradient_accumulation_steps=_accumulation(batch_size, world_size, train.micro_batch, together, whole),
        log_with=train.trackers or None,
        project_config=ProjectConfiguration(project_dir=output_dir, logging_dir=output_dir),
        step_scheduler_with_optimizer=False,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=find_unused)],
    )


def local_processes() -> int:
    """How many processes of the run share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _accumulation(
    batch_size: int, world_size: int, most: int | None, together: int, whole: str | None
) -> int:
    """Micro-batches of one step on one process: the fewest that respect `train.micro_batch`."""
    if batch_size % (world_size * together):
        raise ValueError(
            f"optim.batch_size {batch_size} cannot be shared by {world_size} processes: start as many as "
            "divide it, or give a "
            f"multiple of {world_size * together}"
        )
    share = batch_size // world_size
    pieces = 1 if most is None else math.ceil(share / most)
    while share % (pieces * together):
        pieces += 1
        if pieces * together > share:
            raise ValueError(
                f"train.micro_batch is {most}, and {together} neighbouring videos are mixed: give {together} "
                "or more"
            )
    if pieces > 1 and whole is not None:
        raise ValueError(
            f"train.micro_batch {most} cuts a step into {pieces} micro-batches, but {whole} measures the "
            "whole batch at once: "
            f"give micro_batch {share} or more, more processes, or a smaller optim.batch_size"
        )
    return pieces


def start_trackers(accelerator: Accelerator, config: Any, output_dir: str) -> None:
    """Tell the experiment trackers of the run's configuration."""
    flat = {key: json.dumps(value) for key, value in config_tree(config).items()}
    accelerator.init_trackers(Path(output_dir).name, config=flat)
