"""Folds for cross-validation inside the training split of a probe.

Folds are drawn by chance and not by row number: lists are sorted by class, or name the classes in turn, and
the columns of a token grid come in turn, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from vjepa.data.manifest import Video
from vjepa.data.splits import folds_by_group

FOLDS = 5


def random_folds(number: int, labels_V: Tensor | None = None) -> Tensor:
    """Divide videos into folds by chance, the same for the same arguments, int64 ``(V,)`` in [0, 5).

    Args:
        number: Number of videos.
        labels_V: Class index of each video, to spread each class evenly over the folds. None knows no
            classes.
    """
    order_V = torch.randperm(number, generator=torch.Generator().manual_seed(0))
    if labels_V is not None:
        order_V = order_V[labels_V.cpu()[order_V].argsort(stable=True)]
    fold_V = torch.empty(number, dtype=torch.long)
    fold_V[order_V] = torch.arange(number) % FOLDS
    return fold_V


def group_folds(videos: Sequence[Video]) -> Tensor:
    """Divide labelled videos into folds without a common group, int64 ``(V,)``; see `folds_by_group`.

    Videos of classes with a single group get -1: they can be fitted to, but not held back. All get -1 if
    fewer than two classes have more groups, as with one label of each class.
    """
    fold_V = torch.full((len(videos),), -1)
    groups = defaultdict(set)
    for video in videos:
        groups[video.label].add(video.group or video.path)
    if sum(len(names) > 1 for names in groups.values()) < 2:
        return fold_V
    for number, rows in enumerate(folds_by_group(videos, FOLDS, 0, "train")):
        fold_V[rows] = number
    return fold_V
