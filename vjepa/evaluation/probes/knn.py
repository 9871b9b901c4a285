"""Nearest neighbours in feature space: a read-out that learns nothing. V videos."""

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
    """Balanced accuracy on `test` of a vote of the nearest training videos by cosine similarity.

    Args:
        train, test: features ``(V, D)``, centred here by the training mean, and classes ``(V,)``.

    Votes weigh ``exp(similarity / .07)``; 20 neighbours, or all where there are fewer (as for DINO, arXiv 2104.14294).
    """
    check_labelled(train, test)
    mean_D = train[0].mean(dim=0)
    train_VD, test_VD = (F.normalize(features - mean_D, dim=-1).numpy() for features in (train[0], test[0]))
    vote = KNeighborsClassifier(
        min(NEIGHBOURS, len(train_VD)), metric="cosine", algorithm="brute", weights=_weights
    )
    vote.fit(train_VD, train[1].numpy())
    return balanced_accuracy(torch.from_numpy(vote.predict(test_VD)), test[1])


def _weights(distance: np.ndarray) -> np.ndarray:
    return np.exp((1 - distance) / TEMPERATURE)
