"""Training and the end of a run, shared by the recipes pretrain, finetune and action."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import nn

from vjepa.config import OptimConfig, TrainConfig
from vjepa.data.video_table import Mapped
from vjepa.evaluation.collapse_alarm import Cures
from vjepa.training.alone import wait_for_all
from vjepa.training.going_on import calmer_settings
from vjepa.training.measurements import Measurements
from vjepa.training.run_folder import Row, RunFolder
from vjepa.training.trackers import show_picture, start_trackers
from vjepa.training.trainer import Trainer
from vjepa.training.unreadable import WITHOUT_VIDEOS, UnreadableVideos


class RunConfig(Protocol):
    """The fields that the configurations of all recipes have."""

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
    measurements: Measurements | None = None,
    cures: Cures | None = None,
) -> nn.Module:
    """Train an objective to the last step, from the latest checkpoint if there is one.

    Args:
        config: Configuration of the run; the trackers receive it.
        accelerator, folder: Accelerator and folder of the run.
        objective, optimizer: Objective and its optimiser, not yet prepared by the accelerator; the networks
            have equal weights on all processes.
        load: Function that returns this process's micro-batches; its keyword arguments are ``first_step``,
            ``micro_batch`` (a size), ``rank``, ``world_size`` and arguments of torch's DataLoader.
        optim: Number of steps and schedules.
        rows: Rows of the training lists; each begins with the path of its video or episode.
        classes: Class names in the order of their indices; None for a run that does not learn classes.
        remedy: Advice on how to leave out what cannot be read, for the error message.
        measurements, cures: What is measured in training, and what settings cure a collapse; None: neither.

    Returns:
        The trained objective, as the accelerator wrapped it.

    Raises:
        ValueError: The run in the folder learnt other classes.
        Exception: The errors of `vjepa.training.trainer.Trainer.fit`.
    """
    if accelerator.is_main_process:
        for remark in folder.compare_sources(rows, classes, accelerator.mixed_precision):
            accelerator.print(f"warning: {remark}")
    set_seed(config.seed, device_specific=True)  # Random numbers of processes differ, as drop path needs.
    world_size, pieces = accelerator.num_processes, accelerator.gradient_accumulation_steps

    def batches(first_step: int) -> Iterable[Any]:
        return load(
            first_step=first_step, micro_batch=optim.batch_size // world_size // pieces,
            rank=accelerator.process_index, world_size=world_size,
            pin_memory=accelerator.device.type == "cuda",
        )  # fmt: skip

    prepared, optimizer = accelerator.prepare(objective, optimizer)
    start_trackers(accelerator, config, config.output_dir)
    paths, most = Mapped(itemgetter(0), rows), config.data.max_unreadable
    Trainer(
        accelerator=accelerator, objective=prepared, optimizer=optimizer, batches=batches, folder=folder,
        unreadable=UnreadableVideos(paths, most, accelerator.print, remedy),
        optim=optim, train=config.train, remedy=calmer_settings(config), measurements=measurements,
        cures=cures,
    ).fit()  # fmt: skip
    return cast(nn.Module, prepared)


def finish(accelerator: Accelerator, folder: RunFolder, picture: Path) -> None:
    """Wait for all processes, then give the trackers the picture of the run and close them.

    Args:
        accelerator, folder: Accelerator and folder of the run.
        picture: Plot of the run; nothing is shown if it was not drawn.
    """
    wait_for_all(accelerator)
    if accelerator.is_main_process and picture.exists():
        show_picture(accelerator, picture, folder.read_metrics()[-1]["step"])
    for tracker in accelerator.trackers:
        tracker.finish()


def leave_processes() -> None:
    """Destroy the process group; for the end of a command, after all its stages."""
    PartialState().destroy_process_group()
