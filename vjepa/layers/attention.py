"""Self-attention with rotary positions."""

from __future__ import annotations

import torch
from timm.layers.attention import AttentionRope
from torch import Tensor
from torch.nn import functional as F


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate neighbouring pairs of values by the angles of a table: ``(..., d), (..., 2 d) -> (..., d)``.

    The table (`vjepa.layers.positions.rotary_table`) holds cosines, then sines with the sign of their term.
    So the only other input is the second value of each pair, which a flip gives without strided copies.
    """
    cosine, signed_sine = table.to(x.dtype).chunk(2, dim=-1)
    other = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * cosine, other, signed_sine)


class RotaryAttention(AttentionRope):
    """timm's attention with the same parameters and names, which rotates queries and keys in one operation.

    On a CPU the rotation takes much of a step, all of it memory traffic; one operation halves it.
    """

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Compute self-attention of tokens, ``(B, N, D) -> (B, N, D)``.

        Args:
            x: Tokens, ``(B, N, D)``.
            rope: Rotary table, ``(B, N, 2 d)`` or ``(1, N, 2 d)``. None uses no positions.
            attn_mask: Boolean mask, true where a query (row) may see a key (column). None lets all tokens see
                each other.
            is_causal: Let each token attend to itself and earlier tokens only.
        """
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        qk, v = qkv.split([2, 1], dim=2)
        if rope is not None:
            qk = rotate(qk, rope[:, :, None, None])
        q, k = qk.unbind(dim=2)
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.squeeze(2).transpose(1, 2),
            attn_mask=attn_mask, is_causal=is_causal,
        )  # fmt: skip
        return self.proj(out.transpose(1, 2).flatten(2))
