"""Learnt queries that look at all tokens. Shape letters as in `vjepa.tokens`; Q queries."""

from __future__ import annotations

import math
from typing import cast

import torch
from timm.layers.mlp import Mlp
from timm.layers.weight_init import trunc_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F


class AttentivePooler(nn.Module):
    """V-JEPA's attentive pooler (arXiv 2404.08471 section 4; deeper in V-JEPA 2, arXiv 2506.09985).

    Blocks of self-attention over the tokens, then one block in which the queries attend to them. It has no positions:
    the order of the tokens does not matter.

    Args:
        width: of the tokens, D.
        heads: attention heads of every block.
        depth: blocks in all, the last of them cross-attention; V-JEPA has 1, V-JEPA 2 has 4.
        queries: Q, each pools for itself.
        mlp_ratio: width of each MLP over D.
        cross_projection: a projection after the cross-attention, as V-JEPA has it and V-JEPA 2 does not.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        depth: int = 1,
        queries: int = 1,
        mlp_ratio: float = 4.0,
        cross_projection: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads: give a divisor of the width")
        if depth < 1 or queries < 1:
            raise ValueError(f"depth is {depth} and queries {queries}: give 1 or more of each")
        self.queries_QD = nn.Parameter(torch.empty(queries, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio=mlp_ratio,
                qkv_bias=True,
                norm_layer=cast(type[nn.Module], _layer_norm),
            )
            for _ in range(depth - 1)
        )
        self.cross_block = CrossBlock(width, heads, mlp_ratio, cross_projection)
        _init_weights(self)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """What each query found: ``(B, N, D) -> (B, Q, D)``."""
        for block in self.blocks:
            tokens_BND = block(tokens_BND)
        return self.cross_block(self.queries_QD.expand(tokens_BND.shape[0], -1, -1), tokens_BND)


class CrossBlock(nn.Module):
    """Queries attend to tokens, then an MLP."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, projection: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = _layer_norm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width) if projection else nn.Identity()
        self.norm2 = _layer_norm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, queries_BQD: Tensor, tokens_BND: Tensor) -> Tensor:
        """``(B, Q, D), (B, N, D) -> (B, Q, D)``."""
        k, v = self.kv(self.norm1(tokens_BND)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.q(queries_BQD), k, v))
        found_BQD = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        queries_BQD = queries_BQD + self.proj(found_BQD)
        return queries_BQD + self.mlp(self.norm2(queries_BQD))


def _layer_norm(width: int, **kwargs: object) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, **kwargs)  # type: ignore[arg-type]


@torch.no_grad()
def _init_weights(pooler: AttentivePooler) -> None:
    """As the encoder's blocks (`vjepa.layers.blocks.init_weights`): small, residual branches shrunk with depth."""
    trunc_normal_(pooler.queries_QD, std=0.02)
    for part in pooler.modules():
        if isinstance(part, nn.Linear):
            trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
    for layer, block in enumerate(cast(list[Block], pooler.blocks), start=1):
        for matrix in (block.attn.proj, block.mlp.fc2):
            cast(nn.Linear, matrix).weight.div_(math.sqrt(2 * layer))
    pooler.cross_block.mlp.fc2.weight.div_(math.sqrt(2 * (len(pooler.blocks) + 1)))
