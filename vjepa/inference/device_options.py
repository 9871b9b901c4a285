"""The options of a command that runs a model: on which device, and in which precision.

add_device_options(parser)
model = placed(from_pretrained(options.model), options)
"""

from __future__ import annotations

import argparse
from typing import TypeVar, get_args

import torch
from torch import nn

from vjepa.choices import Precision
from vjepa.models.network import set_precision

M = TypeVar("M", bound=nn.Module)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--device`` and ``--precision``, which `placed` reads."""
    parser.add_argument(
        "--device",
        default="auto",
        help="Device of the model: auto, cpu, mps, cuda, cuda:1, ... (default auto: the accelerator if there "
        "is one).",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="no",
        help="Mixed precision of the networks, by the names of accelerate; no is float32 (default no).",
    )


def placed(model: M, options: argparse.Namespace) -> M:
    """Move a model to the device of the options, let it compute in their precision, and return it.

    Raises:
        ValueError: This machine has no such device.
    """
    set_precision(model, options.precision)
    return model.to(device_of(options.device))


def device_of(name: str) -> torch.device:
    """Return the device of a name; of ``auto`` the accelerator if there is one, else the CPU.

    Raises:
        ValueError: This machine has no such device.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device is {name}, which this machine does not have: give cpu, or auto"
        ) from error
    return device
