"""Low-rank changes of an encoder's matrices (LoRA, arXiv 2106.09685), by the package peft."""

from __future__ import annotations

import importlib.util

from torch import nn

from vjepa.models.encoder import VideoEncoder

_MATRICES = r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


def add_lora(encoder: VideoEncoder, rank: int, alpha: int) -> None:
    """Let every matrix of the blocks learn a change of rank `rank`, times ``alpha / rank``, and nothing else.

    The change is 0 at first. ModuleNotFoundError where peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ModuleNotFoundError("model.tune lora needs the package peft: pip install 'vjepa-world[lora]'")
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=_MATRICES), encoder)


def merge_lora(encoder: VideoEncoder) -> None:
    """Add the changes to the matrices: an encoder like any other again, which gives the same tokens."""
    from peft.tuners.lora import LoraLayer

    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    assert not any(isinstance(module, LoraLayer) for module in encoder.modules())
    nn.Module.requires_grad_(encoder, True)
