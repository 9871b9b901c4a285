"""Phrases of a run's outline that all tasks share: steps, parameters, device."""

from __future__ import annotations

import torch
from accelerate import Accelerator


def steps_phrase(steps: int, batch: int, unit: str, accelerator: Accelerator) -> str:
    """How many steps of how many clips, videos or windows, and how a step is cut.

    Args:
        steps: Optimiser steps of the run.
        batch: Size of a step's batch, over all processes.
        unit: What `batch` counts, in the plural.
        accelerator: Of the run; it knows the processes and the micro-batches.
    """
    processes, pieces = accelerator.num_processes, accelerator.gradient_accumulation_steps
    return (
        f"{steps} steps of {batch} {unit} ({processes} process{'es' if processes > 1 else ''} x {pieces} "
        f"micro-batch{'es' if pieces > 1 else ''} x {batch // pieces // processes})"
    )


def parameters_phrase(trained: int, total: int) -> str:
    """How many parameters there are, and how many of them are trained."""
    return f"{trained / 1e6:.2f} M trained of {total / 1e6:.2f} M parameters"


def device_phrase(accelerator: Accelerator) -> str:
    """Device, precision and threads."""
    return (
        f"on {accelerator.device}, precision {accelerator.mixed_precision}, {torch.get_num_threads()} threads"
    )
