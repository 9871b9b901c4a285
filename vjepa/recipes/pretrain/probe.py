"""Probes of frozen encoders on the labelled videos of a run.

The ridge probe at the end of a run, of the trained encoder and of the same encoder untrained.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vjepa.choices import Precision
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video
from vjepa.data.splits import check_leaks
from vjepa.evaluation.features.extract import LeftOut, extract_features, probe_classes
from vjepa.evaluation.probes.folds import group_folds
from vjepa.evaluation.probes.linear import ridge_probe
from vjepa.evaluation.untrained import untrained_copy
from vjepa.models.network import set_precision
from vjepa.models.video_model import VideoModel
from vjepa.recipes.pretrain import data
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.training.unreadable import leave_out
from vjepa.weights.model_folder import from_pretrained

Probes = dict[str, dict[str, float]]


def probed_lists(config: PretrainConfig) -> dict[str, Sequence[Video]]:
    """Return the lists of labelled videos for the probe, by the name of their setting.

    The result is empty if the configuration has no probe.

    Raises:
        ValueError: The lists cannot be used.
    """
    splits = data.probe_sources(config)
    if splits is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The probe itself will warn.
        probe_classes(*splits)
    lists = dict(zip(("probe.train", "probe.test"), splits, strict=True))
    if config.data.synthetic is None:
        check_leaks(lists)
    return lists


def probe_encoders(
    config: PretrainConfig,
    model: Path,
    device: torch.device,
    precision: Precision = "no",
    say: Callable[[str], None] = print,
) -> tuple[Probes, dict[str, int]]:
    """Measure the balanced accuracy of a ridge probe on the trained and on the untrained encoder.

    Args:
        config: Configuration of the run.
        model: Model folder of the run.
        device: Device on which to encode.
        precision: Precision in which to encode.
        say: Prints a line.

    Returns:
        The accuracies in [0, 1], ``{"linear": {"trained": ..., "random": ..., "chance": ...}}``, and the
        number of unreadable videos in each list that has any, which are left out. Both are empty if the
        configuration has no probe.

    Raises:
        UnreadableVideosError: More videos of a list are unreadable than `data.max_unreadable` allows.
    """
    lists = probed_lists(config)
    if not lists:
        return {}, {}
    classes, known = probe_classes(lists["probe.train"], lists["probe.test"])
    clips = {name: data.probe_dataset(config, videos, classes) for name, videos in lists.items()}
    trained = from_pretrained(model)
    set_precision(trained, precision)
    num_workers = config.data.num_workers
    found, unreadable = pooled_features(trained.to(device), clips, num_workers)
    untrained = untrained_copy(trained, config.seed)
    for name, causes in unreadable.items():
        leave_out(name, len(lists[name]), causes, config.data.max_unreadable, say)
    left_out = unreadable["probe.train"]
    fold_V = group_folds([video for row, video in enumerate(lists["probe.train"]) if row not in left_out])
    without, _ = pooled_features(untrained, clips, num_workers)
    metrics = {
        "trained": ridge_probe(found[0], found[1], fold_V),
        "random": ridge_probe(without[0], without[1], fold_V),
        "chance": 1 / known,
    }
    return {"linear": metrics}, {name: len(causes) for name, causes in unreadable.items() if causes}


def pooled_features(
    model: VideoModel, clips: dict[str, ClipDataset], num_workers: int
) -> tuple[list[tuple[Tensor, Tensor]], dict[str, LeftOut]]:
    """Return the features and classes of each list, and the rows of each list that are left out."""
    device = next(model.parameters()).device
    unreadable: dict[str, LeftOut] = {name: {} for name in clips}

    def encode(video_BTCHW: Tensor) -> Tensor:
        return model.encode(video_BTCHW).mean(dim=1)

    found = [
        extract_features(encode, split, device=device, num_workers=num_workers, left_out=unreadable[name])
        for name, split in clips.items()
    ]
    return found, unreadable
