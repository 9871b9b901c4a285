"""LiDAR: how many directions tell videos apart, of those in which their clips differ. V videos, R clips of each."""

from __future__ import annotations

import torch
from torch import Tensor

from vjepa.double_precision import in_double

SHRINKAGE = 1e-4


def lidar(features_VRD: Tensor) -> float:
    """Effective rank of linear discriminant analysis with videos as classes (arXiv 2312.04000); between 1 and D.

    The exponential of the entropy of the eigenvalues of ``W^-1/2 S W^-1/2``, with S the covariance of the videos'
    means and W that of clips within their videos, to which 1e-4 of the identity is added.
    """
    if features_VRD.ndim != 3 or features_VRD.shape[0] < 2 or features_VRD.shape[1] < 2:
        raise ValueError(
            f"features have the shape {tuple(features_VRD.shape)}: give (videos, clips, D) with 2 or more of both"
        )
    features_VRD = in_double(features_VRD)
    mean_VD = features_VRD.mean(dim=1)
    between_VD = mean_VD - mean_VD.mean(dim=0)
    within_XD = (features_VRD - mean_VD[:, None]).flatten(0, 1)
    num_videos, num_clips, width = features_VRD.shape
    between_DD = between_VD.T @ between_VD / (num_videos - 1)
    within_DD = within_XD.T @ within_XD / (num_videos * (num_clips - 1))
    values_D, vectors_DD = torch.linalg.eigh(within_DD + SHRINKAGE * torch.eye(width).to(within_DD))
    whitening_DD = vectors_DD / values_D.sqrt() @ vectors_DD.T
    eigenvalues_D = torch.linalg.eigvalsh(whitening_DD @ between_DD @ whitening_DD).clamp_min(0)
    share_D = eigenvalues_D / eigenvalues_D.sum().clamp_min(1e-12) + 1e-12
    return torch.exp(-(share_D * share_D.log()).sum()).item()
