"""Heads without an encoder: several heads on the same tokens, and a head on cached tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class HeadGrid(nn.Module):
    """Several heads trained at once on the same tokens, which are encoded only once."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Compute the logits of every head: ``(B, N, D) -> (G, B, X)``."""
        return torch.stack([head(tokens_BND) for head in self.heads])


class TokenClassifier(nn.Module):
    """A head on tokens that are already encoded; it takes the place of a `Classifier`."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def features(self, tokens_BND: Tensor) -> Tensor:
        """Return the tokens in the precision of the head."""
        return tokens_BND.to(next(self.head.parameters()).dtype)
