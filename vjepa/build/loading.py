"""Data loaders of a run: what comes when is the sampler's alone, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from vjepa.data.sampling import StepBatches
from vjepa.workers import Loader


def step_loader(
    dataset: Any, collate: Callable[[Any], Any], sampler: StepBatches, workers: int, **loader: Any
) -> Loader[Any]:
    """Micro-batches of samples that are asked for by `SampleKey`.

    Args:
        dataset, collate: as of torch's DataLoader.
        sampler: which samples come when.
        workers: processes that make batches; the result does not depend on it.
        loader: further arguments of torch's DataLoader.
    """
    return Loader(dataset, workers=workers, batch_sampler=cast(Any, sampler), collate_fn=collate, **loader)
