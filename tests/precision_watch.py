"""In which precision the blocks of networks compute, whatever calls them."""

from collections import Counter
from contextlib import contextmanager

import torch
from timm.models.eva import EvaBlock
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def precisions():
    """Count, inside the block, the calls of blocks by the data type in which autocast computes."""
    seen = Counter()

    def watch(module, inputs):
        if isinstance(module, EvaBlock) and inputs[0].device.type == "cpu":
            enabled = torch.is_autocast_enabled("cpu")
            seen[torch.get_autocast_dtype("cpu") if enabled else torch.float32] += 1

    handle = register_module_forward_pre_hook(watch)
    try:
        yield seen
    finally:
        handle.remove()
