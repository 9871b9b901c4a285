"""A stack of transformer blocks over tokens with explicit positions.

The blocks are timm's `EvaBlock` (pre-norm attention and MLP), equal to the blocks of V-JEPA 2 and of
VideoMAE, with their parameter names. Only the attention is replaced by a faster one,
`vjepa.layers.attention.RotaryAttention`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from timm.layers import calculate_drop_path_rates, trunc_normal_
from timm.models.eva import EvaBlock
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vjepa.choices import PositionKind, RotaryLayout
from vjepa.grid import Grid
from vjepa.layers.attention import RotaryAttention
from vjepa.layers.positions import POSITION_TABLES, rotary_table
from vjepa.tokens import gather_tokens


class TokenTransformer(nn.Module):
    """Transformer blocks and a last norm, over all tokens of a grid or any subset of them.

    This is where positions enter. The sin-cos kinds are added to the tokens; `rotary` rotates queries and
    keys, with one table for all layers and heads. Tokens in front of those on the grid, such as a class
    token, have no position.

    Args:
        embed_dim: Width of the tokens.
        depth: Number of blocks.
        num_heads: Number of attention heads per block; it must divide `embed_dim`.
        mlp_ratio: Width of each block's MLP divided by `embed_dim`.
        positions: Kind of positions, `rotary` or a key of `vjepa.layers.positions.POSITION_TABLES`.
        rotary_layout: Layout of rotary positions (see `rotary_table`).
        drop_path: Stochastic depth rate of the last block. The rates rise linearly from 0 in the first block.
        causal: Let tokens attend to their own and earlier time steps only.
        levels: Indices of the blocks whose outputs `forward` can return together, each with its own norm.
            They must ascend and end with the last block. Empty for the last block alone.
        trained_side: Side of the grid that rotary positions are stretched to (see `rotary_table`).
        last_norm: Apply a norm after the last block.
        norm_eps: Epsilon of all norms.

    Raises:
        ValueError: If `num_heads` does not divide `embed_dim`, or if `levels` are invalid.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
        drop_path: float = 0.0,
        causal: bool = False,
        levels: Sequence[int] = (),
        trained_side: int | None = None,
        last_norm: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim {embed_dim} cannot be shared by {num_heads} heads: give a multiple of the heads"
            )
        if levels and (list(levels) != sorted(set(levels)) or levels[0] < 0 or levels[-1] != depth - 1):
            raise ValueError(
                f"levels are {list(levels)} of {depth} blocks: give block numbers that ascend to {depth - 1}"
            )
        self.embed_dim = embed_dim
        self.head_dim = embed_dim // num_heads
        self.positions = positions
        self.rotary_layout = rotary_layout
        self.trained_side = trained_side
        self.causal = causal
        self.grad_checkpointing = False
        rates = cast(list[float], calculate_drop_path_rates(drop_path, depth))
        self.blocks = nn.ModuleList(
            rotary_block(embed_dim, num_heads, mlp_ratio, rate, norm_eps) for rate in rates
        )
        self.norm = nn.LayerNorm(embed_dim, eps=norm_eps) if last_norm else nn.Identity()
        self.level_norms = nn.ModuleDict(
            {str(level): nn.LayerNorm(embed_dim, eps=norm_eps) for level in levels[:-1]}
        )

    def forward(
        self,
        tokens_BND: Tensor,
        grid: Grid,
        index_BK: Tensor | None = None,
        *,
        levels: bool = False,
        queries: int = 0,
    ) -> Tensor:
        """Transform tokens, ``(B, N, D) -> (B, N, D)``.

        Args:
            tokens_BND: Tokens. If there are more tokens than indices, the surplus is in front and has no
                position.
            grid: Token grid.
            index_BK: Positions of the tokens on the grid. None if they are all tokens of the grid, in order.
            levels: Return the normalised outputs of all levels, concatenated along the last axis, the last
                block's at the end: ``(B, N, Y)``.
            queries: Number of tokens, the last ones, that ask for what is at their positions. With causal
                attention they attend to earlier time steps of the other tokens and to the queries of their
                own time step, and the other tokens do not attend to them. Without it they are like all
                others.
        """
        outputs = []
        for number, output_BND in enumerate(self._through_blocks(tokens_BND, grid, index_BK, queries)):
            if levels and str(number) in self.level_norms:
                outputs.append(self.level_norms[str(number)](output_BND))
        last_BND = self.norm(output_BND)
        return torch.cat([*outputs, last_BND], dim=-1) if outputs else last_BND

    def intermediates(self, tokens_BND: Tensor, grid: Grid, blocks: Sequence[int]) -> list[Tensor]:
        """Compute the outputs of some blocks, in the order of `blocks`, before any norm.

        The tokens must be all tokens of the grid, in order, with any further tokens in front.
        """
        outputs = {
            number: tokens
            for number, tokens in enumerate(self._through_blocks(tokens_BND, grid, None))
            if number in blocks
        }
        return [outputs[number] for number in blocks]

    def _through_blocks(
        self, tokens_BND: Tensor, grid: Grid, index_BK: Tensor | None, queries: int = 0
    ) -> Iterator[Tensor]:
        """Yield the output of each block."""
        tokens_BND, rope = self._place(tokens_BND, grid, index_BK)
        attention_mask = self._attention_mask(tokens_BND, grid, index_BK, queries) if self.causal else None
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens_BND = checkpoint(
                    block, tokens_BND, rope=rope, attn_mask=attention_mask, use_reentrant=False
                )
            else:
                tokens_BND = block(tokens_BND, rope=rope, attn_mask=attention_mask)
            yield tokens_BND

    def _place(self, tokens_BND: Tensor, grid: Grid, index_BK: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Add positions to the tokens, or make a rotary table for them (None if positions are added)."""
        device, on_grid = tokens_BND.device, grid.size if index_BK is None else index_BK.shape[1]
        in_front = tokens_BND.shape[1] - on_grid
        if self.positions != "rotary":
            table = _at(POSITION_TABLES[self.positions](grid, self.embed_dim, device=device), index_BK)
            return tokens_BND + F.pad(table, (0, 0, in_front, 0)).to(tokens_BND.dtype), None
        table = rotary_table(
            grid, self.head_dim, self.rotary_layout, device=device, trained_side=self.trained_side
        )
        rope = table.unsqueeze(0) if index_BK is None else _at(table, index_BK)
        if in_front:
            cosine, sine = rope.chunk(2, dim=-1)  # tokens in front get angle 0: no rotation
            cosine = F.pad(cosine, (0, 0, in_front, 0), value=1.0)
            rope = torch.cat([cosine, F.pad(sine, (0, 0, in_front, 0))], dim=-1)
        return tokens_BND, rope

    def _attention_mask(
        self, tokens_BND: Tensor, grid: Grid, index_BK: Tensor | None, queries: int
    ) -> Tensor:
        """Attention mask, bool ``(B or 1, 1, K, K)``: true where a token (row) may see another (column)."""
        if index_BK is None:
            index_BK = torch.arange(grid.size, device=tokens_BND.device).unsqueeze(0)
        if tokens_BND.shape[1] != index_BK.shape[1]:
            raise ValueError("causal attention needs a time step for every token: leave the class token out")
        time_BK = index_BK // (grid.h * grid.w)
        earlier_BKK = time_BK[:, :, None] > time_BK[:, None, :]
        same_BKK = time_BK[:, :, None] == time_BK[:, None, :]
        asks_K = torch.arange(index_BK.shape[1], device=index_BK.device) >= index_BK.shape[1] - queries
        query_BKK = same_BKK & asks_K[:, None]  # which rows see a column that is a query
        other_BKK = earlier_BKK | (same_BKK & ~asks_K[:, None])
        sees_BKK = torch.where(asks_K, query_BKK, other_BKK)
        return sees_BKK.unsqueeze(1)

    def compile_blocks(self) -> None:
        """Compile each block separately: the blocks are alike, so one compilation serves all."""
        for block in self.blocks:
            block.compile()


def rotary_block(
    embed_dim: int, num_heads: int, mlp_ratio: float, drop_path: float = 0.0, norm_eps: float = 1e-6
) -> EvaBlock:
    """Build a block of pre-norm attention with rotary positions and an MLP.

    Args:
        embed_dim: Width of the tokens.
        num_heads: Number of attention heads.
        mlp_ratio: Width of the MLP divided by `embed_dim`.
        drop_path: Stochastic depth rate, in [0, 1).
        norm_eps: Epsilon of the norms.
    """
    block = EvaBlock(
        embed_dim, num_heads, mlp_ratio=mlp_ratio, attn_type="rope",
        norm_layer=partial(nn.LayerNorm, eps=norm_eps),
        drop_path=drop_path,
    )  # fmt: skip
    block.attn = RotaryAttention(embed_dim, num_heads, num_prefix_tokens=0)
    return block


def _at(table_ND: Tensor, index_BK: Tensor | None) -> Tensor:
    """Rows of a table ``(N, D)`` at some positions, ``(B, K, D)``; with None, the whole table."""
    if index_BK is None:
        return table_ND
    return gather_tokens(table_ND.expand(index_BK.shape[0], -1, -1), index_BK)


@torch.no_grad()
def init_weights(module: nn.Module) -> None:
    """Initialise weights from a truncated normal of standard deviation 0.02, and biases to 0.

    As published for V-JEPA (arXiv 2404.08471, after BEiT), the last matrix of each residual branch is divided
    by ``sqrt(2 layer)``, with layers counted from 1, so that the residual stream does not grow with depth.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d):
            trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for transformer in module.modules():
        if isinstance(transformer, TokenTransformer):
            for layer, block in enumerate(cast(list[EvaBlock], transformer.blocks), start=1):
                block.attn.proj.weight.div_(math.sqrt(2 * layer))
                block.mlp.fc2.weight.div_(math.sqrt(2 * layer))
