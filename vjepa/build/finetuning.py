"""From the configuration of a fine-tuning run to its objects. X classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vjepa.batch import LabelledBatch
from vjepa.build.loading import step_loader
from vjepa.config import FinetuneConfig, OptimConfig, config_tree
from vjepa.data.augment import augment_transform
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import LabelCollator
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, class_names, read_manifest
from vjepa.data.mixup import MixPairs
from vjepa.data.rendered import is_rendered
from vjepa.data.sampling import SampleOrder, StepBatches
from vjepa.data.splits import check_leaks, split_by_group, take_labels
from vjepa.data.transforms import SpatialViews
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.head_grid import HeadGrid
from vjepa.models.lora import add_lora
from vjepa.weights.model_folder import from_pretrained, read_model_config
from vjepa.workers import Loader


class LabelledSplits(NamedTuple):
    """Labelled videos of a run.

    Attributes:
        train: to learn from.
        val: to choose a head on, where there are several.
        test: to report; empty for none. Its labels may be of classes that training lacks.
        classes: of the training split, in the order of their numbers.
    """

    train: list[Video]
    val: list[Video]
    test: list[Video]
    classes: list[str]


def labelled_splits(config: FinetuneConfig) -> LabelledSplits:
    """The videos of all splits; ValueError where labels are missing, no label of a split is known, or a split leaks into another."""
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
    check_leaks({f"data.{name}": videos for name, videos in given.items()})
    classes = class_names(train)
    if len(classes) < 2:
        raise ValueError(f"data.train has the class {', '.join(classes)} alone: give videos of two or more")
    for name, videos in (("val", val), ("test", test)):
        _check_some_known(videos, classes, f"data.{name}")
    if not test and data.test_share:
        train, test = split_by_group(train, data.test_share, data.test_seed, "data.test_share")
        if any(video.group for video in train):  # else equal contents are groups already
            check_leaks({"what data.test_share leaves": train, "what it holds back": test})
    if config.grid is not None and not val:
        train, val = split_by_group(train, data.val_share, config.seed, "data.val_share")
    if data.label_share < 1:
        train = take_labels(train, data.label_share, data.label_seed)
    return LabelledSplits(train, val, test, classes)


def _check_some_known(videos: Sequence[Video], classes: Sequence[str], name: str) -> None:
    """ValueError where training knows no class of a split: labels are spelt otherwise. Some that it lacks count as missed."""
    labels = {video.label or "" for video in videos}
    if labels and not labels & set(classes):
        raise ValueError(
            f"{name} has the labels {', '.join(sorted(labels)[:10])}, none of which a video of data.train has: it has "
            f"{', '.join(classes[:10])}; write them alike in both"
        )


def _read_labelled(source: str, name: str) -> list[Video]:
    videos = read_manifest(source)
    unlabelled = [video.path for video in videos if video.label is None]
    if unlabelled:
        raise ValueError(
            f"{len(unlabelled)} of {len(videos)} videos of {name} have no label, e.g. {unlabelled[0]}: "
            "give each a label, or leave it out"
        )
    return videos


def clip_of(config: FinetuneConfig) -> tuple[ClipSampling, tuple[int, int]]:
    """Frames of a clip, and its height and width: the configuration's, else the model's own."""
    given, size = config.data.clip, config.data.size
    if given is None or size is None:
        known = read_model_config(_init(config)).get("clip")
        if known is None:
            raise ValueError(
                f"{config.model.init} does not say which clips it knows: give data.clip and data.size"
            )
        given = given or ClipSampling(known["num_frames"], known["fps"], known["stride"])
        size = size or tuple(known["size"])
    height, width = (size, size) if isinstance(size, int) else size
    return given, (height, width)


def _init(config: FinetuneConfig) -> str:
    if config.model.init is None:
        raise ValueError("model.init is null: give the folder of a run or of a model to start from")
    return config.model.init


def build_classifier(config: FinetuneConfig, num_classes: int) -> Classifier:
    """The encoder that is started from, with a fresh head, or a grid of them, drawn from torch's random state."""
    start = config.model
    pretrained = from_pretrained(_init(config), start.which)
    arguments = {**pretrained.config["encoder"], "drop_path": start.drop_path}
    encoder = VideoEncoder(**arguments)
    clip, size = clip_of(config)
    encoder.tubelet.grid_of(clip.num_frames, *size)  # ValueError where clips cannot be cut into tubelets
    if start.weights == "trained":
        encoder.load_state_dict(pretrained.encoder.state_dict())
    count = 1 if config.grid is None else len(config.grid.pairs)
    heads = [
        build_head(width=encoder.width, num_classes=num_classes, **head_arguments(config))
        for _ in range(count)
    ]
    if start.tune != "all":
        encoder.requires_grad_(False)
    if start.tune == "lora":
        add_lora(encoder, start.lora.rank, start.lora.alpha)
    head = heads[0] if config.grid is None else HeadGrid(heads)
    if not token_norm(config):
        encoder.transformer.norm.requires_grad_(
            False
        )  # it has no part, and processes wait for every gradient
    return Classifier(encoder, head, pretrained.normalizer, start.levels, token_norm(config))


def token_norm(config: FinetuneConfig) -> bool:
    """Whether tokens pass the encoder's last norm: not where all is tuned under a head with a norm of its own (VideoMAE)."""
    return config.model.tune != "all" or config.head.kind == "attentive" or bool(config.model.levels)


def head_arguments(config: FinetuneConfig) -> dict[str, Any]:
    """Arguments of `build_head`, as plain values; those that its kind has."""
    head = config.head
    shared = {"kind": head.kind, "dropout": head.dropout, "init_scale": head.init_scale}
    if head.kind == "attentive":
        return {**shared, "depth": head.depth, "queries": head.queries}
    return {**shared, "hidden": head.hidden} if head.kind == "mlp" else shared


def classifier_config(config: FinetuneConfig, classes: Sequence[str]) -> dict[str, Any]:
    """What the folder of a classifier says of itself."""
    clip, size = clip_of(config)
    known = read_model_config(_init(config))
    return {
        "library": "vjepa",
        "encoder": known["encoder"],
        "pixels": known["pixels"],
        "clip": {
            "num_frames": clip.num_frames, "fps": clip.fps, "stride": clip.stride,
            "size": list(size), "whole_frame": True,
        },
        "classes": list(classes),
        "head": head_arguments(config),
        "levels": list(config.model.levels),
        "token_norm": token_norm(config),
        "views": {**dataclasses.asdict(config.evaluation), "segments": config.data.segments},
        "rendered": known.get("rendered", False) and is_rendered(str(config.data.train)),
        "training": config_tree(config),
    }  # fmt: skip


def optim_config(config: FinetuneConfig, num_videos: int) -> OptimConfig:
    """Epochs as steps, for so many training videos; with a grid, the rate is the largest of its heads'."""
    optim = config.optim
    per_epoch = num_videos / optim.batch_size
    steps = max(round(optim.epochs * per_epoch), 1)
    return OptimConfig(
        steps=steps, batch_size=optim.batch_size, clip_grad=optim.clip_grad, betas=optim.betas,
        lr=optim.lr if config.grid is None else max(config.grid.lr),
        start_lr=optim.start_lr, final_lr=optim.final_lr, lr_shape=optim.lr_shape,
        warmup_steps=min(round(optim.warmup_epochs * per_epoch), steps), weight_decay=optim.weight_decay,
    )  # fmt: skip


def augmented_dataset(config: FinetuneConfig, videos: Sequence[Video], classes: Sequence[str]) -> ClipDataset:
    """Clips for training: placed and changed at random, `repeats` times `segments` of a video."""
    clip, size = clip_of(config)
    augment = config.augment
    transform = augment_transform(
        size, augment.scale, augment.ratio, augment.flip, augment.randaugment, augment.erase
    )
    count = config.data.repeats * config.data.segments
    return _dataset(config, videos, classes, dataclasses.replace(clip, clips_per_video=count), transform)


def view_dataset(
    config: FinetuneConfig, videos: Sequence[Video], classes: Sequence[str], clips: int, crops: int
) -> ClipDataset:
    """Clips without chance: spread over the video, each cropped at `crops` places.

    Labels that are none of the classes are left out: what is measured knows them from the videos themselves.
    """
    known = set(classes)
    videos = [video if video.label in known else dataclasses.replace(video, label=None) for video in videos]
    clip, size = clip_of(config)
    spread = dataclasses.replace(clip, clips_per_video=clips)
    return _dataset(config, videos, classes, spread, SpatialViews(size, crops), spread=True)


def _dataset(
    config: FinetuneConfig,
    videos: Sequence[Video],
    classes: Sequence[str],
    clip: ClipSampling,
    transform: torch.nn.Module,
    spread: bool = False,
) -> ClipDataset:
    data = config.data
    return ClipDataset(
        videos, clip, transform, config.seed, reader=data.reader, cache_dir=data.cache_dir,
        cache_short_side=None if data.cache_dir is None else data.cache_short_side,
        classes=classes, spread=spread, damaged=data.damaged,
        channels=len(read_model_config(_init(config))["pixels"]["mean"]),
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
    """This process's micro-batches from `first_step` to `last_step`, the rows of a dataset in an order of their own every epoch."""
    sampler = StepBatches(
        SampleOrder([len(dataset)], None, config.seed), batch_size=config.optim.batch_size,
        micro_batch=micro_batch, rank=rank, world_size=world_size, first_step=first_step, last_step=last_step,
    )  # fmt: skip
    return step_loader(dataset, collate, sampler, config.data.workers, **loader)


def build_collator(config: FinetuneConfig, num_classes: int) -> LabelCollator:
    """Stacks clips, and mixes them where the configuration says so."""
    augment = config.augment
    mix = None
    if augment.mixes:
        mix = MixPairs(num_classes, mixup=augment.mixup, cutmix=augment.cutmix, seed=config.seed)
    return LabelCollator(num_classes, config.data.segments, mix)
