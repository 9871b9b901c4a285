"""The nearest-neighbour probe, which finds classes by similarity of features, without training."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torch.nn import functional as F

from vjepa.evaluation.probes.linear import balanced_accuracy, check_labelled

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
    fewer, with the weights ``exp(similarity / 0.07)``.

    Args:
        train: Features ``(V, D)`` of the videos that vote and their int64 classes ``(V,)``. Their mean
            centres all features.
        others_VD: Features of the videos to classify.
    """
    mean_D = train[0].mean(dim=0)
    train_VD, others_VD = (F.normalize(features - mean_D, dim=-1) for features in (train[0], others_VD))
    vote = KNeighborsClassifier(
        min(NEIGHBOURS, len(train_VD)), metric="cosine", algorithm="brute", weights=_weights
    )
    vote.fit(train_VD.numpy(), train[1].numpy())
    return torch.from_numpy(vote.predict(others_VD.numpy()))


def _weights(distance: np.ndarray) -> np.ndarray:
    return np.exp((1 - distance) / TEMPERATURE)
