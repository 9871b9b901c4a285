"""Take an objective through its steps: what runs of every kind share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import nn

from vjepa.config import OptimConfig, TrainConfig
from vjepa.training.accelerator import start_trackers
from vjepa.training.alone import wait_for_all
from vjepa.training.going_on import calmer_settings
from vjepa.training.run_folder import Row, RunFolder
from vjepa.training.trainer import Trainer
from vjepa.training.unreadable import WITHOUT_VIDEOS, UnreadableVideos


class RunConfig(Protocol):
    """What configurations of all kinds have."""

    @property
    def output_dir(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def data(self) -> Any: ...

    @property
    def optim(self) -> Any: ...

    @property
    def train(self) -> TrainConfig: ...


def fit(
    config: RunConfig,
    accelerator: Accelerator,
    folder: RunFolder,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    load: Callable[..., Iterable[Any]],
    *,
    optim: OptimConfig,
    rows: Sequence[Row],
    classes: Sequence[str] | None = None,
    remedy: str = WITHOUT_VIDEOS,
) -> nn.Module:
    """Train to the last step, from the latest checkpoint if there is one; the objective as the accelerator
    wrapped it.

    Args:
        config: Configuration of the run; it is written to its trackers.
        accelerator, folder: Accelerator and folder of the run.
        objective, optimizer: Objective and optimiser as built; the networks are equal on all processes.
        load: This process's micro-batches, asked for by ``first_step``, ``micro_batch``, ``rank``,
            ``world_size`` and arguments of torch's DataLoader.
        optim: Steps and schedules.
        rows: Rows of the lists of training videos or episodes, a share of which may be unreadable.
        remedy: Advice how to leave out what cannot be read, for the error message.
        classes: Class names in the order of their numbers, for a run that learns classes.
    """
    if accelerator.is_main_process:
        for remark in folder.compare_sources(rows, classes, accelerator.mixed_precision):
            accelerator.print(f"warning: {remark}")
    # From here on each process has random numbers of its own (drop path).
    set_seed(config.seed, device_specific=True)
    world_size, pieces = accelerator.num_processes, accelerator.gradient_accumulation_steps

    def batches(first_step: int) -> Iterable[Any]:
        return load(
            first_step=first_step, micro_batch=optim.batch_size // world_size // pieces,
            rank=accelerator.process_index, world_size=world_size,
            pin_memory=accelerator.device.type == "cuda",
        )  # fmt: skip

    prepared, optimizer = accelerator.prepare(objective, optimizer)
    start_trackers(accelerator, config, config.output_dir)
    Trainer(
        accelerator=accelerator,
        objective=prepared,
        optimizer=optimizer,
        batches=batches,
        unreadable=UnreadableVideos(
            [row[0] for row in rows], config.data.max_unreadable, accelerator.print, remedy
        ),
        folder=folder,
        optim=optim,
        train=config.train,
        remedy=calmer_settings(config),
    ).fit()
    wrapped: nn.Module = prepared
    return wrapped


def finish(accelerator: Accelerator) -> None:
    """Wait for all processes, and let trackers end."""
    wait_for_all(accelerator)
    for tracker in accelerator.trackers:
        tracker.finish()


def leave_processes() -> None:
    """Leave the group of processes; the last thing that a command does, after all its stages."""
    PartialState().destroy_process_group()
