"""Small integers to normalised pixels, on the device. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PixelNormalizer(nn.Module):
    """``uint8 (B, T, C, H, W) -> float32 (B, C, T, H, W)``, zero mean and unit deviation a channel.

    Bytes travel to the device and become floats there: a quarter of the traffic.
    """

    mean: Tensor
    std: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(
                f"{len(mean)} means and {len(std)} deviations: give one of each for every channel"
            )
        # (x / 255 - mean) / std, as one multiplication and one addition.
        std_C11 = torch.tensor(std).view(-1, 1, 1)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.register_buffer("scale", 1 / (255 * std_C11), persistent=False)
        self.register_buffer("shift", -torch.tensor(mean).view(-1, 1, 1) / std_C11, persistent=False)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        return torch.addcmul(self.shift, video_BTCHW, self.scale).transpose(1, 2)
