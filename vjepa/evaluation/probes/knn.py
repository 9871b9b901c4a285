"""The nearest-neighbour probe, which finds classes by similarity of features, without training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.evaluation.probes.linear import balanced_accuracy, check_labelled, class_weights

NEIGHBOURS = 20
TEMPERATURE = 0.07


def knn_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Classify `test` by a vote of the nearest videos of `train`, and return the balanced accuracy.

    Args:
        train: Features ``(V, D)`` of the videos that vote and their int64 classes ``(V,)``, see
            `knn_classes`.
        test: Features and classes to measure on.

    Raises:
        ValueError: A video has no class (-1).
    """
    check_labelled(train, test)
    return balanced_accuracy(knn_classes(train, test[0]), test[1])


def knn_classes(train: tuple[Tensor, Tensor], others_VD: Tensor) -> Tensor:
    """Classify videos by a vote of the nearest videos of `train`, int64 ``(V,)``.

    As for DINO (arXiv 2104.14294), the 20 nearest videos by cosine similarity vote, or all if there are
    fewer, with the weights ``exp(similarity / 0.07)``. The votes for a class are divided by its number of
    videos, because the accuracy is balanced; with classes of equal size this changes nothing.

    Args:
        train: Features ``(V, D)`` of the videos that vote and their int64 classes ``(V,)``. Their mean
            centres all features.
        others_VD: Features of the videos to classify.
    """
    mean_D = train[0].mean(dim=0)
    train_VD, others_VD = (F.normalize(features - mean_D, dim=-1) for features in (train[0], others_VD))
    # Imported here, because scikit-learn takes a second, which commands without it are spared.
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train_VD)), metric="cosine", algorithm="brute")
    distance_Vn, row_Vn = map(torch.from_numpy, nearest.fit(train_VD.numpy()).kneighbors(others_VD.numpy()))
    vote_Vn = ((1 - distance_Vn) / TEMPERATURE).exp() * class_weights(train[1])[row_Vn]
    votes_VX = torch.zeros(len(others_VD), int(train[1].max()) + 1, dtype=vote_Vn.dtype)
    return votes_VX.scatter_add_(1, train[1][row_Vn], vote_Vn).argmax(dim=1)
