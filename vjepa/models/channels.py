"""Adapt trained weights to videos with another number of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Layers that see pixels, in a linear and in a convolutional stem; their kernels are ``(D, C, T, H, W)``.
_EMBEDDINGS = ("patch_embed.proj", "image_embed.proj", "patch_embed.first", "image_embed.first")


def adapt_channels(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], channels: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Adapt the configuration and tensors of a model folder to videos of `channels` channels.

    For one channel, the kernels are summed over channels and the channels' different means and deviations are
    folded into the sums and the bias. Grey videos then give exactly the tokens that the original weights give
    for the same videos repeated over all channels. For more channels, kernels and pixel statistics are
    repeated in turn, and kernels are scaled by old over new number of channels, as in timm's
    `adapt_input_conv`. A decoder of pixels cannot be adapted and is left out.

    Args:
        config: Content of config.json.
        tensors: Weights by name.
        channels: New number of channels, 1 or more.

    Returns:
        The adapted configuration and tensors; the arguments stay unchanged.

    Raises:
        ValueError: If `channels` is below 1.
    """
    before = len(config["pixels"]["mean"])
    if channels < 1:
        raise ValueError(f"channels is {channels}: give 1 or more")
    if channels == before:
        return dict(config), dict(tensors)
    mean_C, std_C = (torch.tensor(config["pixels"][name]) for name in ("mean", "std"))
    if channels == 1:
        new_mean_C, new_std_C = mean_C.mean().view(1), std_C.mean().view(1)
    else:
        turn = torch.arange(channels) % before
        new_mean_C, new_std_C = mean_C[turn], std_C[turn]
    adapted = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
    for name in list(adapted):
        for embedding in _EMBEDDINGS:
            if not name.endswith(f"{embedding}.weight"):
                continue
            weight_DCTHW = adapted[name]
            if channels == 1:
                scaled_DCTHW = weight_DCTHW / std_C.view(1, -1, 1, 1, 1)
                adapted[name] = scaled_DCTHW.sum(dim=1, keepdim=True) * new_std_C
                moved_D = torch.einsum("dcthw,c->d", scaled_DCTHW, new_mean_C - mean_C)
                adapted[name.replace("weight", "bias")] = adapted[name.replace("weight", "bias")] + moved_D
            else:
                adapted[name] = weight_DCTHW[:, turn] * (before / channels)
    changed = {name: value for name, value in config.items() if name not in ("decoder", "pixel_targets")}
    for network in ("encoder", "teacher"):
        if network in changed:
            changed[network] = {**changed[network], "channels": channels}
    return {**changed, "pixels": {"mean": new_mean_C.tolist(), "std": new_std_C.tolist()}}, adapted
