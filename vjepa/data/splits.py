"""Splits of labelled videos that share nothing: splits by group, leaks between splits, few labels."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from vjepa.data.manifest import Video, class_names

_BEGINNING = 1 << 16  # bytes that tell most videos of equal size apart


def split_by_group(
    videos: Sequence[Video], share: float, seed: int, setting: str = "share"
) -> tuple[list[Video], list[Video]]:
    """Two parts, the second with about `share` of the videos: no group is in both, and classes are spread alike.

    Videos without a group are one where they are of one file or of equal content, else each is a group of its own. Groups
    are never cut, so with few of them the splits are rough.

    Args:
        videos: with labels.
        share: of the second split.
        seed: the splits are the same for the same seed and videos.
        setting: what messages call the share.

    Raises:
        ValueError: a share outside (0, 1), or a class with videos of one group alone, which would be missing in a split.
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
            f"holding back {share:.0%} by whole groups leaves no video of {', '.join(sorted(missing)[:5])}: give a smaller "
            f"{setting}, or a split of your own"
        )
    return [videos[row] for row in rest], [videos[row] for row in held]


def _nearest_fold(
    labels: Sequence[str], groups: Sequence[str], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the rest and of the fold whose size is nearest to `share`, of those that lose the fewest classes."""
    # scikit-learn cuts no more folds than its largest class has videos, and warns of smaller ones.
    folds = min(max(round(1 / share), 2), len(set(groups)), max(Counter(labels).values()))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pairs = list(splitter.split(np.zeros(len(labels)), labels, groups))

    def cost(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[int, float]:
        lost = sum(len(set(labels) - {labels[row] for row in rows}) for rows in pair)
        return lost, abs(len(pair[1]) / len(labels) - share)

    return min(pairs, key=cost)


def _groups(videos: Sequence[Video]) -> list[str]:
    """Names of the groups; of videos without one the number of the first of equal content, after a zero that no name has."""
    contents = _contents(video.path for video in videos)
    first: dict[object, int] = {}
    rows = [first.setdefault(contents[os.path.realpath(video.path)], row) for row, video in enumerate(videos)]
    return [video.group or f"\0{row}" for row, video in zip(rows, videos, strict=True)]


def _check_groups(labels: Sequence[str], groups: Sequence[str], setting: str) -> None:
    of_class = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        of_class[label].add(group)
    alone = sorted(label for label, names in of_class.items() if len(names) < 2)
    if alone:
        raise ValueError(
            f"all videos of {', '.join(alone[:5])} are of one group: with {setting} they cannot be in two splits that share no "
            "group; give a split of your own (data.val, data.test), or data.test_share 0 to test nothing"
        )


def check_leaks(splits: Mapping[str, Sequence[Video]]) -> None:
    """ValueError where two splits share a group, a file whose ranges overlap, or a file's content.

    Contents are compared where sizes in bytes are equal. Folders of frames are compared by name alone.

    Args:
        splits: videos by the name of their split.
    """
    names = list(splits)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            _check_pair((first, splits[first]), (second, splits[second]))


def _check_pair(first: tuple[str, Sequence[Video]], second: tuple[str, Sequence[Video]]) -> None:
    shared = _shared_groups(first[1], second[1])
    if shared:
        raise ValueError(
            f"{first[0]} and {second[0]} share {len(shared)} groups, e.g. {shared[0]}: what belongs together must be in one "
            "split, or the test tells how well it is remembered; split by group"
        )
    pair = _shared_files(first[1], second[1]) or _shared_contents(first[1], second[1])
    if pair:
        raise ValueError(
            f"{first[0]} and {second[0]} share what {pair[0]} and {pair[1]} show: the same file or the same content; "
            "leave it out of one split"
        )


def _shared_groups(first: Sequence[Video], second: Sequence[Video]) -> list[str]:
    return sorted({v.group for v in first if v.group} & {v.group for v in second if v.group})


def _shared_files(first: Sequence[Video], second: Sequence[Video]) -> tuple[str, str] | None:
    by_file = defaultdict(list)
    for video in first:
        by_file[os.path.realpath(video.path)].append(video)
    for video in second:
        for other in by_file.get(os.path.realpath(video.path), ()):
            if _overlap(video, other):
                return other.path, video.path
    return None


def _overlap(video: Video, other: Video) -> bool:
    endless = float("inf")
    return (video.start or 0) < (other.end or endless) and (other.start or 0) < (video.end or endless)


def _shared_contents(first: Sequence[Video], second: Sequence[Video]) -> tuple[str, str] | None:
    """Two files of equal bytes, one of each split."""
    contents = _contents(video.path for video in (*first, *second))
    known = {contents[os.path.realpath(video.path)]: video.path for video in first}
    for video in second:
        same = known.get(contents[os.path.realpath(video.path)])
        # One file in both splits, with ranges that do not overlap, is no copy.
        if same is not None and os.path.realpath(same) != os.path.realpath(video.path):
            return same, video.path
    return None


def _contents(paths: Iterable[str]) -> dict[str, tuple[object, ...]]:
    """By real path a key that files share where their bytes are equal; what is no file has one of its own.

    No more is read than tells the files apart: of files of equal size the beginning, of equal beginnings all.
    """
    keys: dict[str, tuple[object, ...]] = {}
    for path in dict.fromkeys(map(os.path.realpath, paths)):
        keys[path] = (os.path.getsize(path),) if os.path.isfile(path) else (path,)
    for most in (_BEGINNING, None):
        counts = Counter(keys.values())
        keys = {path: key if counts[key] == 1 else (*key, _digest(path, most)) for path, key in keys.items()}
    return keys


def _digest(path: str, most: int | None) -> str:
    """Of the first `most` bytes, or of all; of a file that cannot be read its path: training counts it as unreadable."""
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256") if most is None else hashlib.sha256(file.read(most))
    except OSError:
        return path
    return digest.hexdigest()


def take_labels(videos: Sequence[Video], share: float, seed: int) -> list[Video]:
    """A share of the videos of every class, at least one; for one seed, smaller shares lie in larger ones."""
    numbers = {name: number for number, name in enumerate(class_names(videos))}
    labels_V = torch.tensor([numbers[video.label or ""] for video in videos])
    return [videos[row] for row in label_subset(labels_V, share, seed).tolist()]


def label_subset(labels_V: Tensor, share: float, seed: int) -> Tensor:
    """Rows of a stratified part of the labels, ascending: int64.

    Every class gives its share of videos, rounded up, so at least one. For one seed the splits are nested: 1 % lies
    in 5 %.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a share of the labels in (0, 1]")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels_V.unique().tolist():
        rows = (labels_V == label).nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[: math.ceil(share * len(rows))]])
    return torch.cat(chosen).sort().values
