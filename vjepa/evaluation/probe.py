"""A linear read-out of frozen features: ridge regression on the classes, in closed form.

No learning rate, no epochs, no luck: two encoders are compared by nothing but their features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_STRENGTHS = tuple(10.0**power for power in range(-3, 5))
_FOLDS = 5


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Mean over classes of the share of a class that is recognised, in [0, 1]."""
    hits = (predicted == labels).double()
    return torch.stack([hits[labels == label].mean() for label in labels.unique()]).mean().item()


def ridge_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Balanced accuracy on `test` of a ridge classifier fitted on `train`.

    Args:
        train, test: features ``(videos, D)`` and classes ``(videos,)``.

    Features are standardised with the training part's mean and deviation. The strength of the ridge is
    chosen by cross-validation inside the training part; the test part is used once.
    """
    train_features, train_labels = train[0].double(), train[1]
    mean, std = train_features.mean(dim=0), train_features.std(dim=0).clamp_min(1e-8)
    train_features, test_features = (train_features - mean) / std, (test[0].double() - mean) / std
    num_classes = int(train_labels.max()) + 1
    fold = torch.arange(len(train_labels)) % _FOLDS

    def held_out(strength: float) -> float:
        predicted = torch.empty_like(train_labels)
        for number in range(_FOLDS):
            fit, rest = fold != number, fold == number
            weights = _fit(train_features[fit], train_labels[fit], num_classes, strength)
            predicted[rest] = _predict(weights, train_features[rest])
        return balanced_accuracy(predicted, train_labels)

    strength = max(_STRENGTHS, key=held_out)
    weights = _fit(train_features, train_labels, num_classes, strength)
    return balanced_accuracy(_predict(weights, test_features), test[1])


def _fit(features: Tensor, labels: Tensor, num_classes: int, strength: float) -> Tensor:
    features = _with_constant(features)
    wanted = F.one_hot(labels, num_classes).double() - 1 / num_classes
    penalty = strength * len(features) / 100 * torch.eye(features.shape[1], dtype=torch.double)
    return torch.linalg.solve(features.T @ features + penalty, features.T @ wanted)


def _predict(weights: Tensor, features: Tensor) -> Tensor:
    return (_with_constant(features) @ weights).argmax(dim=1)


def _with_constant(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], dim=1)
