"""The datasets of a fine-tuning run: clips of videos, or tokens that were encoded beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from vjepa.batch import LabelledBatch
from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features.cache import FeatureShards, encoder_identity, extract_shards
from vjepa.models.classifier import Classifier
from vjepa.recipes.finetune import build
from vjepa.recipes.finetune.build import Resolved
from vjepa.training.alone import wait_for_all
from vjepa.training.unreadable import leave_out

_PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class RunDatasets(NamedTuple):
    """Datasets of a fine-tuning run.

    Attributes:
        train: Training samples, indexed by `SampleKey`.
        collate: Function that turns samples of `train` into a `LabelledBatch`.
        views: Dataset with all views of each video, for each of the splits ``val`` and ``test`` that exists.
    """

    train: ClipDataset | FeatureShards
    collate: Callable[[Sequence[Any]], LabelledBatch]
    views: dict[str, ClipDataset | FeatureShards]


def build_datasets(run: Resolved, classifier: Classifier, accelerator: Accelerator) -> RunDatasets:
    """Build the datasets of a run; every process must call this function.

    With `features` in the configuration, missing tokens are first encoded and stored on disk.

    Raises:
        UnreadableVideosError: More training videos are unreadable than `data.max_unreadable` allows.
    """
    config, splits = run.config, run.splits
    clips, crops = config.evaluation.clips, config.evaluation.crops
    views = {
        name: build.view_dataset(run, videos, clips, crops)
        for name, videos in (("val", splits.val), ("test", splits.test))
        if videos
    }
    if config.features is None:
        train = build.augmented_dataset(run, splits.train)
        return RunDatasets(train, build.build_collator(config, len(splits.classes)), {**views})
    if config.features.views:
        train = build.augmented_dataset(run, splits.train)
    else:
        train = build.view_dataset(run, splits.train, config.data.segments, 1)
    encode = _DatasetEncoder(run, classifier, accelerator)
    shards = {name: encode(dataset, 1) for name, dataset in views.items()}
    tokens = encode(train, max(config.features.views, 1))
    wait_for_all(accelerator)
    unreadable = tokens.unreadable()
    leave_out("data.train", len(splits.train), unreadable, config.data.max_unreadable, accelerator.print)
    tokens = tokens.without(unreadable)
    return RunDatasets(tokens, TokenCollator(len(splits.classes), config.data.segments), {**shards})


class _DatasetEncoder:
    """Encoder of datasets to token files on disk; every process encodes its share of the videos."""

    def __init__(self, run: Resolved, classifier: Classifier, accelerator: Accelerator) -> None:
        assert run.config.features is not None
        self.config = run.config
        self.features = run.config.features
        self.classifier = classifier.to(accelerator.device).eval()
        self.accelerator = accelerator
        self.identity = {
            **encoder_identity(classifier.encoder, run.model),
            "levels": list(classifier.levels),
            "token_norm": classifier.token_norm,
        }

    def __call__(self, dataset: ClipDataset, views: int) -> FeatureShards:
        return extract_shards(
            self.features.folder, self.classifier.features, self.identity, dataset,
            views=views, precision=_PRECISIONS[self.features.precision], device=self.accelerator.device,
            num_workers=self.config.data.num_workers, rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
        )  # fmt: skip


class TokenCollator:
    """Collator that stacks the tokens of labelled videos into a batch.

    Args:
        num_classes: Number of classes.
        segments: Number of clips that share one label.
    """

    def __init__(self, num_classes: int, segments: int) -> None:
        self.num_classes = num_classes
        self.segments = segments

    def __call__(self, samples: Sequence[tuple[Tensor, int]]) -> LabelledBatch:
        tokens_BND = torch.cat([tokens_RND for tokens_RND, _ in samples])
        repeats = len(samples[0][0]) // self.segments
        labels_B = torch.tensor([label for _, label in samples for _ in range(repeats)])
        shares_BX = F.one_hot(labels_B, self.num_classes).float()
        return LabelledBatch(tokens_BND, shares_BX, paths=("",) * len(labels_B))
