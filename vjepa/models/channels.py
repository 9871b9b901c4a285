"""Weights for another number of channels than they were trained with. C and N are the numbers before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_EMBEDDINGS = ("patch_embed.proj", "image_embed.proj")


def adapt_channels(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], channels: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a model folder for videos of N channels.

    One channel: kernels are summed, and with them what each channel's statistics did, so that grey videos give exactly the
    tokens that they give when they are repeated over all channels. More: kernels and statistics are repeated in turn, and
    kernels scaled by C / N, as timm's `adapt_input_conv` does. A decoder of pixels knows its channels alone and is left out.

    Raises:
        ValueError: N is below 1.
    """
    before = len(config["pixels"]["mean"])
    if channels < 1:
        raise ValueError(f"channels is {channels}: give 1 or more")
    if channels == before:
        return dict(config), dict(tensors)
    mean_C, std_C = (torch.tensor(config["pixels"][name]) for name in ("mean", "std"))
    if channels == 1:
        mean_N, std_N = mean_C.mean().view(1), std_C.mean().view(1)
    else:
        turn = torch.arange(channels) % before
        mean_N, std_N = mean_C[turn], std_C[turn]
    adapted = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
    for name in list(adapted):
        for embedding in _EMBEDDINGS:
            if not name.endswith(f"{embedding}.weight"):
                continue
            weight_DCthw = adapted[name]
            if channels == 1:
                scaled_DCthw = weight_DCthw / std_C.view(1, -1, 1, 1, 1)
                adapted[name] = scaled_DCthw.sum(dim=1, keepdim=True) * std_N
                moved_D = torch.einsum("dcthw,c->d", scaled_DCthw, mean_N - mean_C)
                adapted[name.replace("weight", "bias")] = adapted[name.replace("weight", "bias")] + moved_D
            else:
                adapted[name] = weight_DCthw[:, turn] * (before / channels)
    changed = {name: value for name, value in config.items() if name not in ("decoder", "pixel_targets")}
    for network in ("encoder", "teacher"):
        if network in changed:
            changed[network] = {**changed[network], "channels": channels}
    return {**changed, "pixels": {"mean": mean_N.tolist(), "std": std_N.tolist()}}, adapted
