"""Cost of a training step, counted by running the real code on the meta device, which allocates no memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vjepa.batch import Batch


@dataclass(frozen=True)
class StepCost:
    """Cost of a forward and backward pass.

    Attributes:
        parameters: Number of parameters, including those of the target encoder.
        trained: Number of parameters with gradients.
        flops: Number of floating-point operations of the matrix products, per clip. A multiplication and an
            addition count as two.
        activation_bytes: Size in bytes of the float32 activations kept for the backward pass, per clip.
    """

    parameters: int
    trained: int
    flops: float
    activation_bytes: float

    def memory_bytes(self, clips: int, activation_share: float = 1.0) -> float:
        """Return the bytes of parameters, gradients, AdamW's two moments and activations, in float32.

        Args:
            clips: Number of clips in a micro-batch.
            activation_share: Size of the activations as a share of that in float32, such as 0.5 for bfloat16.
        """
        return 4 * (self.parameters + 3 * self.trained) + clips * self.activation_bytes * activation_share


def step_cost(objective: nn.Module, batch: Batch) -> StepCost:
    """Count the cost of one step of an objective, on the meta device.

    Args:
        objective: Objective on the meta device.
        batch: Batch of any number of clips, on any device; the result is per clip, so a few suffice.
    """
    batch = batch.to("meta")
    weights = {id(parameter) for parameter in objective.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        whole = tensor if tensor._base is None else tensor._base
        if id(whole) not in weights:
            storage = whole.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(batch)["loss"].backward()
    clips = len(batch.paths)
    return StepCost(
        parameters=sum(parameter.numel() for parameter in objective.parameters()),
        trained=sum(parameter.numel() for parameter in objective.parameters() if parameter.requires_grad),
        flops=counter.get_total_flops() / clips,
        activation_bytes=sum(kept.values()) / clips,
    )


@torch.no_grad()
def forward_flops(objective: nn.Module, batch: Batch) -> dict[str, float]:
    """Return the number of floating-point operations of one forward pass per clip, by network.

    Args:
        objective: Objective on the meta device; its direct submodules with parameters are the networks.
        batch: Batch of any number of clips, on any device.
    """
    batch = batch.to("meta")
    counter = FlopCounterMode(display=False)
    with counter:
        objective(batch)
    counts = {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}
    root = type(objective).__name__
    return {
        name: _inside(f"{root}.{name}", counts) / len(batch.paths)
        for name, network in objective.named_children()
        if any(True for _ in network.parameters())
    }


def _inside(network: str, counts: Mapping[str, float]) -> float:
    """Return the operations of a network, from those of each module and of all modules that it called.

    They are summed over its modules, each without what its own modules count: a network may also be entered
    by other methods than `forward`, which the counter does not see, so its own count may lack some.
    """
    names = sorted(name for name in counts if name == network or name.startswith(f"{network}."))
    of_parts = dict.fromkeys(names, 0.0)
    for name in names:
        parents = [parent for parent in names if name.startswith(f"{parent}.")]
        if parents:
            of_parts[max(parents, key=len)] += counts[name]
    return sum(max(counts[name] - of_parts[name], 0.0) for name in names)
