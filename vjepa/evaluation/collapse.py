"""Measures of representation collapse across samples.

A falling loss does not show learning if the targets are learnt: constant embeddings have a loss of 0. So the
embeddings of encoder, targets and predictions are compared across the samples of a batch, before any
LayerNorm of the targets, which would give every token unit standard deviation and hide the collapse.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.double_precision import in_double


def embedding_measures(embedding_BD: Tensor) -> dict[str, float]:
    """Measure how much the embeddings of different samples differ.

    Args:
        embedding_BD: One embedding of each sample.

    Returns:
        Measures by name; empty for a single sample. ``std`` is the standard deviation across samples, mean
        over dimensions. ``rank`` is RankMe (arXiv 2210.02885), the exponential of the entropy of the centred
        matrix's singular values, at most ``min(B - 1, D)``. ``cosine`` is the mean cosine similarity of pairs
        of different samples, 1 if all embeddings point the same way.
    """
    num_samples = len(embedding_BD)
    if num_samples < 2:
        return {}
    embedding_BD = embedding_BD.float()
    centred_BD = embedding_BD - embedding_BD.mean(dim=0)
    singular = torch.linalg.svdvals(centred_BD)
    share = singular / singular.sum().clamp_min(1e-12) + 1e-12
    unit_BD = F.normalize(embedding_BD, dim=-1)
    pairs = num_samples * (num_samples - 1)
    return {
        "std": centred_BD.pow(2).mean(dim=0).sqrt().mean().item(),
        "rank": torch.exp(-(share * share.log()).sum()).item(),
        "cosine": ((unit_BD.sum(dim=0).pow(2).sum() - num_samples) / pairs).item(),
    }


SHRINKAGE = 1e-4  # added to the diagonal of the covariance within videos


def lidar(features_VRD: Tensor) -> float:
    """Compute the effective rank of a linear discriminant analysis (LiDAR, arXiv 2312.04000).

    Videos are the classes. The result is the exponential of the entropy of the eigenvalues of
    ``W^-1/2 S W^-1/2``, from 1 to D. S is the covariance of the videos' means. W is the covariance of clips
    within their videos, plus 1e-4 times the identity.

    Args:
        features_VRD: Features of two or more videos, with two or more clips of each.

    Raises:
        ValueError: There are fewer than two videos, or fewer than two clips of each.
    """
    if features_VRD.ndim != 3 or features_VRD.shape[0] < 2 or features_VRD.shape[1] < 2:
        raise ValueError(
            f"features have the shape {tuple(features_VRD.shape)}: give (videos, clips, D) with 2 or more of "
            "both"
        )
    features_VRD = in_double(features_VRD)
    mean_VD = features_VRD.mean(dim=1)
    between_VD = mean_VD - mean_VD.mean(dim=0)
    within_BD = (features_VRD - mean_VD[:, None]).flatten(0, 1)
    num_videos, num_clips, width = features_VRD.shape
    between_DD = between_VD.T @ between_VD / (num_videos - 1)
    within_DD = within_BD.T @ within_BD / (num_videos * (num_clips - 1))
    values_D, vectors_DD = torch.linalg.eigh(within_DD + SHRINKAGE * torch.eye(width).to(within_DD))
    whitening_DD = vectors_DD / values_D.sqrt() @ vectors_DD.T
    eigenvalues_D = torch.linalg.eigvalsh(whitening_DD @ between_DD @ whitening_DD).clamp_min(0)
    share_D = eigenvalues_D / eigenvalues_D.sum().clamp_min(1e-12) + 1e-12
    return torch.exp(-(share_D * share_D.log()).sum()).item()
