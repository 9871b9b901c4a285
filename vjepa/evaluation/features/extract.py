"""Extraction of frozen features of labelled videos."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset, Sample
from vjepa.data.manifest import Video, class_names
from vjepa.data.processor import warn_of_damage
from vjepa.data.sampling import SampleKey
from vjepa.workers import Loader

LeftOut = dict[int, tuple[str, str]]
"""Rows of a list that are left out of its metrics: path and cause of failure by row number."""


def probe_classes(
    train: Sequence[Video], test: Sequence[Video], names: tuple[str, str] = ("probe.train", "probe.test")
) -> tuple[list[str], int]:
    """Return the classes of the training and the test split of a probe.

    A warning names the test classes that the training split lacks: their videos count as missed.

    Args:
        train: Labelled training videos.
        test: Labelled test videos, none of them a training video.
        names: What to call the two lists in messages.

    Returns:
        Names of all classes, those of the training split first, and the number of classes of the training
        split.

    Raises:
        ValueError: A video has no label, a video is in both splits, or no test class is a training class.
    """
    for name, videos in zip(names, (train, test), strict=True):
        unlabelled = [video.path for video in videos if video.label is None]
        if unlabelled:
            raise ValueError(
                f"{len(unlabelled)} videos of {name} have no label, e.g. {unlabelled[0]}: a probe needs "
                "labels"
            )
    shared = {video.path for video in train} & {video.path for video in test}
    if shared:
        raise ValueError(f"{len(shared)} videos are in both {names[0]} and {names[1]}, e.g. {min(shared)}")
    classes, tested = class_names(train), class_names(test)
    unseen = [name for name in tested if name not in set(classes)]
    if unseen and len(unseen) == len(tested):
        raise ValueError(
            f"{names[1]} has the classes {', '.join(unseen[:10])}, none of which {names[0]} has: it has "
            f"{', '.join(classes[:10])}; write them alike in both"
        )
    if unseen:
        missed = sum(video.label in unseen for video in test)
        warnings.warn(
            f"{missed} videos of {names[1]} are of {len(unseen)} classes that {names[0]} lacks, and count "
            f"as missed: {', '.join(unseen[:10])}",
            stacklevel=2,
        )
    return [*classes, *unseen], len(classes)


def pool_steps(tokens_BND: Tensor, steps: int) -> Tensor:
    """Average the tokens of each time step: ``(B, N, D) -> (B, t, D)``."""
    return tokens_BND.unflatten(1, (steps, -1)).mean(dim=2)


def spread_rows(count: int, most: int = 1024) -> list[int]:
    """Choose at most `most` of `count` rows, evenly spread from the first to the last."""
    return torch.linspace(0, count - 1, min(most, count)).long().unique().tolist()


@torch.no_grad()
def extract_features(
    encode: Callable[[Tensor], Tensor],
    dataset: ClipDataset,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    num_workers: int = 0,
    rows: Sequence[int] | None = None,
    average: bool = True,
    left_out: LeftOut | None = None,
) -> tuple[Tensor, Tensor]:
    """Extract features of all clips of a dataset.

    An unreadable video is an error unless `left_out` is given, because metrics over different videos cannot
    be compared.

    Args:
        encode: Function that maps uint8 clips ``(B, T, C, H, W)`` on the device to their features: one vector
            ``(B, D)``, a vector for each time step ``(B, t, D)``, or all tokens ``(B, N, D)``.
        dataset: Videos with evenly spread clips.
        device: Device of the encoder.
        batch_size: Number of videos that are encoded together.
        num_workers: Number of processes that decode videos; 0 decodes in this process.
        rows: Rows of the dataset to extract; None takes all.
        average: Whether features are averaged over the clips of a video; if not, they keep the axis of the
            clips, ``(V, R, ...)``.
        left_out: Receives the rows that cannot be read; only the other rows are returned. None makes an
            unreadable video an error.

    Returns:
        Features ``(V, ...)`` and int64 classes ``(V,)``, on the CPU.

    Raises:
        ValueError: A video cannot be read and `left_out` is None, or no video can be read.
    """
    rows = range(len(dataset)) if rows is None else rows
    keys = [SampleKey(serial=row, index=row, step=0) for row in rows]
    unreadable: LeftOut = {}
    found = feature_batches(
        encode, dataset, keys, unreadable, device=device, batch_size=batch_size, num_workers=num_workers
    )
    features, labels = zip(*found, strict=True)
    if unreadable and left_out is None:
        row, (path, cause) = next(iter(unreadable.items()))
        raise ValueError(
            f"{path} (row {row + 1} of {len(dataset)}) cannot be read ({cause}): leave it out of the list "
            "that is measured; vjepa validate writes one without it"
        )
    if left_out is not None:
        left_out |= unreadable
    kept = torch.tensor([row not in unreadable for row in rows])
    if not kept.any():
        raise ValueError(
            f"none of the {len(kept)} videos can be read, the first because: {unreadable[rows[0]][1]}"
        )
    feature_VR = torch.cat(features)[kept]
    return feature_VR.mean(dim=1) if average else feature_VR, torch.cat(labels)[kept]


@torch.no_grad()
def feature_batches(
    encode: Callable[[Tensor], Tensor],
    dataset: ClipDataset,
    keys: Sequence[SampleKey],
    left_out: LeftOut,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    num_workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of the features of every clip ``(B, R, ...)`` and the classes ``(B,)``, on the CPU.

    `keys` are the samples to extract. A video that cannot be read is replaced by another one, and `left_out`
    receives its row. For the other arguments see `extract_features`.
    """
    batches = [list(keys[first : first + batch_size]) for first in range(0, len(keys), batch_size)]
    loader: Loader[tuple[Tensor, Tensor, LeftOut]] = Loader(
        dataset, num_workers=num_workers, batch_sampler=batches, collate_fn=stack_samples
    )
    for video_BRTCHW, label_B, unreadable in loader:
        left_out |= unreadable
        features = encode(video_BRTCHW.flatten(0, 1).to(device)).float().cpu()
        yield features.unflatten(0, video_BRTCHW.shape[:2]), label_B


def stack_samples(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, LeftOut]:
    """Stack samples: return clips ``(B, R, T, C, H, W)``, classes ``(B,)`` and the rows that cannot be read.

    The clips of an unreadable row come from another video. Damaged videos are used as far as they can be
    read, with a warning.
    """
    for path, damage in (found for sample in samples for found in sample.damaged):
        warn_of_damage(path, damage)
    unreadable = {sample.key.index: sample.failures[0] for sample in samples if sample.failures}
    labels_B = torch.tensor([sample.label for sample in samples])
    return torch.stack([sample.video_RTCHW for sample in samples]), labels_B, unreadable
