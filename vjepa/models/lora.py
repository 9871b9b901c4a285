"""Low-rank adaptation of an encoder (LoRA, arXiv 2106.09685) with the package peft."""

from __future__ import annotations

from torch import nn

from vjepa.models.encoder import VideoEncoder
from vjepa.packages import need_packages

_MATRICES = r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


def add_lora(encoder: VideoEncoder, rank: int, alpha: int) -> None:
    """Freeze an encoder and add a trainable low-rank change to every matrix of its blocks, in place.

    Args:
        encoder: Encoder to change.
        rank: Rank of the change. The change is 0 at first.
        alpha: Scale of the change, which is multiplied by ``alpha / rank``.

    Raises:
        ModuleNotFoundError: If peft is not installed.
    """
    need_packages("model.tune lora", "peft")
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=_MATRICES), encoder)


def merge_lora(encoder: VideoEncoder) -> None:
    """Add the low-rank changes to the matrices, in place.

    The result is a plain, trainable encoder again, which gives the same tokens.
    """
    from peft.tuners.lora import LoraLayer

    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    assert not any(isinstance(module, LoraLayer) for module in encoder.modules())
    nn.Module.requires_grad_(encoder, True)
