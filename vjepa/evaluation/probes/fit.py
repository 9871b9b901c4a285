"""The training loop of all probes that are fitted by gradient descent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from vjepa.schedules import warm_up_then_anneal


def fit_probe(
    probe: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    batch: int,
    peak_lr: float,
    weight_decay: float,
    warmup: float | None = None,
    shuffle: torch.Generator | None = None,
    fused: bool | None = None,
) -> None:
    """Train a probe with AdamW on random batches, and leave it in evaluation mode.

    Args:
        probe: Network to train; batches are moved to its device.
        inputs: Inputs of all samples, ``(V, ...)``.
        targets: Targets of all samples, ``(V, ...)``.
        loss: Function of the outputs and the targets of a batch.
        steps: Number of updates.
        batch: Number of samples in a batch; all samples where there are fewer.
        peak_lr: Highest learning rate.
        weight_decay: Weight decay of all parameters.
        warmup: Number of steps in which the learning rate rises linearly from 0, before a cosine to 0. None
            takes PyTorch's `OneCycleLR`, which also changes AdamW's first beta.
        shuffle: Generator that orders the samples of each epoch. None draws every batch with replacement from
            torch's global generator.
        fused: Whether to use AdamW's fused kernel, which rounds differently; None lets PyTorch choose.
    """
    # LambdaLR multiplies the rate 1 by that of the schedule; OneCycleLR replaces it.
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1.0, weight_decay=weight_decay, fused=fused)
    schedule: LRScheduler
    if warmup is None:
        schedule = OneCycleLR(optimizer, peak_lr, total_steps=steps)
    else:
        ends = {"total": steps, "warmup": warmup, "start": 0.0, "peak": peak_lr, "final": 0.0}
        schedule = LambdaLR(optimizer, lambda step: warm_up_then_anneal(step, **ends, shape="cosine"))
    device = next(probe.parameters()).device
    pending: list[Tensor] = []
    for _ in range(steps):
        if not pending and shuffle is not None:
            pending = list(torch.randperm(len(inputs), generator=shuffle).split(batch))
        rows_B = pending.pop() if pending else torch.randint(len(inputs), (min(batch, len(inputs)),))
        loss(probe(inputs[rows_B].to(device)), targets[rows_B].to(device)).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    probe.eval()
