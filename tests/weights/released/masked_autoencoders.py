"""Masked auto-encoders of transformers with weights that hide nothing."""

import math

import torch

from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD

WIDTH, DECODER, PATCH, SIZE = 48, 24, 8, 32


SIZES = {
    "image_size": SIZE,
    "patch_size": PATCH,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 4 * WIDTH,
    "decoder_hidden_size": DECODER,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 4 * DECODER,
    "layer_norm_eps": 1e-6,
}


def perturbed(model):
    """Zero biases and unit gains would hide a wrong mapping; position tables are fixed."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def bytes_and_pixels(*shape):
    video_BTCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return video_BTCHW, (video_BTCHW / 255 - mean) / std


def plane_positions(side, embed_dim):
    """MAE's table as the paper's code has it, the class token's zeros in front: columns first, then rows."""
    rows = [[0.0] * embed_dim]
    for row in range(side):
        for column in range(side):
            angles = [
                [place / 10_000 ** (4 * i / embed_dim) for i in range(embed_dim // 4)]
                for place in (column, row)
            ]
            parts = [[wave(angle) for angle in axis] for axis in angles for wave in (math.sin, math.cos)]
            rows.append([value for part in parts for value in part])
    return torch.tensor(rows)
