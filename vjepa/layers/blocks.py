"""A stack of transformer blocks over tokens with explicit positions.

The block is timm's `EvaBlock`: pre-norm attention and MLP, equal to the blocks of V-JEPA 2 and of
VideoMAE, with their parameter names; its attention is ours, for speed. Shape letters as in `vjepa.tokens`.
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
    """Blocks and a last norm over any subset of the tokens of a grid.

    Positions enter here: added to the tokens (the sin-cos kinds), or turned into queries and keys
    (`rotary`, with one table for all layers and heads). Tokens in front of those on the grid, such as
    a class token, have no position.

    Args:
        causal: a token attends to tokens of its own and of earlier time steps only.
        levels: numbers of the blocks whose outputs `forward` gives if asked to, each with a norm of its
            own, ascending; the last block must be among them. Empty for the last block alone.
        trained_side: of `rotary_table`.
        last_norm: whether there is a norm after the last block.
        norm_eps: epsilon of all norms.
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
        causal: bool = False,
        levels: Sequence[int] = (),
        trained_side: int | None = None,
        last_norm: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads: give a multiple of the heads")
        if levels and (list(levels) != sorted(set(levels)) or levels[0] < 0 or levels[-1] != depth - 1):
            raise ValueError(
                f"levels are {list(levels)} of {depth} blocks: give block numbers that ascend to {depth - 1}"
            )
        self.width = width
        self.head_width = width // heads
        self.positions = positions
        self.rotary_layout = rotary_layout
        self.trained_side = trained_side
        self.causal = causal
        self.grad_checkpointing = False
        rates = cast(list[float], calculate_drop_path_rates(drop_path, depth))
        self.blocks = nn.ModuleList(rotary_block(width, heads, mlp_ratio, rate, norm_eps) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=norm_eps) if last_norm else nn.Identity()
        self.level_norms = nn.ModuleDict(
            {str(level): nn.LayerNorm(width, eps=norm_eps) for level in levels[:-1]}
        )

    def forward(
        self, tokens_BXD: Tensor, grid: Grid, index_BK: Tensor | None = None, *, levels: bool = False
    ) -> Tensor:
        """Tokens at `index_BK` of `grid` (all of them if None) to tokens of the same shape.

        Any tokens more than there are indices stand in front and have no position. With `levels`, the
        normalised outputs of all levels, side by side in the last dimension, the last block's at the end.
        """
        outputs = []
        for number, output_BXD in enumerate(self._through_blocks(tokens_BXD, grid, index_BK)):
            if levels and str(number) in self.level_norms:
                outputs.append(self.level_norms[str(number)](output_BXD))
        last_BXD = self.norm(output_BXD)
        return torch.cat([*outputs, last_BXD], dim=-1) if outputs else last_BXD

    def intermediates(self, tokens_BXD: Tensor, grid: Grid, blocks: Sequence[int]) -> list[Tensor]:
        """Outputs of some blocks, in the order of `blocks`, before any norm; all tokens of the grid."""
        outputs = {
            number: tokens
            for number, tokens in enumerate(self._through_blocks(tokens_BXD, grid, None))
            if number in blocks
        }
        return [outputs[number] for number in blocks]

    def _through_blocks(self, tokens_BXD: Tensor, grid: Grid, index_BK: Tensor | None) -> Iterator[Tensor]:
        """The output of each block."""
        tokens_BXD, rope = self._place(tokens_BXD, grid, index_BK)
        attention_mask = self._attention_mask(tokens_BXD, grid, index_BK) if self.causal else None
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens_BXD = checkpoint(
                    block, tokens_BXD, rope=rope, attn_mask=attention_mask, use_reentrant=False
                )
            else:
                tokens_BXD = block(tokens_BXD, rope=rope, attn_mask=attention_mask)
            yield tokens_BXD

    def _place(self, tokens_BXD: Tensor, grid: Grid, index_BK: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens with their positions added, or a rotary table for them."""
        device, on_grid = tokens_BXD.device, grid.size if index_BK is None else index_BK.shape[1]
        in_front = tokens_BXD.shape[1] - on_grid
        if self.positions != "rotary":
            table = _at(POSITION_TABLES[self.positions](grid, self.width, device), index_BK)
            return tokens_BXD + F.pad(table, (0, 0, in_front, 0)).to(tokens_BXD.dtype), None
        table = rotary_table(
            grid, self.head_width, self.rotary_layout, device, trained_side=self.trained_side
        )
        rope = table.unsqueeze(0) if index_BK is None else _at(table, index_BK)
        if in_front:
            cosine, sine = rope.chunk(2, dim=-1)  # angle 0: nothing turns
            cosine = F.pad(cosine, (0, 0, in_front, 0), value=1.0)
            rope = torch.cat([cosine, F.pad(sine, (0, 0, in_front, 0))], dim=-1)
        return tokens_BXD, rope

    def _attention_mask(self, tokens_BXD: Tensor, grid: Grid, index_BK: Tensor | None) -> Tensor:
        """Which key each query may see: bool ``(B or 1, 1, K, K)``."""
        if index_BK is None:
            index_BK = torch.arange(grid.size, device=tokens_BXD.device).unsqueeze(0)
        if tokens_BXD.shape[1] != index_BK.shape[1]:
            raise ValueError(
                "causal attention has no place for tokens without a time: leave the class token out"
            )
        time_BK = index_BK // (grid.h * grid.w)
        return (time_BK[:, :, None] >= time_BK[:, None, :]).unsqueeze(1)

    def compile_blocks(self) -> None:
        """Compile each block by itself: they are alike, so that one compilation serves all."""
        for block in self.blocks:
            block.compile()


def rotary_block(
    width: int, heads: int, mlp_ratio: float, drop_path: float = 0.0, norm_eps: float = 1e-6
) -> EvaBlock:
    """Pre-norm attention with rotary positions, and an MLP."""
    block = EvaBlock(
        width, heads, mlp_ratio=mlp_ratio, attn_type="rope", norm_layer=partial(nn.LayerNorm, eps=norm_eps),
        drop_path=drop_path,
    )  # fmt: skip
    block.attn = RotaryAttention(width, heads, num_prefix_tokens=0)
    return block


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
