"""A transformer block that is modulated by a condition."""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from vjepa.layers.attention import RotaryAttention


class ConditionedBlock(nn.Module):
    """Attention and MLP whose inputs are scaled and shifted, and outputs gated, by a condition of each frame.

    This is AdaLN-zero (DiT, arXiv 2212.09748, section 3.2): the last layer of the modulation starts at zero,
    so that the block starts as the identity.

    Args:
        embed_dim: Width E of the tokens.
        num_heads: Number of attention heads.
        mlp_ratio: Width of the MLP divided by `embed_dim`.
        condition_dim: Width of the condition.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float, condition_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6, elementwise_affine=False)
        self.attn = RotaryAttention(embed_dim, num_heads, num_prefix_tokens=0)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(condition_dim, 6 * embed_dim))

    def reset_modulation(self) -> None:
        """Make the block the identity. Call it after any other initialisation of the weights."""
        last = self.modulation[1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, tokens_BTSE: Tensor, condition_BTE: Tensor, rope: Tensor, attn_mask: Tensor | None = None
    ) -> Tensor:
        """Transform the tokens of all frames, ``(B, T, S, E) -> (B, T, S, E)``.

        Args:
            tokens_BTSE: Tokens of all frames.
            condition_BTE: One condition per frame, `condition_dim` numbers each.
            rope: Rotary table of the T * S tokens.
            attn_mask: Attention mask of the T * S tokens, true where a query may see a key. None hides
                nothing.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            self.modulation(condition_BTE).unsqueeze(2).chunk(6, dim=-1)
        )
        frames = tokens_BTSE.shape[1:3]
        steered = torch.addcmul(shift1, self.norm1(tokens_BTSE), 1 + scale1).flatten(1, 2)
        attended = self.attn(steered, rope=rope, attn_mask=attn_mask).unflatten(1, frames)
        tokens_BTSE = torch.addcmul(tokens_BTSE, gate1, attended)
        steered = torch.addcmul(shift2, self.norm2(tokens_BTSE), 1 + scale2)
        return torch.addcmul(tokens_BTSE, gate2, self.mlp(steered))
