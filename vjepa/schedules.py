"""Learning rate, weight decay and momentum as pure functions of the step: resuming needs nothing else."""

from __future__ import annotations

import math

from vjepa.choices import Shape


def anneal(step: float, total: float, start: float, final: float, shape: Shape) -> float:
    """From `start` at step 0 to `final` at step `total`, and `final` after it.

    `constant` stays at `start` and never looks at `final`.
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
    """Linear from `start` to `peak` over `warmup` steps, then from `peak` to `final` until `total`."""
    if step < warmup:
        return start + (peak - start) * step / warmup
    return anneal(step - warmup, total - warmup, peak, final, shape)
