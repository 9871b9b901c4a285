"""Cached keys and values of a block-causal transformer's past time steps."""

from __future__ import annotations

from timm.models.eva import EvaBlock
from torch import Tensor
from torch.nn import functional as F

from vjepa.layers.attention import RotaryAttention, rotate


class KeyValueCache:
    """Ring buffer of the keys and values of one block at the latest time steps.

    A new time step overwrites the oldest. Keys are stored already rotated by their positions, and attention
    does not depend on their order, so nothing is ever moved.

    Args:
        steps: Number of time steps to keep, including the newest.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._seen = 0
        self._keys_BkNd: Tensor | None = None
        self._values_BkNd: Tensor | None = None

    def append(self, key_BkSd: Tensor, value_BkSd: Tensor) -> tuple[Tensor, Tensor]:
        """Store the newest time step, and return the keys and values of all kept steps.

        Args:
            key_BkSd: Rotated keys of the newest time step.
            value_BkSd: Values of the newest time step.

        Returns:
            Keys and values, ``(B, k, N, d)`` each, in no particular order of time.
        """
        tokens = key_BkSd.shape[2]
        if self._keys_BkNd is None or self._values_BkNd is None:
            shape = (*key_BkSd.shape[:2], self.steps * tokens, key_BkSd.shape[3])
            self._keys_BkNd, self._values_BkNd = key_BkSd.new_empty(shape), value_BkSd.new_empty(shape)
        place = self._seen % self.steps * tokens
        self._keys_BkNd[:, :, place : place + tokens] = key_BkSd
        self._values_BkNd[:, :, place : place + tokens] = value_BkSd
        self._seen += 1
        kept = min(self._seen, self.steps) * tokens
        return self._keys_BkNd[:, :, :kept], self._values_BkNd[:, :, :kept]


def block_step(block: EvaBlock, tokens_BSD: Tensor, rope: Tensor, cache: KeyValueCache) -> Tensor:
    """Run one block on one time step, which attends to itself and to the cached steps.

    Args:
        block: Block with `RotaryAttention`.
        tokens_BSD: Tokens of the time step.
        rope: Rotary table of these tokens, ``(1, S, 2 d)``.
        cache: The block's cache; it is updated.

    Returns:
        Tokens ``(B, S, D)``.
    """
    attention = block.attn
    assert isinstance(attention, RotaryAttention)
    qkv = attention.qkv(block.norm1(tokens_BSD)).unflatten(-1, (3, attention.num_heads, attention.head_dim))
    qk, value_BSkd = qkv[:, :, :2], qkv[:, :, 2]
    query_BSkd, key_BSkd = rotate(qk, rope[:, :, None, None]).unbind(dim=2)
    keys_BkNd, values_BkNd = cache.append(key_BSkd.transpose(1, 2), value_BSkd.transpose(1, 2))
    out_BkSd = F.scaled_dot_product_attention(query_BSkd.transpose(1, 2), keys_BkNd, values_BkNd)
    tokens_BSD = tokens_BSD + attention.proj(out_BkSd.transpose(1, 2).flatten(2))
    return tokens_BSD + block.mlp(block.norm2(tokens_BSD))
