"""Attentive pooling: learnt queries that attend to all tokens."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, cast

import torch
from timm.layers.mlp import Mlp
from timm.layers.weight_init import trunc_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

BlocksOn = Literal["tokens", "queries"]


class AttentivePooler(nn.Module):
    """V-JEPA's attentive pooler (arXiv 2404.08471 section 4; deeper in V-JEPA 2, arXiv 2506.09985).

    It consists of one block in which the queries attend to the tokens, and blocks of self-attention before or
    after it. It has no positions, so the order of the tokens does not matter.

    Args:
        embed_dim: Width D of the tokens.
        num_heads: Number of attention heads of every block; it must divide `embed_dim`.
        depth: Number of blocks, including the one of cross-attention: 1 in V-JEPA, 4 in V-JEPA 2.
        queries: Number of learnt queries, each with an output of its own.
        mlp_ratio: Width of each block's MLP divided by D.
        blocks_on: What the self-attention works on: the `tokens`, before the cross-attention (V-JEPA 2:
            facebookresearch/vjepa2 at c2963a4, src/models/attentive_pooler.py), or the `queries`, after it
            (V-JEPA: facebookresearch/jepa at 51c59d5, the same file).
        norm_eps: Epsilon of the norms. The authors' poolers use PyTorch's default of 1e-5.

    Raises:
        ValueError: If `num_heads` does not divide `embed_dim`, or if `depth` or `queries` is below 1.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        depth: int = 1,
        queries: int = 1,
        mlp_ratio: float = 4.0,
        blocks_on: BlocksOn = "tokens",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim {embed_dim} cannot be shared by {num_heads} heads: give a divisor of embed_dim"
            )
        if depth < 1 or queries < 1:
            raise ValueError(f"depth is {depth} and queries {queries}: give 1 or more of each")
        self.blocks_on = blocks_on
        self.queries_QD = nn.Parameter(torch.empty(queries, embed_dim))
        norm_layer = cast(type[nn.Module], partial(nn.LayerNorm, eps=norm_eps))
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio=mlp_ratio, qkv_bias=True, norm_layer=norm_layer)
            for _ in range(depth - 1)
        )
        self.cross_block = CrossBlock(embed_dim, num_heads, mlp_ratio, norm_eps)
        _init_weights(self)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Pool tokens: ``(B, N, D) -> (B, q, D)``, one output per query."""
        queries_BqD = self.queries_QD.expand(tokens_BND.shape[0], -1, -1)
        if self.blocks_on == "queries":
            return self._through_blocks(self.cross_block(queries_BqD, tokens_BND))
        return self.cross_block(queries_BqD, self._through_blocks(tokens_BND))

    def _through_blocks(self, tokens_BND: Tensor) -> Tensor:
        for block in self.blocks:
            tokens_BND = block(tokens_BND)
        return tokens_BND


class CrossBlock(nn.Module):
    """Cross-attention from queries to tokens, then an MLP, both residual.

    Args:
        embed_dim: Width D of queries and tokens.
        num_heads: Number of attention heads.
        mlp_ratio: Width of the MLP divided by D.
        norm_eps: Epsilon of the norms.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float, norm_eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.q = nn.Linear(embed_dim, embed_dim)
        self.kv = nn.Linear(embed_dim, 2 * embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio))

    def forward(self, queries_BqD: Tensor, tokens_BND: Tensor) -> Tensor:
        """Update the queries from the tokens: ``(B, q, D), (B, N, D) -> (B, q, D)``."""
        k, v = self.kv(self.norm1(tokens_BND)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (self.q(queries_BqD), k, v))
        found_BqD = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        queries_BqD = queries_BqD + found_BqD
        return queries_BqD + self.mlp(self.norm2(queries_BqD))


@torch.no_grad()
def _init_weights(pooler: AttentivePooler) -> None:
    """Initialise as `vjepa.layers.blocks.init_weights` does: small, residual branches shrunk with depth."""
    trunc_normal_(pooler.queries_QD, std=0.02)
    for part in pooler.modules():
        if isinstance(part, nn.Linear):
            trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
    for layer, block in enumerate(cast(list[Block], pooler.blocks), start=1):
        for matrix in (block.attn.proj, block.mlp.fc2):
            cast(nn.Linear, matrix).weight.div_(math.sqrt(2 * layer))
    pooler.cross_block.mlp.fc2.weight.div_(math.sqrt(2 * (len(pooler.blocks) + 1)))
