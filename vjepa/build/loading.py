"""Data loaders of a run, in which the sampler alone determines which samples come at which step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from vjepa.data.sampling import StepBatches
from vjepa.workers import Loader


def step_loader(
    dataset: Any, collate: Callable[[Any], Any], sampler: StepBatches, workers: int, **loader: Any
) -> Loader[Any]:
    """Build a loader of micro-batches from a dataset indexed by `SampleKey`.

    Args:
        dataset, collate: Dataset and collate function, see torch's DataLoader.
        sampler: Batch sampler that determines which samples each micro-batch has.
        workers: Number of processes that load batches; 0 loads them in this process. Results do not depend on
            it.
        loader: Further arguments of torch's DataLoader.
    """
    return Loader(dataset, workers=workers, batch_sampler=cast(Any, sampler), collate_fn=collate, **loader)
