"""Read-outs of classes from the best level of an encoder, chosen by cross-validation in the training split.

What a method learns does not always lie in the last block: for predicted embeddings it is often in the
middle. So each read-out may take any level, by the same rule for every encoder. The choice sees the training
split alone, whose groups are never divided between fitting and validation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vjepa.evaluation.probes.knn import knn_classes
from vjepa.evaluation.probes.linear import balanced_accuracy, check_labelled, ridge_classes

_TOGETHER = (2, 4)  # numbers of last blocks that are also read together


class ReadOut(NamedTuple):
    """Classes that a read-out gives the test videos.

    Attributes:
        classes_V: Class index of each test video.
        level: Name of the chosen level, such as ``block 3`` or ``mean of the last 2``.
    """

    classes_V: Tensor
    level: str


def level_features(pooled_VLD: Tensor) -> dict[str, Tensor]:
    """Return the features of each level that a read-out may choose, ``(V, D)`` or wider, by name.

    Levels are the single blocks, from the last to the first, then the last two and the last four blocks, side
    by side and averaged.

    Args:
        pooled_VLD: Features of each video after each block, the last block's at the end.
    """
    depth = pooled_VLD.shape[1]
    levels = {f"block {number}": pooled_VLD[:, number - 1] for number in range(depth, 0, -1)}
    for count in _TOGETHER:
        if count <= depth:
            levels[f"last {count} side by side"] = pooled_VLD[:, -count:].flatten(1)
            levels[f"mean of the last {count}"] = pooled_VLD[:, -count:].mean(dim=1)
    return levels


def ridge_read_out(train_VLD: Tensor, labels_V: Tensor, fold_V: Tensor, test_VLD: Tensor) -> ReadOut:
    """Classify test videos by ridge regression, with the level and the penalty that validate best.

    Args:
        train_VLD: Features of the training videos after each block.
        labels_V: Class index of each training video.
        fold_V: Fold of each training video, int64 from 0, without a group in two folds; -1 for a video that
            takes no part in the validation. Without folds, the last block and the weakest penalty are
            taken.
        test_VLD: Features of the test videos after each block.

    Raises:
        ValueError: A training video has no class (-1).
    """
    return _best(train_VLD, labels_V, fold_V, test_VLD, ridge_classes)


def knn_read_out(train_VLD: Tensor, labels_V: Tensor, fold_V: Tensor, test_VLD: Tensor) -> ReadOut:
    """Classify test videos by their nearest training videos, at the level that validates best.

    For arguments and errors see `ridge_read_out`.
    """
    return _best(
        train_VLD, labels_V, fold_V, test_VLD, lambda train, others_BD: knn_classes(train, others_BD)[None]
    )


def _best(
    train_VLD: Tensor,
    labels_V: Tensor,
    fold_V: Tensor,
    test_VLD: Tensor,
    classify: Callable[[tuple[Tensor, Tensor], Tensor], Tensor],
) -> ReadOut:
    """Classify with the best level and setting; of equal ones, the first (the last block comes first).

    `classify` returns the classes by each setting of the read-out, ``(s, B)``.
    """
    check_labelled((train_VLD, labels_V))
    train, test = level_features(train_VLD), level_features(test_VLD)
    level, setting, highest = next(iter(train)), 0, -1.0
    for name, features_VD in train.items():
        for number, accuracy in enumerate(_validated(features_VD, labels_V, fold_V, classify)):
            if accuracy > highest:
                level, setting, highest = name, number, accuracy
    return ReadOut(classify((train[level], labels_V), test[level])[setting], level)


def _validated(
    features_VD: Tensor,
    labels_V: Tensor,
    fold_V: Tensor,
    classify: Callable[[tuple[Tensor, Tensor], Tensor], Tensor],
) -> list[float]:
    """Return the balanced accuracy of each setting, every video classified by a fit on the other folds."""
    pairs = [((fold_V >= 0) & (fold_V != fold), fold_V == fold) for fold in fold_V[fold_V >= 0].unique()]
    if not pairs or min(int(kept_V.sum()) for kept_V, _ in pairs) < 2:  # Too little is left to fit to.
        return []
    found = [
        classify((features_VD[kept_V], labels_V[kept_V]), features_VD[held_V]) for kept_V, held_V in pairs
    ]
    true_V = torch.cat([labels_V[held_V] for _, held_V in pairs])
    return [balanced_accuracy(classes_V, true_V) for classes_V in torch.cat(found, dim=1)]
