"""What a run costs on hardware that is not at hand: memory of each GPU, bytes sent, time, and data to feed.

Everything is computed from the cost of a step (`vjepa.profiling.flops`), which counts the run's own code, and
from figures of the hardware. Reality adds what no formula knows, such as memory that torch's allocator cannot
use: keep a tenth of the memory free.
"""

from __future__ import annotations

from dataclasses import dataclass

from vjepa.profiling.flops import StepCost

_FLOAT32, _LOW = 4, 2  # Bytes of a number.


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, by the figures of its data sheet.

    Attributes:
        flops: Floating-point operations per second of dense matrix products in bfloat16.
        memory: Bytes of memory.
        link: Bytes per second that it sends to the other GPUs of its machine.
    """

    flops: float
    memory: float
    link: float


# Data sheets of NVIDIA: A100 80GB SXM (312 TFLOPS, NVLink 600 GB/s in both directions together), H100 SXM and
# H200 (1,979 TFLOPS with sparsity, that is 989 without; NVLink 900 GB/s in both directions together).
GPUS = {
    "a100": Gpu(flops=312e12, memory=80e9, link=300e9),
    "h100": Gpu(flops=989e12, memory=80e9, link=450e9),
    "h200": Gpu(flops=989e12, memory=141e9, link=450e9),
}


@dataclass(frozen=True)
class Cluster:
    """GPUs that train together.

    Attributes:
        gpu: Kind of each GPU.
        count: Number of GPUs in all.
        per_machine: Number of GPUs of a machine.
        network: Bytes per second that each GPU sends to GPUs of other machines.
        mfu: Share of the GPUs' `Gpu.flops` that a step reaches while it computes, in (0, 1].
    """

    gpu: Gpu
    count: int
    per_machine: int
    network: float
    mfu: float

    @property
    def slowest_link(self) -> float:
        """Bytes per second of the slowest link that every GPU's part of a collective operation passes."""
        return self.gpu.link if self.count <= self.per_machine else self.network


@dataclass(frozen=True)
class Estimate:
    """Costs of one step on one GPU, with weights on every GPU (DDP) or divided among them (FSDP).

    Attributes:
        weights_bytes: Weights, gradients, the optimiser's moments and the target encoder, in float32.
        activation_bytes: Activations of a micro-batch that are kept for the backward pass.
        sent_bytes: Bytes that the GPU sends.
        compute_seconds: Seconds of computing, at the cluster's `mfu`.
        sent_seconds: Seconds of sending, if nothing else happens meanwhile.
    """

    weights_bytes: float
    activation_bytes: float
    sent_bytes: float
    compute_seconds: float
    sent_seconds: float

    @property
    def memory_bytes(self) -> float:
        """Bytes of all tensors."""
        return self.weights_bytes + self.activation_bytes

    @property
    def step_seconds(self) -> tuple[float, float]:
        """Seconds of a step, if sending is hidden behind computing entirely, and if not at all."""
        return max(self.compute_seconds, self.sent_seconds), self.compute_seconds + self.sent_seconds


def estimate(cost: StepCost, cluster: Cluster, clips: int, micro_batch: int, *, sharded: bool) -> Estimate:
    """Estimate a step in bfloat16 with weights in float32.

    Args:
        cost: Cost of the run's step.
        cluster: GPUs of the run.
        clips: Clips of a step, over all GPUs.
        micro_batch: Number of clips that a GPU holds at once; it divides the GPU's share.
        sharded: Whether weights, gradients and moments are divided among all GPUs (FSDP).
    """
    share = clips / cluster.count
    parts = cluster.count if sharded else 1
    others = (cluster.count - 1) / cluster.count
    passes = share / micro_batch
    if sharded:
        # Each pass gathers the weights twice, forward and backward, and adds up gradients, all in bfloat16;
        # weights of the target encoder are gathered once.
        target = cost.parameters - cost.trained
        sent = passes * others * _LOW * (3 * cost.trained + target)
    else:
        sent = 2 * others * _FLOAT32 * cost.trained  # A ring all-reduce sends every gradient twice.
    return Estimate(
        weights_bytes=_FLOAT32 * (cost.parameters + 3 * cost.trained) / parts,
        activation_bytes=micro_batch * cost.activation_bytes * _LOW / _FLOAT32,
        sent_bytes=sent,
        compute_seconds=share * cost.flops / (cluster.gpu.flops * cluster.mfu),
        sent_seconds=sent / cluster.slowest_link,
    )
