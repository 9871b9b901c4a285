"""Experiment trackers (TensorBoard, wandb, trackio and others that accelerate knows): curves and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from PIL import Image

from vjepa.config import config_tree
from vjepa.foreign_text import one_line

PROJECT = "vjepa"  # of all runs, in trackers that have projects; each run is a run of it


def check_trackers(names: Sequence[str]) -> None:
    """Raise ValueError if a tracker is not known, or its package is not installed."""
    known, installed = sorted(map(str, LOGGER_TYPE_TO_CLASS)), set(map(str, get_available_trackers()))
    for name in names:
        if name not in known:
            raise ValueError(f"train.trackers has '{one_line(name)}': give some of {', '.join(known)}")
        if name not in installed:
            raise ValueError(
                f"train.trackers has {name}, which is not installed: pip install {name}, or leave it out"
            )


def start_trackers(accelerator: Accelerator, config: Any, output_dir: str) -> None:
    """Start the trackers of a run and give them its configuration.

    Files are written to the run folder; in wandb and trackio, the run has the name of its folder.
    """
    name, tree = Path(output_dir).name, config_tree(config)
    accelerator.init_trackers(
        PROJECT, init_kwargs={"wandb": {"name": name, "dir": output_dir}, "trackio": {"name": name}}
    )
    if not accelerator.is_main_process:
        return
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":  # its hyperparameters would be a run of their own, of metrics alone
            tracker.writer.add_text("config", f"```yaml\n{yaml.safe_dump(tree, sort_keys=False)}```")
        else:
            tracker.store_init_configuration({key: json.dumps(value) for key, value in tree.items()})


def show_picture(accelerator: Accelerator, path: Path, step: int) -> None:
    """Give a picture to the trackers that take pictures.

    Args:
        accelerator: Accelerator of the run, on its main process.
        path: File of the picture, whose name without suffix becomes that of the picture.
        step: Number of the step that it belongs to.
    """
    name = path.stem
    with Image.open(path) as image:
        pixels_HWC = np.asarray(image.convert("RGB"))
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.writer.add_image(name, pixels_HWC, step, dataformats="HWC")
        elif tracker.name == "wandb":
            tracker.log_images({name: [Image.fromarray(pixels_HWC)]}, step=step)
        elif tracker.name == "trackio":
            import trackio

            tracker.log({name: trackio.Image(pixels_HWC)}, step=step)
