"""The past of a block-causal transformer, kept as keys and values. Shape letters as in `vjepa.tokens`.

S tokens of one time step, L of those that are kept; a heads, d the width of one.
"""

from __future__ import annotations

from timm.models.eva import EvaBlock
from torch import Tensor
from torch.nn import functional as F

from vjepa.layers.attention import RotaryAttention, rotate


class KeyValueCache:
    """Keys and values of the latest time steps of one block, in a ring: a new step takes the oldest one's place.

    Keys are stored turned by their positions, and attention does not care for order, so that nothing is ever moved.

    Args:
        steps: how many are kept, the newest included.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._seen = 0
        self._keys_BaLd: Tensor | None = None
        self._values_BaLd: Tensor | None = None

    def append(self, key_BaSd: Tensor, value_BaSd: Tensor) -> tuple[Tensor, Tensor]:
        """Take the newest step's; keys and values of all that is kept, ``(B, a, L, d)``."""
        tokens = key_BaSd.shape[2]
        if self._keys_BaLd is None or self._values_BaLd is None:
            shape = (*key_BaSd.shape[:2], self.steps * tokens, key_BaSd.shape[3])
            self._keys_BaLd, self._values_BaLd = key_BaSd.new_empty(shape), value_BaSd.new_empty(shape)
        place = self._seen % self.steps * tokens
        self._keys_BaLd[:, :, place : place + tokens] = key_BaSd
        self._values_BaLd[:, :, place : place + tokens] = value_BaSd
        self._seen += 1
        kept = min(self._seen, self.steps) * tokens
        return self._keys_BaLd[:, :, :kept], self._values_BaLd[:, :, :kept]


def block_step(block: EvaBlock, tokens_BSD: Tensor, rope: Tensor, cache: KeyValueCache) -> Tensor:
    """One block's output for one time step, which attends to itself and to what the cache keeps."""
    attention = block.attn
    assert isinstance(attention, RotaryAttention)
    qkv = attention.qkv(block.norm1(tokens_BSD)).unflatten(-1, (3, attention.num_heads, attention.head_dim))
    qk, value_BSad = qkv[:, :, :2], qkv[:, :, 2]
    query_BSad, key_BSad = rotate(qk, rope[:, :, None, None]).unbind(dim=2)
    keys_BaLd, values_BaLd = cache.append(key_BSad.transpose(1, 2), value_BSad.transpose(1, 2))
    out_BaSd = F.scaled_dot_product_attention(query_BSad.transpose(1, 2), keys_BaLd, values_BaLd)
    tokens_BSD = tokens_BSD + attention.proj(out_BaSd.transpose(1, 2).flatten(2))
    return tokens_BSD + block.mlp(block.norm2(tokens_BSD))
