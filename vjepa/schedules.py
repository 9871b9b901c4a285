"""Schedules of learning rate, weight decay and momentum: pure functions of the step; no state to save."""

from __future__ import annotations

import math

from vjepa.choices import Shape


def anneal(step: float, total: float, start: float, final: float, shape: Shape) -> float:
    """Value of a schedule that goes from `start` at step 0 to `final` at step `total`, and stays there.

    Args:
        step: Step to compute the value for, 0 or more.
        total: Step at which `final` is reached. At 0 the value is `final` from the start.
        start: Value at step 0.
        final: Value from step `total` on. A `constant` schedule does not use it.
        shape: Shape of the schedule: `constant` (always `start`), `cosine`, or else linear.
    """
    if shape == "constant":
        return start
    progress = min(step / total, 1.0) if total > 0 else 1.0
    if shape == "cosine":
        progress = 0.5 * (1 - math.cos(math.pi * progress))
    return start + (final - start) * progress


def warm_up_then_anneal(
    step: float,
    *,
    total: float,
    warmup: float,
    start: float,
    peak: float,
    final: float,
    shape: Shape,
) -> float:
    """Value of a schedule that rises linearly from `start` to `peak`, then goes from `peak` to `final`.

    Args:
        step: Step to compute the value for, 0 or more.
        total: Step at which `final` is reached; warm-up is included.
        warmup: Number of steps of the linear rise. 0 starts at `peak`.
        start: Value at step 0.
        peak: Value at the end of the warm-up.
        final: Value from step `total` on.
        shape: Shape of the schedule after the warm-up (see `anneal`).
    """
    if step < warmup:
        return start + (peak - start) * step / warmup
    return anneal(step - warmup, total - warmup, peak, final, shape)
