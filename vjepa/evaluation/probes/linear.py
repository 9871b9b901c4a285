"""Linear probes that read classes and numbers from frozen features.

Ridge regressions are solved in closed form: they have no learning rate, no epochs and no random seed. The
strength of a penalty is chosen by cross-validation inside the training split, and the test split is used
once.
"""

from __future__ import annotations

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from torch import Tensor
from torch.nn import functional as F

from vjepa.double_precision import in_double

STRENGTHS = tuple(10.0**power for power in range(-3, 5))  # penalties, for features of unit variance
_PENALTIES = (0.01, 0.1, 1.0)  # inverse strengths, scikit-learn's C
_FOLDS = 5


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the share of their videos that is recognised, in [0, 1]."""
    predicted, labels = predicted.cpu(), labels.cpu()
    hits = in_double(predicted == labels)
    return torch.stack([hits[labels == label].mean() for label in labels.unique()]).mean().item()


def check_labelled(*parts: tuple[Tensor, Tensor]) -> None:
    """Check that every video has a class.

    Args:
        parts: Features and int64 classes ``(V,)`` of each split.

    Raises:
        ValueError: A class is -1, so its video has no label.
    """
    for _, labels_V in parts:
        missing = int((labels_V < 0).sum())
        if missing:
            raise ValueError(
                f"{missing} of {len(labels_V)} videos have no label, and a probe reads classes out of "
                "features: give every row of the manifest a label, or leave it out"
            )


def linear_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Fit a multinomial logistic regression on `train`, and return its balanced accuracy on `test`.

    Features are shifted by the training mean and divided by one number, the root of their mean variance,
    because the variance of each dimension cannot be estimated from one video of each class. If a class has
    fewer than four videos, there is too little to validate on, and scikit-learn's C is 1.

    Args:
        train: Features ``(V, D)`` and int64 classes ``(V,)`` to fit on.
        test: Features and classes to measure on.

    Raises:
        ValueError: A video has no class (-1).
    """
    check_labelled(train, test)
    mean_D, scale = train[0].mean(dim=0), train[0].std(dim=0).square().mean().sqrt().clamp_min(1e-8)
    train_VD, test_VD = (in_double((features - mean_D) / scale).numpy() for features in (train[0], test[0]))
    labels_V = train[1].numpy()
    model = LogisticRegression(max_iter=300)
    folds = min(_FOLDS, int(train[1].bincount().min()) // 2)
    if folds >= 2:
        strata = StratifiedKFold(folds)
        model = GridSearchCV(model, {"C": _PENALTIES}, cv=strata, scoring="balanced_accuracy")
    with warnings.catch_warnings():
        # Weak penalties on few videos may not converge; they lose in validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_VD, labels_V)
    return balanced_accuracy(torch.from_numpy(model.predict(test_VD)), test[1])


def ridge_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Fit a ridge classifier on `train`, and return its balanced accuracy on `test`.

    Features are standardised with the training split's mean and standard deviation.

    Args:
        train: Features ``(V, D)`` and int64 classes ``(V,)`` to fit on.
        test: Features and classes to measure on.

    Raises:
        ValueError: A video has no class (-1).
    """
    check_labelled(train, test)
    train_VD, test_VD = _standardised(train[0], test[0])
    labels_V = train[1].cpu()
    num_classes = int(labels_V.max()) + 1
    wanted_VQ = in_double(F.one_hot(labels_V, num_classes)) - 1 / num_classes

    def accuracy(predicted_VQ: Tensor) -> float:
        return balanced_accuracy(predicted_VQ.argmax(dim=1), labels_V)

    strength = max(STRENGTHS, key=lambda s: accuracy(_held_out(train_VD, wanted_VQ, s)))
    predicted_VQ = _predict(_fit(train_VD, wanted_VQ, strength), test_VD)
    return balanced_accuracy(predicted_VQ.argmax(dim=1), test[1])


def ridge_regression(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Tensor:
    """Fit a ridge regression on `train`, and return R2 of each target on `test`, ``(Q,)``.

    R2 is 1 for perfect predictions and 0 for those of the mean. Features are standardised, and there may be
    more of them than videos. Each target has its own penalty: the best on a held-out fifth of the training
    split.

    Args:
        train: Features ``(V, D)`` and targets ``(V, Q)`` to fit on.
        test: Features and targets to measure on.

    Raises:
        ValueError: A target does not vary in a split.
    """
    if not (train[1].std(dim=0) > 0).all() or not (test[1].std(dim=0) > 0).all():
        raise ValueError(
            "a target is the same for all videos of a split, so there is no variance to explain: leave it out"
        )
    predicted_VQ = ridge_predictions(train, test[0])
    test_VQ = in_double(test[1])
    return 1 - (predicted_VQ - test_VQ).square().mean(dim=0) / test_VQ.var(dim=0, unbiased=False)


def ridge_predictions(train: tuple[Tensor, Tensor], others_BD: Tensor) -> Tensor:
    """Fit a ridge regression on `train`, and return its predictions for other features, ``(B, Q)``.

    Args:
        train: Features ``(V, D)`` and targets ``(V, Q)`` to fit on, see `ridge_regression`.
        others_BD: Features to predict from.
    """
    train_VD, others_BD = _standardised(train[0], others_BD)
    target_VQ = in_double(train[1])
    mean_Q, std_Q = target_VQ.mean(dim=0), target_VQ.std(dim=0).clamp_min(1e-8)
    train_VQ = (target_VQ - mean_Q) / std_Q
    held_V = torch.arange(len(train_VD)) % _FOLDS == 0
    path_sVQ = ridge_path(train_VD[~held_V], train_VQ[~held_V], train_VD[held_V])
    best_Q = (path_sVQ - train_VQ[held_V]).square().mean(dim=1).argmin(dim=0)
    path_sBQ = ridge_path(train_VD, train_VQ, others_BD)
    return path_sBQ[best_Q, :, torch.arange(len(best_Q))].T * std_Q + mean_Q


def ridge_class_scores(train: tuple[Tensor, Tensor], others_BD: Tensor) -> Tensor:
    """Fit a ridge classifier with each penalty of `STRENGTHS`, and return its scores, ``(s, B, X)``.

    A ridge regression predicts 1 for the class of a video and 0 for the others; the highest score is the
    class. Features are standardised with the mean and standard deviation of `train`.

    Args:
        train: Features ``(V, D)`` and int64 classes ``(V,)`` to fit on.
        others_BD: Features of the videos to classify.
    """
    train_VD, others_BD = _standardised(train[0], others_BD)
    return ridge_path(train_VD, in_double(F.one_hot(train[1].cpu())).to(train_VD.device), others_BD)


def ridge_path(features_VD: Tensor, wanted_VQ: Tensor, others_BD: Tensor) -> Tensor:
    """Predict for other features with each penalty of `STRENGTHS`, ``(s, B, Q)``, by one eigendecomposition.

    The smaller of the two Gram matrices is decomposed: with more features than videos, the weights are
    combinations of videos.

    Args:
        features_VD: Standardised features to fit on, in double precision.
        wanted_VQ: Targets to fit on.
        others_BD: Standardised features to predict from.
    """
    mean_D, mean_Q = features_VD.mean(dim=0), wanted_VQ.mean(dim=0)
    features_VD, others_BD, wanted_VQ = features_VD - mean_D, others_BD - mean_D, wanted_VQ - mean_Q
    if features_VD.shape[1] <= len(features_VD):
        values, vectors = torch.linalg.eigh(features_VD.T @ features_VD)
        left, right = others_BD @ vectors, vectors.T @ (features_VD.T @ wanted_VQ)
    else:
        values, vectors = torch.linalg.eigh(features_VD @ features_VD.T)
        left, right = others_BD @ (features_VD.T @ vectors), vectors.T @ wanted_VQ
    strengths = [strength * len(features_VD) / 100 for strength in STRENGTHS]
    return torch.stack([left @ (right / (values + s).unsqueeze(-1)) + mean_Q for s in strengths])


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise both splits with the training split's mean and deviation, in double precision."""
    train, test = in_double(train), in_double(test)
    mean, std = train.mean(dim=0), train.std(dim=0).clamp_min(1e-8)
    return (train - mean) / std, (test - mean) / std


def _held_out(features_VD: Tensor, wanted_VQ: Tensor, strength: float) -> Tensor:
    """Predict for every row by a fit on the other folds."""
    fold_V = torch.arange(len(features_VD)) % _FOLDS
    predicted_VQ = torch.empty_like(wanted_VQ)
    for number in range(_FOLDS):
        kept_V, rest_V = fold_V != number, fold_V == number
        weights_DQ = _fit(features_VD[kept_V], wanted_VQ[kept_V], strength)
        predicted_VQ[rest_V] = _predict(weights_DQ, features_VD[rest_V])
    return predicted_VQ


def _fit(features_VD: Tensor, wanted_VQ: Tensor, strength: float) -> Tensor:
    features_VD = _with_constant(features_VD)
    penalty = strength * len(features_VD) / 100 * torch.eye(features_VD.shape[1]).to(features_VD)
    return torch.linalg.solve(features_VD.T @ features_VD + penalty, features_VD.T @ wanted_VQ)


def _predict(weights_DQ: Tensor, features_VD: Tensor) -> Tensor:
    return _with_constant(features_VD) @ weights_DQ


def _with_constant(features_VD: Tensor) -> Tensor:
    return torch.cat([features_VD, torch.ones(len(features_VD), 1, dtype=features_VD.dtype)], dim=1)
