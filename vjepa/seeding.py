"""Random numbers of torch that come from a seed and leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside the block torch's global CPU generator starts from `seed`; afterwards it is where it was before.

    Generators of other devices are left alone: `torch.manual_seed` would queue a call for CUDA, with a stack
    trace, which takes half the time of preparing a clip.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield
