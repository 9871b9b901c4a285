"""The recipe of a run for which no configuration is given: chosen by the device and the number of videos.

Settings that are given override those of the recipe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from vjepa.config import read_settings
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.data import read_sources

_CHOSEN_OR_ASKED = {"--config", "--help", "-h"}  # Options of a call that needs no recipe.
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


def recipe_for(settings: Mapping[str, Any]) -> str | None:
    """Choose the recipe of a run for which none is given.

    Args:
        settings: Settings of the run by section, with defaults for those that are not given
            (`vjepa.config.read_settings`). Rules between them are not checked: they are to hold for the
            settings on top of the chosen recipe.

    Returns:
        Name of a recipe; None for a run without videos of its own. The first process prints to stderr which
        recipe is chosen, and why.

    Raises:
        ValueError: The videos cannot be listed.
    """
    data = settings["data"]
    if not data["train"]:
        return None
    one_frame = data["clip"]["num_frames"] == 1
    num_videos = read_sources(data["train"], data["images"], on_images=one_frame).num_rows
    found = torch.accelerator.current_accelerator(check_available=True)
    on_cpu = found is None or settings["train"]["device"] == "cpu"
    name, reason = choose(num_videos, "cpu" if on_cpu or found is None else found.type)
    if os.environ.get("RANK", "0") == "0":
        message = f"no recipe is given: {name} is chosen for {num_videos} videos, because {reason}"
        print(message, file=sys.stderr)  # as stdout has what --print_config prints
    return name


def with_recipe(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments with a ``--config``: the given one, or that of a chosen recipe.

    Other given settings stay: they override those of the recipe.

    Raises:
        ValueError: The arguments cannot be read, or their videos cannot be listed.
    """
    if _CHOSEN_OR_ASKED & {argument.split("=")[0] for argument in arguments}:
        return list(arguments)
    name = recipe_for(read_settings(arguments, PretrainConfig, CONFIGS))
    return list(arguments) if name is None else ["--config", name, *arguments]
