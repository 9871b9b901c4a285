"""Self-attention with rotary positions. Shape letters as in `vjepa.tokens`; d is the width of one head."""

from __future__ import annotations

import torch
from timm.layers.attention import AttentionRope
from torch import Tensor
from torch.nn import functional as F


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn neighbouring pairs of values by the angles of a table: ``(..., d), (..., 2 d) -> (..., d)``.

    `table` holds cosines, then sines with the sign of their term (`vjepa.layers.positions.rotary_table`), so
    that the other value of each pair is all that is needed: a flip, without strided copies.
    """
    cosine, signed_sine = table.to(x.dtype).chunk(2, dim=-1)
    other = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * cosine, other, signed_sine)


class RotaryAttention(AttentionRope):
    """timm's attention, parameters and names unchanged, with queries and keys turned in one go.

    On a CPU the rotation is a good part of a step, all of it memory traffic: this halves it.
    """

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Tokens ``(B, N, D)`` and an optional rotary table ``(B or 1, N, 2 d)`` to tokens ``(B, N, D)``."""
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
