"""Heads apart from their encoder: several at the same tokens, and heads of tokens from a cache. Shape letters as in `vjepa.tokens`; G heads, X classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class HeadGrid(nn.Module):
    """Several heads trained at once: the encoder's work is done once for all of them."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits of every head: ``(B, N, D) -> (G, B, X)``."""
        return torch.stack([head(tokens_BND) for head in self.heads])


class TokenClassifier(nn.Module):
    """A head of tokens that were encoded before: stands where a `Classifier` would, without the encoder."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def features(self, tokens_BND: Tensor) -> Tensor:
        """Tokens as they are, in the precision of the head."""
        return tokens_BND.to(next(self.head.parameters()).dtype)
