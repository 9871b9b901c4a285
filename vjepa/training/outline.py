"""Phrases in the outline of a run, which is printed before it starts; shared by all recipes."""

from __future__ import annotations

import torch
from accelerate import Accelerator


def steps_phrase(steps: int, batch: int, unit: str, accelerator: Accelerator) -> str:
    """Return a phrase on the steps and on the processes and micro-batches among which a batch is divided.

    Args:
        steps: Number of optimiser steps of the run.
        batch: Batch size of a step, over all processes and micro-batches.
        unit: What `batch` counts, in the plural, such as ``clips``, ``videos`` or ``windows``.
        accelerator: Accelerator of the run.
    """
    processes, micro_batches = accelerator.num_processes, accelerator.gradient_accumulation_steps
    return (
        f"{steps} steps of {batch} {unit} ({processes} process{'es' if processes > 1 else ''} x "
        f"{micro_batches} micro-batch{'es' if micro_batches > 1 else ''} x "
        f"{batch // micro_batches // processes})"
    )


def parameters_phrase(trained: int, total: int) -> str:
    """Return a phrase on the numbers of parameters: those that are trained, and all."""
    return f"{trained / 1e6:.2f} M trained of {total / 1e6:.2f} M parameters"


def device_phrase(accelerator: Accelerator) -> str:
    """Return a phrase on device, precision and number of CPU threads."""
    return (
        f"on {accelerator.device}, precision {accelerator.mixed_precision}, {torch.get_num_threads()} threads"
    )
