"""Builders of a fine-tuning run: its splits, classifier, datasets and loaders, from its configuration."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vjepa.batch import LabelledBatch
from vjepa.config import OptimConfig, config_tree
from vjepa.data.augment import augment_transform
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import LabelCollator
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, class_names, read_manifest
from vjepa.data.mixup import MixPairs
from vjepa.data.rendered import is_rendered
from vjepa.data.sampling import SampleOrder, StepBatches, step_loader
from vjepa.data.splits import check_leaks, split_by_group, take_labels
from vjepa.data.transforms import SpatialViews
from vjepa.evaluation.features.cache import check_recognisable
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.head_grid import HeadGrid
from vjepa.models.lora import add_lora
from vjepa.models.network import set_execution
from vjepa.models.video_model import VideoModel
from vjepa.recipes.cache import build_cache
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.weights.model_folder import from_pretrained
from vjepa.workers import Loader


class LabelledSplits(NamedTuple):
    """Labelled videos of a run.

    Attributes:
        train: Training videos.
        val: Validation videos, on which the best of several heads is chosen.
        test: Test videos; may be empty. Their labels may be of classes that training lacks.
        classes: Class names of the training split, in the order of their class indices.
    """

    train: Sequence[Video]
    val: Sequence[Video]
    test: Sequence[Video]
    classes: list[str]


def labelled_splits(config: FinetuneConfig) -> LabelledSplits:
    """Read the labelled videos of all splits, and hold back validation and test videos if none are given.

    Raises:
        ValueError: Labels are missing, a split has no class of the training videos, splits share videos, or
            `features` are asked for of a dataset of Python.
    """
    data = config.data
    if data.train is None:
        raise ValueError(
            "data.train is null: give a manifest with labels, or a folder with a folder per class"
        )
    given = {
        name: _read_labelled(source, f"data.{name}")
        for name, source in (("train", data.train), ("val", data.val), ("test", data.test))
        if source is not None
    }
    train, val, test = (given.get(name, []) for name in ("train", "val", "test"))
    if config.features is not None:
        check_recognisable(itertools.chain.from_iterable(given.values()))
    check_leaks({f"data.{name}": videos for name, videos in given.items()})
    classes = class_names(train)
    if len(classes) < 2:
        raise ValueError(f"data.train has the class {', '.join(classes)} alone: give videos of two or more")
    for name, videos in (("val", val), ("test", test)):
        _check_some_known(videos, classes, f"data.{name}")
    if not test and data.test_share:
        train, test = split_by_group(train, data.test_share, data.test_seed, "data.test_share")
        # Without named groups there is nothing to check: the split keeps files of equal content together.
        if any(video.group for video in train):
            check_leaks({"the remaining training videos": train, "those held back by data.test_share": test})
    if config.grid is not None and not val:
        train, val = split_by_group(train, data.val_share, config.seed, "data.val_share")
    if data.label_share < 1:
        train = take_labels(train, data.label_share, data.label_seed)
    return LabelledSplits(train, val, test, classes)


def _check_some_known(videos: Sequence[Video], classes: Sequence[str], name: str) -> None:
    """Raise ValueError if a split has no class of the training videos: its labels are spelt differently.

    A split with only some unknown classes is accepted; their videos count as misclassified.
    """
    labels = {video.label or "" for video in videos}
    if labels and not labels & set(classes):
        raise ValueError(
            f"{name} has the labels {', '.join(sorted(labels)[:10])}, none of which a video of data.train "
            f"has: it has {', '.join(classes[:10])}; write them alike in both"
        )


def _read_labelled(source: str, name: str) -> Sequence[Video]:
    videos = read_manifest(source)
    unlabelled = [video.path for video in videos if video.label is None]
    if unlabelled:
        raise ValueError(
            f"{len(unlabelled)} of {len(videos)} videos of {name} have no label, e.g. {unlabelled[0]}: "
            "give each a label, or leave it out"
        )
    return videos


class Resolved(NamedTuple):
    """Everything that a fine-tuning run is built from, so that each file is read only once.

    Attributes:
        config: Configuration of the run.
        splits: Labelled videos.
        model: Configuration of the pre-trained model that the run starts from.
        clip: Frames of a clip and their spacing, from the run's configuration or else the pre-trained model.
        size: Height and width of a clip in pixels, from the same source.
    """

    config: FinetuneConfig
    splits: LabelledSplits
    model: dict[str, Any]
    clip: ClipSampling
    size: tuple[int, int]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their class indices."""
        return self.splits.classes

    @property
    def channels(self) -> int:
        """Number of channels of a frame."""
        return len(self.model["pixels"]["mean"])


def resolve(config: FinetuneConfig, splits: LabelledSplits) -> tuple[Resolved, VideoModel]:
    """Read the pre-trained model, and take from it the settings that the configuration leaves null.

    Returns:
        Everything that the run is built from, and the pre-trained model.

    Raises:
        ValueError: No model to start from is given; the model does not store its clips and the configuration
            does not give them; such clips cannot be cut into the model's tubelets; or frames that are not RGB
            are to be augmented by RandAugment.
    """
    if config.model.init is None:
        raise ValueError("model.init is null: give the folder of a run or of a model to start from")
    model = from_pretrained(config.model.init, config.model.which)
    clip, size = config.data.clip, config.data.size
    if clip is None or size is None:
        known = model.config.get("clip")
        if known is None:
            raise ValueError(
                f"{config.model.init} does not store which clips it was trained on: give data.clip and "
                "data.size"
            )
        clip = clip or ClipSampling(known["num_frames"], known["fps"], known["stride"])
        size = size or tuple(known["size"])
    height, width = (size, size) if isinstance(size, int) else size
    model.encoder.tubelet.grid_of(clip.num_frames, height, width)
    run = Resolved(config, splits, model.config, clip, (height, width))
    if config.augment.randaugment is not None and run.channels != 3:
        raise ValueError(
            f"augment.randaugment is for red, green and blue, and frames of {config.model.init} have "
            f"{run.channels} channels: leave it out"
        )
    return run, model


def build_classifier(run: Resolved, model: VideoModel) -> Classifier:
    """Build the classifier: the pre-trained encoder with a new head, or with a grid of heads.

    Initial weights are drawn from torch's global generator.
    """
    config, start = run.config, run.config.model
    encoder = VideoEncoder(**{**run.model["encoder"], "drop_path": start.drop_path})
    if start.weights == "trained":
        encoder.load_state_dict(model.encoder.state_dict())
    count = 1 if config.grid is None else len(config.grid.pairs)
    heads = [
        build_head(embed_dim=encoder.embed_dim, num_classes=len(run.classes), **head_arguments(config))
        for _ in range(count)
    ]
    if start.tune != "all":
        encoder.requires_grad_(False)
    if start.tune == "lora":
        add_lora(encoder, start.lora.rank, start.lora.alpha)
    head = heads[0] if config.grid is None else HeadGrid(heads)
    if not token_norm(config):
        # The norm is unused. If it were trainable, distributed processes would wait for its gradient.
        encoder.transformer.norm.requires_grad_(False)
    train = config.train
    set_execution(encoder, activation_checkpointing=train.activation_checkpointing, compiled=train.compile)
    return Classifier(encoder, head, model.normalizer, start.levels, token_norm(config))


def token_norm(config: FinetuneConfig) -> bool:
    """Return whether tokens pass through the encoder's last norm.

    They do not if the whole encoder is trained with a head that has a norm of its own (VideoMAE).
    """
    return config.model.tune != "all" or config.head.kind == "attentive" or bool(config.model.levels)


def head_arguments(config: FinetuneConfig) -> dict[str, Any]:
    """Return the arguments of `build_head` that the head's kind takes, as plain values."""
    head = config.head
    shared = {"kind": head.kind, "dropout": head.dropout, "init_scale": head.init_scale}
    if head.kind == "attentive":
        return {**shared, "depth": head.depth, "queries": head.queries}
    return {**shared, "hidden_dim": head.hidden_dim} if head.kind == "mlp" else shared


def classifier_config(run: Resolved) -> dict[str, Any]:
    """Return the configuration that the model folder of a classifier stores."""
    config, known = run.config, run.model
    return {
        "library": "vjepa",
        "encoder": known["encoder"],
        "pixels": known["pixels"],
        "clip": {
            "num_frames": run.clip.num_frames, "fps": run.clip.fps, "stride": run.clip.stride,
            "size": list(run.size), "whole_frame": True,
        },
        "classes": list(run.classes),
        "head": head_arguments(config),
        "levels": list(config.model.levels),
        "token_norm": token_norm(config),
        "views": {**dataclasses.asdict(config.evaluation), "segments": config.data.segments},
        "rendered": known.get("rendered", False) and is_rendered(str(config.data.train)),
        "training": config_tree(config),
    }  # fmt: skip


def optim_config(config: FinetuneConfig, num_videos: int) -> OptimConfig:
    """Convert epochs to optimiser steps.

    Args:
        config: Configuration of the run. With a grid of heads, `lr` becomes the largest of its learning
            rates.
        num_videos: Number of training videos.
    """
    optim = config.optim
    per_epoch = num_videos / optim.batch_size
    steps = max(round(optim.epochs * per_epoch), 1)
    return OptimConfig(
        steps=steps, batch_size=optim.batch_size, clip_grad=optim.clip_grad, betas=optim.betas,
        lr=optim.lr if config.grid is None else max(config.grid.lr),
        start_lr=optim.start_lr, final_lr=optim.final_lr, lr_shape=optim.lr_shape,
        warmup_steps=min(round(optim.warmup_epochs * per_epoch), steps), weight_decay=optim.weight_decay,
    )  # fmt: skip


def augmented_dataset(run: Resolved, videos: Sequence[Video]) -> ClipDataset:
    """Build the dataset of training clips, which are randomly placed and augmented.

    Each video gives ``repeats * segments`` clips.
    """
    config, augment = run.config, run.config.augment
    transform = augment_transform(
        run.size, augment.scale, augment.ratio, augment.flip, augment.randaugment, augment.erase
    )
    count = config.data.repeats * config.data.segments
    return _dataset(run, videos, dataclasses.replace(run.clip, clips_per_video=count), transform)


def view_dataset(run: Resolved, videos: Sequence[Video], clips: int, crops: int) -> ClipDataset:
    """Build a deterministic dataset of clips spread evenly over each video, each with `crops` crops.

    Labels that are not classes of the training split are removed; metrics take them from the videos.
    """
    known = set(run.classes)
    videos = [video if video.label in known else dataclasses.replace(video, label=None) for video in videos]
    spread = dataclasses.replace(run.clip, clips_per_video=clips)
    return _dataset(run, videos, spread, SpatialViews(run.size, crops), spread=True)


def _dataset(
    run: Resolved,
    videos: Sequence[Video],
    clip: ClipSampling,
    transform: torch.nn.Module,
    spread: bool = False,
) -> ClipDataset:
    data = run.config.data
    return ClipDataset(
        videos, clip, transform, run.config.seed, reader=data.reader, cache=build_cache(data.cache, run.size),
        classes=run.classes, spread=spread, damaged=data.damaged,
        channels=run.channels,
    )  # fmt: skip


def labelled_batches(
    config: FinetuneConfig,
    dataset: Any,
    collate: Any,
    *,
    micro_batch: int,
    rank: int,
    world_size: int,
    first_step: int,
    last_step: int,
    **loader: Any,
) -> Loader[LabelledBatch]:
    """Build the loader of this process's micro-batches from `first_step` to before `last_step`.

    The rows of the dataset are shuffled again in every epoch.

    Args:
        config: Configuration of the run.
        dataset: Dataset of clips or of cached features.
        collate: Collate function of torch's DataLoader.
        micro_batch: Number of videos of one forward pass on one process.
        rank, world_size: Index of this process, from 0, and number of processes.
        first_step, last_step: Optimiser steps to load: ``first_step <= step < last_step``.
        loader: Further arguments of torch's DataLoader.
    """
    sampler = StepBatches(
        SampleOrder([len(dataset)], None, config.seed), batch_size=config.optim.batch_size,
        micro_batch=micro_batch, rank=rank, world_size=world_size, first_step=first_step, last_step=last_step,
    )  # fmt: skip
    return step_loader(dataset, collate, sampler, config.data.num_workers, **loader)


def build_collator(config: FinetuneConfig, num_classes: int) -> LabelCollator:
    """Build the collator that stacks clips, and mixes them if mixup or cutmix is on."""
    augment = config.augment
    mix = None
    if augment.mixes:
        mix = MixPairs(num_classes, mixup=augment.mixup, cutmix=augment.cutmix, seed=config.seed)
    return LabelCollator(num_classes, config.data.segments, mix)
