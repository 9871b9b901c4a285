"""The interface between the trainer and an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from vjepa.batch import Batch
from vjepa.objectives.batch_metric import BatchMetric


class Objective(Protocol):
    """An `nn.Module` that owns its networks and computes their loss (a Protocol: no base class is needed)."""

    def __call__(self, batch: Batch) -> Mapping[str, Tensor | BatchMetric]:
        """Compute the loss and metrics of one micro-batch.

        Returns:
            ``loss``: A scalar, the mean over the batch.
            Other scalars: Means over clips, too. The trainer averages them over micro-batches and processes,
                and logs them. A metric that is not such a mean (a ratio, for example) must be a
                `BatchMetric`.
            ``*_BD``: Embeddings, one row per clip. The trainer measures whether they collapse.
        """
        ...

    def after_step(self, step: int) -> None:
        """Update what follows the weights, such as a target encoder.

        The trainer calls this after each optimiser step; `step` is the number of steps taken.
        """
        ...
