"""Linear probes that read classes and numbers from frozen features.

Ridge regressions are solved in closed form: they have no learning rate, no epochs and no random seed. The
strength of a penalty is chosen by cross-validation inside the training split, and the test split is used
once.

Every class weighs the same in a fit, however many videos it has, because the accuracy is balanced: without
weights, a strong penalty makes all videos those of the largest class, so weak penalties win that fit noise.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.double_precision import in_double
from vjepa.evaluation.probes.folds import FOLDS, random_folds

STRENGTHS = tuple(10.0**power for power in range(-3, 5))  # penalties, for features of unit variance
_PENALTIES = (0.01, 0.1, 1.0)  # inverse strengths, scikit-learn's C


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
    # Imported here, because scikit-learn takes a second, which commands without it are spared.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    model = LogisticRegression(max_iter=300, class_weight="balanced")
    folds = min(FOLDS, int(train[1].bincount().min()) // 2)
    if folds >= 2:
        strata = StratifiedKFold(folds)
        model = GridSearchCV(model, {"C": _PENALTIES}, cv=strata, scoring="balanced_accuracy")
    with warnings.catch_warnings():
        # Weak penalties on few videos may not converge; they lose in validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_VD, labels_V)
    return balanced_accuracy(torch.from_numpy(model.predict(test_VD)), test[1])


def ridge_probe(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], fold_V: Tensor | None = None
) -> float:
    """Fit a ridge classifier on `train`, and return its balanced accuracy on `test`.

    Features are standardised with the training split's mean and standard deviation. The penalty is the one
    that validates best over the folds.

    Args:
        train: Features ``(V, D)`` and int64 classes ``(V,)`` to fit on.
        test: Features and classes to measure on.
        fold_V: Fold of each training video, int64 from 0; -1 for one that is never held back, see
            `vjepa.evaluation.probes.folds`. None, or no fold at all, divides each class by chance.

    Raises:
        ValueError: A video has no class (-1).
    """
    check_labelled(train, test)
    features_VD, labels_V = train
    if fold_V is None or bool((fold_V < 0).all()):
        fold_V = random_folds(len(features_VD), labels_V)
    held_sV = torch.full((len(STRENGTHS), len(features_VD)), -1)
    for fold in fold_V[fold_V >= 0].unique():
        kept_V, rest_V = fold_V != fold, fold_V == fold
        held_sV[:, rest_V] = ridge_classes((features_VD[kept_V], labels_V[kept_V]), features_VD[rest_V])
    validated_V = fold_V >= 0
    accuracies = [balanced_accuracy(held_V[validated_V], labels_V[validated_V]) for held_V in held_sV]
    best = accuracies.index(max(accuracies))
    return balanced_accuracy(ridge_classes(train, test[0])[best], test[1])


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
    held_V = random_folds(len(train_VD)) == 0
    path_sVQ = ridge_path(train_VD[~held_V], train_VQ[~held_V], train_VD[held_V])
    best_Q = (path_sVQ - train_VQ[held_V]).square().mean(dim=1).argmin(dim=0)
    path_sBQ = ridge_path(train_VD, train_VQ, others_BD)
    return path_sBQ[best_Q, :, torch.arange(len(best_Q))].T * std_Q + mean_Q


def ridge_class_scores(train: tuple[Tensor, Tensor], others_BD: Tensor) -> Tensor:
    """Fit a ridge classifier with each penalty of `STRENGTHS`, and return its scores, ``(s, B, X)``.

    A ridge regression predicts 1 for the class of a video and 0 for the others; the highest score is the
    class. Features are standardised with the mean and standard deviation of `train`, and each class weighs
    the same.

    Args:
        train: Features ``(V, D)`` and int64 classes ``(V,)`` to fit on.
        others_BD: Features of the videos to classify.
    """
    train_VD, others_BD = _standardised(train[0], others_BD)
    labels_V = train[1].to(train_VD.device)
    return ridge_path(train_VD, in_double(F.one_hot(labels_V)), others_BD, class_weights(labels_V))


def ridge_classes(train: tuple[Tensor, Tensor], others_BD: Tensor) -> Tensor:
    """Return the class of each other video by each penalty of `STRENGTHS`, int64 ``(s, B)``.

    For the fit and its arguments see `ridge_class_scores`.
    """
    return ridge_class_scores(train, others_BD).argmax(dim=2)


def class_weights(labels_V: Tensor) -> Tensor:
    """Return the weight of each video, in double precision, with which all classes weigh the same.

    The mean weight is 1, and classes of equal size give 1 for every video.

    Args:
        labels_V: Class index of each video, int64.
    """
    counts = labels_V.bincount()
    return in_double(len(labels_V) / ((counts > 0).sum() * counts[labels_V]))


def ridge_path(
    features_VD: Tensor, wanted_VQ: Tensor, others_BD: Tensor, weight_V: Tensor | None = None
) -> Tensor:
    """Predict for other features with each penalty of `STRENGTHS`, ``(s, B, Q)``, by one eigendecomposition.

    The smaller of the two Gram matrices is decomposed: with more features than videos, the weights are
    combinations of videos.

    Args:
        features_VD: Standardised features to fit on, in double precision.
        wanted_VQ: Targets to fit on.
        others_BD: Standardised features to predict from.
        weight_V: Weight of each video's squared error, with a mean of 1; None weighs all videos the same.
    """
    weight_V1 = torch.ones_like(features_VD[:, :1]) if weight_V is None else weight_V.unsqueeze(1)
    mean_D, mean_Q = ((weight_V1 * each).mean(dim=0) for each in (features_VD, wanted_VQ))
    others_BD = others_BD - mean_D
    features_VD, wanted_VQ = (weight_V1.sqrt() * each for each in (features_VD - mean_D, wanted_VQ - mean_Q))
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
