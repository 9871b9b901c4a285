"""What the trainer asks of an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from vjepa.batch import Batch
from vjepa.objectives.batch_metric import BatchMetric


class Objective(Protocol):
    """An `nn.Module` that owns its networks. A Protocol: nothing to inherit, nothing to grow."""

    def __call__(self, batch: Batch) -> Mapping[str, Tensor | BatchMetric]:
        """Outputs of one forward pass.

        ``loss`` is a scalar, the mean over the batch. Other scalars must be means over clips, too; they are averaged
        over micro-batches and processes, and logged. A metric that is no such mean, like a ratio, is a `BatchMetric`.
        Embeddings ``*_BD``, one row a clip, are measured for collapse.
        """
        ...

    def after_step(self, step: int) -> None:
        """Called after each real optimiser step; `step` is the number of steps taken."""
        ...
