"""Splits of labelled videos: splits and folds by group, checks for leaks, subsets of the labels."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.manifest import Video, class_names
from vjepa.data.python_datasets import is_item
from vjepa.data.remote import source_of

_FOLDS = 20  # of which a share is held back that is not near that of a single fold
_NEAR = 0.02
_BEGINNING = 1 << 16  # Bytes read first; they distinguish most videos of equal size.


def split_by_group(
    videos: Sequence[Video], share: float, seed: int, setting: str = "share"
) -> tuple[list[Video], list[Video]]:
    """Divide videos into two splits without a common group, the second with about `share` of the videos.

    The splits are stratified by class. A video without a group is of the group of a video with the same file
    or equal content; if none of these has a group, they form one. Groups are never divided, so with few
    groups the shares are approximate.

    Args:
        videos: Labelled videos.
        share: Share of the videos in the second split, in (0, 1).
        seed: Random seed; the same seed and videos give the same splits.
        setting: Name of the share in error messages.

    Returns:
        The videos of the first and of the second split, each in the given order.

    Raises:
        ValueError: `share` is outside (0, 1), all videos of a class are of one group, or a class would be
            missing from the first split.
    """
    if not 0 < share < 1:
        raise ValueError(f"{setting} is {share}: give a share of the videos in (0, 1)")
    groups = _groups(videos)
    labels = [video.label or "" for video in videos]
    _check_groups(labels, groups, f"{setting} {share}")
    rest, held = _nearest_fold(labels, groups, share, seed)
    missing = set(labels) - {labels[row] for row in rest}
    if missing:
        raise ValueError(
            f"holding back {share:.0%} by whole groups leaves no video of {', '.join(sorted(missing)[:5])}: "
            f"give a smaller {setting}, or a split of your own"
        )
    return [videos[row] for row in rest], [videos[row] for row in held]


def _nearest_fold(
    labels: Sequence[str], groups: Sequence[str], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows outside and inside the best fold.

    It is the one that leaves the fewest classes out on either side and, among these, is nearest to `share` in
    size.
    """
    folds = max(round(1 / share), 2)
    if abs(1 / folds - share) <= _NEAR:
        pairs = _stratified(labels, groups, folds, seed)
    else:
        pairs = _joined(_stratified(labels, groups, _FOLDS, seed), share)

    def cost(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[int, float]:
        lost = sum(len(set(labels) - {labels[row] for row in rows}) for rows in pair)
        return lost, abs(len(pair[1]) / len(labels) - share)

    return min(pairs, key=cost)


def _joined(
    pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], share: float
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows outside and inside a share of the folds, which are taken as a ring, from each on."""
    inside = [held for _, held in pairs]
    count = min(max(round(share * len(inside)), 1), len(inside) - 1)
    every = np.sort(np.concatenate(inside))
    held = [
        np.sort(np.concatenate([inside[(first + n) % len(inside)] for n in range(count)]))
        for first in range(len(inside))
    ]
    return [(np.setdiff1d(every, rows), rows) for rows in held]


def _stratified(
    labels: Sequence[str], groups: Sequence[str], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows outside and inside each fold; there may be fewer folds than asked for."""
    # scikit-learn allows no more folds than the largest class has videos, and warns of smaller classes.
    folds = min(folds, len(set(groups)), max(Counter(labels).values()))
    # Imported here, because scikit-learn takes a second, which commands without it are spared.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(np.zeros(len(labels)), labels, groups))


def folds_by_group(videos: Sequence[Video], folds: int, seed: int, setting: str) -> list[list[int]]:
    """Divide videos into folds without a common group, for cross-validation.

    The folds are stratified by class, and groups are those of `split_by_group`. A class whose
    videos are all of one group is in no fold, since it could not be held back and learnt at the same time.

    Args:
        videos: Labelled videos.
        folds: Number of folds; with few groups, or few videos of each class, there are fewer.
        seed: Random seed; the same seed and videos give the same folds.
        setting: Name of the videos in error messages.

    Returns:
        Rows of the videos in each fold, ascending; no fold is empty.

    Raises:
        ValueError: Fewer than two classes have videos of two or more groups.
    """
    groups = _groups(videos)
    labels = [video.label or "" for video in videos]
    alone = set(_of_one_group(labels, groups))
    rows = [row for row, label in enumerate(labels) if label not in alone]
    if len(set(labels) - alone) < 2:
        raise ValueError(
            f"{setting} has {len(set(labels))} classes, of which {len(alone)} have videos of one group "
            "alone: two or more classes need videos of two or more groups each, so that some can be held back"
        )
    pairs = _stratified([labels[row] for row in rows], [groups[row] for row in rows], folds, seed)
    return [[rows[number] for number in held] for _, held in pairs if len(held)]


def _groups(videos: Sequence[Video]) -> list[str]:
    """Return the group of each video.

    Without one, it is the first group of a video with equal content, or else a name made of the first row
    with equal content. These names begin with a zero byte, which no group of a manifest contains.
    """
    contents = _contents(video.path for video in videos)
    keys = [contents[_place(video.path)] for video in videos]
    of_content: dict[object, str] = {}
    for key, video in zip(keys, videos, strict=True):
        if video.group:
            of_content.setdefault(key, video.group)
    for row, key in enumerate(keys):
        of_content.setdefault(key, f"\0{row}")
    return [video.group or of_content[key] for key, video in zip(keys, videos, strict=True)]


def _check_groups(labels: Sequence[str], groups: Sequence[str], setting: str) -> None:
    alone = _of_one_group(labels, groups)
    if alone:
        raise ValueError(
            f"all videos of {', '.join(alone[:5])} are of one group: with {setting} they cannot be in two "
            "splits that share no group; give a split of your own (data.val, data.test), or "
            "data.test_share 0 to test nothing"
        )


def _of_one_group(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the classes whose videos are all of one group, sorted."""
    of_class = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        of_class[label].add(group)
    return sorted(label for label, names in of_class.items() if len(names) < 2)


def check_leaks(splits: Mapping[str, Sequence[Video]]) -> None:
    """Raise ValueError if two splits share a group, a file with overlapping time ranges, or a file's content.

    Files are compared by content, folders of frames only by path.

    Args:
        splits: Videos of each split, by the split's name.
    """
    names = list(splits)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            _check_pair((first, splits[first]), (second, splits[second]))


def _check_pair(first: tuple[str, Sequence[Video]], second: tuple[str, Sequence[Video]]) -> None:
    shared = _shared_groups(first[1], second[1])
    if shared:
        raise ValueError(
            f"{first[0]} and {second[0]} share {len(shared)} groups, e.g. {shared[0]}: a group must lie in "
            "one split, or the test measures memorisation; split by group"
        )
    pair = _shared_files(first[1], second[1]) or _shared_contents(first[1], second[1])
    if pair:
        raise ValueError(
            f"{first[0]} and {second[0]} share what {pair[0]} and {pair[1]} show: the same file or the same "
            "content; leave it out of one split"
        )


def _shared_groups(first: Sequence[Video], second: Sequence[Video]) -> list[str]:
    return sorted({v.group for v in first if v.group} & {v.group for v in second if v.group})


def _shared_files(first: Sequence[Video], second: Sequence[Video]) -> tuple[str, str] | None:
    by_file = defaultdict(list)
    for video in first:
        by_file[_place(video.path)].append(video)
    for video in second:
        for other in by_file.get(_place(video.path), ()):
            if _overlap(video, other):
                return other.path, video.path
    return None


def _overlap(video: Video, other: Video) -> bool:
    endless = float("inf")
    return (video.start or 0) < (other.end or endless) and (other.start or 0) < (video.end or endless)


def _shared_contents(first: Sequence[Video], second: Sequence[Video]) -> tuple[str, str] | None:
    """Return two paths with equal content, one of each split; None if there are none."""
    contents = _contents(video.path for video in (*first, *second))
    known: dict[object, dict[str, str]] = defaultdict(dict)  # of each content the paths, by their places
    for video in first:
        known[contents[_place(video.path)]].setdefault(_place(video.path), video.path)
    for video in second:
        for place, path in known.get(contents[_place(video.path)], {}).items():
            # One file in both splits is no copy: `_shared_files` checks whether its ranges overlap.
            if place != _place(video.path):
                return path, video.path
    return None


def _place(path: str) -> str:
    """Return a name that is equal for equal places: the real path of a local file, else the path itself."""
    return path if source_of(path) or is_item(path) else os.path.realpath(path)


def _contents(paths: Iterable[str]) -> dict[str, tuple[object, ...]]:
    """Map each real path to a key that is equal for files of equal bytes, and unique for what is no file.

    Files are read only as far as needed: the beginning of files of equal size, and all of files of equal
    beginnings.
    """
    keys: dict[str, tuple[object, ...]] = {}
    for path in dict.fromkeys(map(_place, paths)):
        keys[path] = (os.path.getsize(path),) if os.path.isfile(path) else (path,)
    for most in (_BEGINNING, None):
        counts = Counter(keys.values())
        keys = {path: key if counts[key] == 1 else (*key, _digest(path, most)) for path, key in keys.items()}
    return keys


def _digest(path: str, most: int | None) -> str:
    """Hash the first `most` bytes of a file, or all if None.

    The path stands in for a file that cannot be read; training reports such a file as unreadable.
    """
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256") if most is None else hashlib.sha256(file.read(most))
    except OSError:
        return path
    return digest.hexdigest()


def take_labels(videos: Sequence[Video], share: float, seed: int) -> list[Video]:
    """Return a share of each class's videos, in (0, 1] and at least one video; see `label_subset`."""
    numbers = {name: number for number, name in enumerate(class_names(videos))}
    labels_V = torch.tensor([numbers[video.label or ""] for video in videos])
    return [videos[row] for row in label_subset(labels_V, share, seed).tolist()]


def label_subset(labels_V: Tensor, share: float, seed: int) -> Tensor:
    """Draw a stratified subset of labels: its rows, int64, ascending.

    The subset has the same share of each class, rounded up, so at least one video. For one seed the subsets
    are nested: that of 1 % is contained in that of 5 %.

    Args:
        labels_V: Class index of each video.
        share: Share of the labels, in (0, 1].
        seed: Random seed.

    Raises:
        ValueError: `share` is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a share of the labels in (0, 1]")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels_V.unique().tolist():
        rows = (labels_V == label).nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[: math.ceil(Fraction(str(share)) * len(rows))]])
    return torch.cat(chosen).sort().values
