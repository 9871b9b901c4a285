"""Linear read-outs of frozen features: of classes and of numbers. V videos, F numbers of a target.

Ridge regressions are solved in closed form: no learning rate, no epochs, no luck. The strength of a penalty is chosen
by cross-validation inside the training split, and the test split is used once.
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

_STRENGTHS = tuple(10.0**power for power in range(-3, 5))
_PENALTIES = (0.01, 0.1, 1.0)  # inverse, as scikit-learn has it
_FOLDS = 5


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Mean over classes of the share of a class that is recognised, in [0, 1]."""
    predicted, labels = predicted.cpu(), labels.cpu()
    hits = in_double(predicted == labels)
    return torch.stack([hits[labels == label].mean() for label in labels.unique()]).mean().item()


def check_labelled(*parts: tuple[Tensor, Tensor]) -> None:
    """ValueError where a video of a split has no class (-1)."""
    for _, labels_V in parts:
        missing = int((labels_V < 0).sum())
        if missing:
            raise ValueError(
                f"{missing} of {len(labels_V)} videos have no label, and a probe reads classes out of features: give every row of the "
                "manifest a label, or leave it out"
            )


def linear_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Balanced accuracy on `test` of multinomial logistic regression fitted on `train`.

    Args:
        train, test: features ``(V, D)`` and classes ``(V,)``.

    Features are shifted by the training mean and divided by one number, the root of their mean variance: a deviation for
    each dimension cannot be estimated from one video a class. With fewer than four videos of some class there is
    nothing to validate on: the penalty is then 1.
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
    """Balanced accuracy on `test` of a ridge classifier fitted on `train`.

    Args:
        train, test: features ``(V, D)``, standardised here with the training split's mean and deviation, and
            classes ``(V,)``.
    """
    check_labelled(train, test)
    train_VD, test_VD = _standardised(train[0], test[0])
    labels_V = train[1].cpu()
    num_classes = int(labels_V.max()) + 1
    wanted_VF = in_double(F.one_hot(labels_V, num_classes)) - 1 / num_classes

    def accuracy(predicted_VF: Tensor) -> float:
        return balanced_accuracy(predicted_VF.argmax(dim=1), labels_V)

    strength = max(_STRENGTHS, key=lambda s: accuracy(_held_out(train_VD, wanted_VF, s)))
    predicted_VF = _predict(_fit(train_VD, wanted_VF, strength), test_VD)
    return balanced_accuracy(predicted_VF.argmax(dim=1), test[1])


def ridge_regression(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Tensor:
    """R2 on `test` of a ridge regression fitted on `train`, ``(F,)``: 1 is perfect, 0 as good as the mean.

    Args:
        train, test: features ``(V, D)``, standardised here, and targets ``(V, F)``, which must vary in both parts.
            There may be more features than videos.

    Each target has a strength of its own, the best on a fifth of the training split that is held out for it.
    """
    if not (train[1].std(dim=0) > 0).all() or not (test[1].std(dim=0) > 0).all():
        raise ValueError(
            "a target is the same for all videos of a split, so there is no variance to explain: leave it out"
        )
    predicted_VF = ridge_predictions(train, test[0])
    test_VF = in_double(test[1])
    return 1 - (predicted_VF - test_VF).square().mean(dim=0) / test_VF.var(dim=0, unbiased=False)


def ridge_predictions(train: tuple[Tensor, Tensor], others_XD: Tensor) -> Tensor:
    """What a ridge regression that was fitted on `train` says of other videos' features, ``(X, F)``.

    Args:
        train: as of `ridge_regression`.
        others_XD: features ``(X, D)``.
    """
    train_VD, others_XD = _standardised(train[0], others_XD)
    target_VF = in_double(train[1])
    mean_F, std_F = target_VF.mean(dim=0), target_VF.std(dim=0).clamp_min(1e-8)
    train_VF = (target_VF - mean_F) / std_F
    held_V = torch.arange(len(train_VD)) % _FOLDS == 0
    path_SVF = _ridge_path(train_VD[~held_V], train_VF[~held_V], train_VD[held_V])
    best_F = (path_SVF - train_VF[held_V]).square().mean(dim=1).argmin(dim=0)
    path_SXF = _ridge_path(train_VD, train_VF, others_XD)
    return path_SXF[best_F, :, torch.arange(len(best_F))].T * std_F + mean_F


def _ridge_path(features_VD: Tensor, wanted_VF: Tensor, others_XD: Tensor) -> Tensor:
    """Predictions for other videos with each of the strengths, ``(S, X, F)``, of one eigen-decomposition.

    Of the smaller of the two Gram matrices: with more features than videos, the weights are combinations of videos.
    """
    mean_D, mean_F = features_VD.mean(dim=0), wanted_VF.mean(dim=0)
    features_VD, others_XD, wanted_VF = features_VD - mean_D, others_XD - mean_D, wanted_VF - mean_F
    if features_VD.shape[1] <= len(features_VD):
        values, vectors = torch.linalg.eigh(features_VD.T @ features_VD)
        left, right = others_XD @ vectors, vectors.T @ (features_VD.T @ wanted_VF)
    else:
        values, vectors = torch.linalg.eigh(features_VD @ features_VD.T)
        left, right = others_XD @ (features_VD.T @ vectors), vectors.T @ wanted_VF
    strengths = [strength * len(features_VD) / 100 for strength in _STRENGTHS]
    return torch.stack([left @ (right / (values + s).unsqueeze(-1)) + mean_F for s in strengths])


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both parts in double precision, shifted and scaled by the training split's mean and deviation."""
    train, test = in_double(train), in_double(test)
    mean, std = train.mean(dim=0), train.std(dim=0).clamp_min(1e-8)
    return (train - mean) / std, (test - mean) / std


def _held_out(features_VD: Tensor, wanted_VF: Tensor, strength: float) -> Tensor:
    """Predictions of every row by a fit on the other folds."""
    fold_V = torch.arange(len(features_VD)) % _FOLDS
    predicted_VF = torch.empty_like(wanted_VF)
    for number in range(_FOLDS):
        fit, rest = fold_V != number, fold_V == number
        predicted_VF[rest] = _predict(_fit(features_VD[fit], wanted_VF[fit], strength), features_VD[rest])
    return predicted_VF


def _fit(features_VD: Tensor, wanted_VF: Tensor, strength: float) -> Tensor:
    features_VD = _with_constant(features_VD)
    penalty = strength * len(features_VD) / 100 * torch.eye(features_VD.shape[1]).to(features_VD)
    return torch.linalg.solve(features_VD.T @ features_VD + penalty, features_VD.T @ wanted_VF)


def _predict(weights_DF: Tensor, features_VD: Tensor) -> Tensor:
    return _with_constant(features_VD) @ weights_DF


def _with_constant(features_VD: Tensor) -> Tensor:
    return torch.cat([features_VD, torch.ones(len(features_VD), 1, dtype=features_VD.dtype)], dim=1)
