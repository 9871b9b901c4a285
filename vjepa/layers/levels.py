"""Normalisation of the embeddings of all levels into prediction targets, and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def normalise_levels(tokens_BNY: Tensor, embed_dim: int) -> Tensor:
    """Normalise each level of every token over its features: ``(B, N, Y) -> (B, N, Y)``.

    Every level gets mean 0 and standard deviation 1. As V-JEPA's code does with targets (arXiv 2404.08471): a
    LayerNorm over the features without learnt parameters and with an epsilon of 1e-5.

    Args:
        tokens_BNY: Tokens with all levels concatenated.
        embed_dim: Width D of one level.
    """
    return F.layer_norm(tokens_BNY.unflatten(-1, (-1, embed_dim)), (embed_dim,)).flatten(-2)


def restore_levels(normalised_BNY: Tensor, like_BKY: Tensor, embed_dim: int) -> Tensor:
    """Undo `normalise_levels` approximately: ``(B, N, Y), (B, K, Y) -> (B, N, Y)``.

    The mean and deviation of each token are lost, so the averages over a clip's other tokens replace them,
    level by level.

    Args:
        normalised_BNY: Normalised tokens.
        like_BKY: Other tokens of the same clips, which are not normalised.
        embed_dim: Width D of one level.
    """
    like_BKLD = like_BKY.unflatten(-1, (-1, embed_dim))
    mean_B1L1 = like_BKLD.mean(dim=-1, keepdim=True).mean(dim=1, keepdim=True)
    std_B1L1 = like_BKLD.std(dim=-1, unbiased=False, keepdim=True).mean(dim=1, keepdim=True)
    return (normalised_BNY.unflatten(-1, (-1, embed_dim)) * std_B1L1 + mean_B1L1).flatten(-2)
