"""Relative size of an optimiser step, which tells a learning rate that is too high from other causes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vjepa.sharded import local_part

_VALUES = 2**20  # most weights that are compared, so that no second copy of a large model is held


class UpdateSize:
    """Compares weights before and after an optimiser step.

    Up to about a million weights are compared, spread evenly over all trained parameters. Of sharded
    parameters, each process compares its own part.

    Args:
        parameters: Parameters of the model; those that are not trained are left out.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        total = sum(local_part(parameter).numel() for parameter in self.parameters)
        self.stride = max(1, total // _VALUES)
        self.before = [values.clone() for values in self._values()]

    def squares(self) -> Tensor:
        """Return the sums of squares of the change and of the weights, ``(2,)``, in this process."""
        after = self._values()
        change = torch._foreach_sub(after, self.before)
        norms = [torch.stack(torch._foreach_norm(values)) for values in (change, after)]
        return torch.stack([norm.square().sum() for norm in norms]).float()

    def _values(self) -> list[Tensor]:
        return [local_part(parameter).flatten()[:: self.stride] for parameter in self.parameters]
