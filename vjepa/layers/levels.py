"""Targets of prediction from embeddings. Shape letters as in `vjepa.tokens`; Y is the width of L levels together."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def normalise_levels(tokens_BNY: Tensor, width: int) -> Tensor:
    """Every token of every level shifted and scaled to mean 0 and deviation 1, without learnt parameters.

    As V-JEPA does with its targets (arXiv 2404.08471, in code): a LayerNorm over the features with an epsilon of 1e-5.
    """
    return F.layer_norm(tokens_BNY.unflatten(-1, (-1, width)), (width,)).flatten(-2)


def restore_levels(normalised_BXY: Tensor, like_BKY: Tensor, width: int) -> Tensor:
    """Normalised tokens on the scale of others: ``(B, X, Y), (B, K, Y) -> (B, X, Y)``.

    Mean and deviation of a token are lost by `normalise_levels`; those of a clip's other tokens, averaged level by
    level, stand in for them.
    """
    like_BKLD = like_BKY.unflatten(-1, (-1, width))
    mean_B1L1 = like_BKLD.mean(dim=-1, keepdim=True).mean(dim=1, keepdim=True)
    std_B1L1 = like_BKLD.std(dim=-1, unbiased=False, keepdim=True).mean(dim=1, keepdim=True)
    return (normalised_BXY.unflatten(-1, (-1, width)) * std_B1L1 + mean_B1L1).flatten(-2)
