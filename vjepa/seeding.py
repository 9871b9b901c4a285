"""Random numbers that leave no trace: global generators go on as if nothing had been drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
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


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Keep the global generators of Python, numpy and torch: after the block they are as before it.

    Of CUDA's generators, that of the current device is kept.
    """
    state_of_python, state_of_numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(state_of_python)
        np.random.set_state(state_of_numpy)
