"""What the trainer asks of an objective."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vjepa.batch import Batch


class Objective(Protocol):
    """An `nn.Module` that owns its networks. A Protocol: nothing to inherit, nothing to grow."""

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Outputs of one forward pass.

        ``loss`` is a scalar, the mean over the batch. Other scalars are averaged and logged. Embeddings
        ``*_BD``, one row a clip, are measured for collapse.
        """
        ...

    def after_step(self, step: int) -> None:
        """Called after each real optimiser step; `step` is the number of steps taken."""
        ...
