"""The table of encoder sizes."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Size(NamedTuple):
    """Size of a transformer.

    Attributes:
        embed_dim: Embedding dimension D.
        depth: Number of blocks.
        num_heads: Number of attention heads per block.
        mlp_ratio: Width of each block's MLP divided by D.
    """

    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0


SizeName = Literal["nano", "tiny", "small", "base", "large", "huge", "giant", "gigantic"]

# `giant` is the ViT-g of V-JEPA 2, with 22 heads (the first V-JEPA's giant has 16). `nano` is meant for CPUs.
SIZES: dict[SizeName, Size] = {
    "nano": Size(128, 4, 4),
    "tiny": Size(192, 12, 3),
    "small": Size(384, 12, 6),
    "base": Size(768, 12, 12),
    "large": Size(1024, 24, 16),
    "huge": Size(1280, 32, 16),
    "giant": Size(1408, 40, 22, 48 / 11),
    "gigantic": Size(1664, 48, 16, 64 / 13),
}
