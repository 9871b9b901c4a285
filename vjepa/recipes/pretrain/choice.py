"""The recipe of a run for which no configuration is given: chosen by the device and the number of videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from vjepa.config import read_config
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.data import training_sources

# Arguments with which a run is described by its settings, or which only ask for help.
_DESCRIBING = (
    "--config", "--data.clip", "--data.size", "--data.synthetic", "--encoder", "--masks", "--objective",
    "--predictor", "--help", "-h", "--print_config",
)  # fmt: skip
FEW, MANY = 5_000, 50_000  # Numbers of videos from which a larger network is chosen on a GPU.


class Choice(NamedTuple):
    """A recipe and the reason for it.

    Attributes:
        name: Name of a configuration that comes with the library.
        reason: Reason in words.
    """

    name: str
    reason: str


def choose(num_videos: int, device_type: str) -> Choice:
    """Choose the recipe for a number of training videos and a type of device (``cpu``, ``cuda``, ...).

    On a CPU, the only recipe that ends within hours is chosen. On a GPU, the network grows with the videos.
    """
    if device_type == "cpu":
        return Choice("pretrain/clips", "there is no GPU, and it takes minutes to hours on 2 CPU cores")
    if num_videos < FEW:
        return Choice("pretrain/clips", f"there are fewer than {FEW} videos, too few for a larger network")
    if num_videos < MANY:
        return Choice("pretrain/tiny", f"there are fewer than {MANY} videos, too few for more than a ViT-Ti")
    return Choice("pretrain/small", f"there are {MANY} videos or more, enough for a ViT-S on one GPU")


def recipe_for(options: Sequence[str], config: Callable[[], PretrainConfig]) -> str | None:
    """Choose a recipe for a run that does not describe its network, clips, masks or objective.

    Args:
        options: Names of the options that are given, such as ``--data.train``.
        config: Function that reads the configuration.

    Returns:
        Name of a recipe, None where the run is described or has no videos. The first process prints which
        recipe is chosen, and why.

    Raises:
        ValueError: The configuration cannot be read, or its videos cannot be listed.
    """
    if any(option.startswith(_DESCRIBING) for option in options):
        return None
    given = config()
    if given.data.train is None:
        return None
    num_videos = training_sources(given).num_rows
    found = torch.accelerator.current_accelerator(check_available=True)
    on_cpu = found is None or given.train.device == "cpu"
    name, reason = choose(num_videos, "cpu" if on_cpu or found is None else found.type)
    if os.environ.get("RANK", "0") == "0":
        print(f"no recipe is given: {name} is chosen for {num_videos} videos, because {reason}")
    return name


def with_recipe(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments with a ``--config``: the given one, or that of a chosen recipe.

    Raises:
        ValueError: The arguments cannot be read, or their videos cannot be listed.
    """
    options = [argument.split("=")[0] for argument in arguments]
    name = recipe_for(options, lambda: read_config(arguments, PretrainConfig))
    return list(arguments) if name is None else ["--config", name, *arguments]
