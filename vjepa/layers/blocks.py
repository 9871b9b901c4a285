"""A stack of transformer blocks over tokens with explicit positions.

The block is timm's `EvaBlock`: pre-norm attention and MLP, equal to the blocks of V-JEPA 2 and of
VideoMAE, with their parameter names; its attention is ours, for speed. Shape letters as in `vjepa.tokens`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from timm.layers import calculate_drop_path_rates, trunc_normal_
from timm.models.eva import EvaBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vjepa.layers.attention import RotaryAttention
from vjepa.layers.positions import PositionKind, RotaryLayout, rotary_table, sincos_table
from vjepa.tokens import Grid, gather_tokens


class TokenTransformer(nn.Module):
    """Blocks and a last norm over any subset of the tokens of a grid.

    Positions enter here: added to the tokens (`sincos`), or turned into queries and keys (`rotary`,
    with one table for all layers and heads).
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads: give a multiple of the heads")
        self.width = width
        self.head_width = width // heads
        self.positions = positions
        self.rotary_layout = rotary_layout
        self.grad_checkpointing = False
        rates = cast(list[float], calculate_drop_path_rates(drop_path, depth))
        self.blocks = nn.ModuleList(_block(width, heads, mlp_ratio, rate) for rate in rates)
        self.norm = _layer_norm(width)

    def forward(self, tokens_BKD: Tensor, grid: Grid, index_BK: Tensor | None = None) -> Tensor:
        """Tokens at `index_BK` of `grid` (all of them if None) to tokens of the same shape."""
        rope = None
        if self.positions == "sincos":
            table = sincos_table(grid, self.width, tokens_BKD.device)
            tokens_BKD = tokens_BKD + _at(table, index_BK).to(tokens_BKD.dtype)
        else:
            table = rotary_table(grid, self.head_width, self.rotary_layout, tokens_BKD.device)
            rope = table.unsqueeze(0) if index_BK is None else _at(table, index_BK)
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens_BKD = checkpoint(block, tokens_BKD, rope=rope, use_reentrant=False)
            else:
                tokens_BKD = block(tokens_BKD, rope=rope)
        return self.norm(tokens_BKD)

    def compile_blocks(self) -> None:
        """Compile each block by itself: they are alike, so that one compilation serves all."""
        for block in self.blocks:
            block.compile()


def _block(width: int, heads: int, mlp_ratio: float, drop_path: float) -> EvaBlock:
    block = EvaBlock(
        width, heads, mlp_ratio=mlp_ratio, attn_type="rope", norm_layer=_layer_norm, drop_path=drop_path
    )  # fmt: skip
    block.attn = RotaryAttention(width, heads, num_prefix_tokens=0)
    return block


def _layer_norm(width: int, **kwargs: object) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, **kwargs)  # type: ignore[arg-type]


def _at(table_NX: Tensor, index_BK: Tensor | None) -> Tensor:
    """Rows of a table: ``(B, K, X)``, or the whole table ``(N, X)``."""
    if index_BK is None:
        return table_NX
    return gather_tokens(table_NX.expand(index_BK.shape[0], -1, -1), index_BK)


@torch.no_grad()
def init_weights(module: nn.Module) -> None:
    """Truncated normal of deviation .02, zero biases; residual branches shrunk by ``sqrt(2 layer)``.

    As published for V-JEPA (arXiv 2404.08471, after BEiT): the last matrix of each branch is divided
    so that the residual stream does not grow with depth.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv3d):
            trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for transformer in module.modules():
        if isinstance(transformer, TokenTransformer):
            for layer, block in enumerate(cast(list[EvaBlock], transformer.blocks), start=1):
                block.attn.proj.weight.div_(math.sqrt(2 * layer))
                block.mlp.fc2.weight.div_(math.sqrt(2 * layer))
