"""The accelerator of a run: its processes and the micro-batches of a step."""

from __future__ import annotations

import math
import os

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

from vjepa.choices import Precision
from vjepa.config import TrainConfig
from vjepa.cpu_threads import threads_per_process
from vjepa.training.trackers import check_trackers


def build_accelerator(
    train: TrainConfig,
    output_dir: str,
    batch_size: int,
    *,
    group_size: int = 1,
    measures_batch: bool = False,
    find_unused: bool = False,
) -> Accelerator:
    """Build the accelerator of a run, with the fewest micro-batches that respect `train.micro_batch`.

    Args:
        train: Section `train` of the configuration.
        output_dir: Run folder; trackers write below it.
        batch_size: Number of videos of one step, over all processes and micro-batches.
        group_size: Number of neighbouring videos that must stay in the same micro-batch.
        measures_batch: Whether the loss is a statistic of the whole batch (objective.sigreg or
            objective.vicreg), so that a step cannot be cut into micro-batches.
        find_unused: Whether a step may leave some weights without a gradient.

    Raises:
        ValueError: The processes do not find each other, the batch cannot be divided among them as asked, or
            a tracker is not installed.
    """
    check_trackers(train.trackers)
    _forget_last_run()
    cpu = train.device == "cpu"
    state = PartialState(cpu=cpu)
    world_size = state.num_processes
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != world_size:
        raise ValueError(
            f"{launched} processes were started and each sees {world_size}: without a GPU give "
            "--train.device cpu, so that they find each other (configs/accelerate/two_cpu_processes.yaml)"
        )
    if state.device.type == "cpu":
        torch.set_num_threads(train.threads or threads_per_process(local_processes()))
    return Accelerator(
        cpu=cpu,
        mixed_precision=train.precision,
        gradient_accumulation_steps=accumulation_steps(
            batch_size, world_size, train.micro_batch, group_size, measures_batch
        ),
        log_with=train.trackers or None,
        project_config=ProjectConfiguration(project_dir=output_dir, logging_dir=output_dir),
        step_scheduler_with_optimizer=False,
        kwargs_handlers=[
            # Buffers are constants, or the same on all processes by their own updates.
            DistributedDataParallelKwargs(find_unused_parameters=find_unused, broadcast_buffers=False)
        ],
    )


def _forget_last_run() -> None:
    """Let a further run in the same process have its own precision and device.

    Accelerate keeps one state for all accelerators of a process, and refuses another precision. The group of
    several processes stays: it is the same for all their runs.
    """
    AcceleratorState._reset_state()
    GradientState._reset_state()
    if not torch.distributed.is_initialized():
        PartialState._reset_state()


def networks_precision(accelerator: Accelerator) -> Precision:
    """Return the precision of the run, for networks that compute outside of a training step.

    With accelerate's fp8, which converts the layers of the objective, they compute in bf16.
    """
    known: dict[str, Precision] = {"no": "no", "fp16": "fp16", "bf16": "bf16", "fp8": "bf16"}
    return known[accelerator.mixed_precision]


def local_processes() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def accumulation_steps(
    batch_size: int, world_size: int, most: int | None, group_size: int = 1, measures_batch: bool = False
) -> int:
    """Return the number of micro-batches of a step on one process, the fewest of at most `most` videos.

    Args:
        batch_size: Number of videos of one step, over all processes and micro-batches.
        world_size: Number of processes.
        most: Largest number of videos of a micro-batch; None for no limit.
        group_size: Number of neighbouring videos that must stay in the same micro-batch.
        measures_batch: Whether the loss is a statistic of the whole batch.

    Raises:
        ValueError: The batch cannot be divided as asked.
    """
    if batch_size % (world_size * group_size):
        raise ValueError(
            f"optim.batch_size {batch_size} cannot be shared by {world_size} processes: start as many as "
            f"divide it, or give a multiple of {world_size * group_size}"
        )
    share = batch_size // world_size
    count = 1 if most is None else math.ceil(share / most)
    while share % (count * group_size):
        count += 1
        if count * group_size > share:
            raise ValueError(
                f"train.micro_batch is {most}, and {group_size} neighbouring videos are mixed: give "
                f"{group_size} or more"
            )
    if count > 1 and measures_batch:
        raise ValueError(
            f"train.micro_batch {most} cuts a step into {count} micro-batches, but objective.sigreg or "
            f"objective.vicreg measures the whole batch at once: give micro_batch {share} or more, more "
            "processes, or a smaller optim.batch_size"
        )
    return count
