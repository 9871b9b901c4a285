"""Training and measurement of one cell of a comparison."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video
from vjepa.data.splits import label_subset
from vjepa.evaluation.collapse import embedding_measures, lidar
from vjepa.evaluation.features.extract import LeftOut, extract_features, probe_classes
from vjepa.evaluation.probes.attentive import attentive_probe
from vjepa.evaluation.probes.factors import factor_probe, read_factor_targets
from vjepa.evaluation.probes.knn import knn_probe
from vjepa.evaluation.probes.linear import linear_probe, ridge_probe
from vjepa.evaluation.probes.pca import PixelComponents
from vjepa.evaluation.probes.pixels import pixel_r2
from vjepa.models.video_model import VideoModel
from vjepa.profiling.flops import forward_flops
from vjepa.recipes.compare.cells import Cell
from vjepa.recipes.finetune.run import finetune
from vjepa.recipes.pretrain import build, data
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import average_cost, kinds_of_steps
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.unreadable import leave_out
from vjepa.weights.model_folder import from_pretrained, save_pretrained

LIDAR_CLIPS = 4  # clips of each test video, from which LiDAR is computed

Encode = Callable[[Tensor], Tensor]  # From uint8 videos (B, T, C, H, W) to tokens (B, N, D).


class Split(NamedTuple):
    """Videos of the training or the test split, with their features.

    Attributes:
        videos: Videos of the split.
        tokens_VND: Tokens of each video from the frozen encoder.
        labels_V: Class index of each video.
    """

    videos: list[Video]
    tokens_VND: Tensor
    labels_V: Tensor

    @property
    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean-pooled features ``(V, D)`` and classes ``(V,)``."""
        return self.tokens_VND.mean(dim=1), self.labels_V


def measure_cell(cell: Cell) -> dict[str, Any]:
    """Train the encoder of a cell, if its kind is ``trained``, and measure its frozen features.

    Returns:
        Metrics of the cell by name, as JSON values.

    Raises:
        ValueError: The configuration has no labelled videos.
        UnreadableVideosError: More videos of a split are unreadable than `data.max_unreadable` allows.
    """
    config = dataclasses.replace(
        cell.config, train=dataclasses.replace(cell.config.train, threads=torch.get_num_threads())
    )
    training = _train(config) if cell.kind == "trained" else {}
    videos = data.probe_sources(config)
    if videos is None:
        raise ValueError(
            "a comparison needs labelled videos: give base.data.synthetic, or base.probe.train and test"
        )
    classes, known = probe_classes(*videos)
    videos = _readable(config, videos, classes)
    datasets = [data.probe_dataset(config, split, classes) for split in videos]
    encode = _encoder(cell, config, datasets[0])
    train, test = (_split(encode, split, dataset) for split, dataset in zip(videos, datasets, strict=True))
    metrics = {
        "chance": 1 / known,
        "probe": _probes(train, test, cell.label_shares, cell.seed),
        "features": embedding_measures(test.pooled[0]) | _lidar(encode, config, videos[1], classes),
        "pixels": pixel_r2(encode, datasets[0], datasets[1], config.encoder.tubelet),
        "training": training,
        "cost": _cost(config) if cell.kind == "trained" else {},
    }
    if cell.finetune is not None:
        metrics["finetuned"] = _finetuned(cell)
    if config.data.synthetic is not None:
        metrics["factors"] = _factors(config, train, test)
    if config.objective.target_encoder == "ema" and config.objective.predict == "embeddings" and training:
        online = from_pretrained(config.output_dir, "encoder")
        splits = (
            _split(online.encode, split, dataset) for split, dataset in zip(videos, datasets, strict=True)
        )
        metrics["online_linear"] = linear_probe(*(split.pooled for split in splits))
    return metrics


def _readable(
    config: PretrainConfig, splits: tuple[list[Video], list[Video]], classes: list[str]
) -> tuple[list[Video], list[Video]]:
    """Return both splits without unreadable videos, so that all metrics of a cell use the same videos."""
    kept = []
    for name, videos in zip(("train", "test"), splits, strict=True):
        left_out: LeftOut = {}
        extract_features(_first_value, data.probe_dataset(config, videos, classes), left_out=left_out)
        leave_out(name, len(videos), left_out, config.data.max_unreadable, print)
        kept.append([video for row, video in enumerate(videos) if row not in left_out])
    return kept[0], kept[1]


def _first_value(video_BTCHW: Tensor) -> Tensor:
    return video_BTCHW.flatten(1)[:, :1]


def _train(config: PretrainConfig) -> dict[str, Any]:
    summary = pretrain(config)
    records = [
        json.loads(line) for line in (Path(config.output_dir) / "metrics.jsonl").read_text().splitlines()
    ]
    stages = [summary]
    if config.objective.trains_teacher:
        stages.append(json.loads((Path(build.teacher_folder(config)) / "summary.json").read_text()))
    clips = sum(stage["clips"] for stage in stages)
    seconds = sum(stage["clips"] / stage["clips_per_second"] for stage in stages)
    ranks = [record["context/rank"] for record in records]
    return {
        "seconds": seconds,
        "clips": clips,
        "relative_error": summary["final"]["relative_error"],
        "alarms": len(summary["alarms"]),
        "lowest_rank": min(ranks),
        "final_rank": ranks[-1],
    }


def _encoder(cell: Cell, config: PretrainConfig, train: ClipDataset) -> Encode:
    if cell.kind == "pca":
        embed_dim = build.model_arguments(build.resolve(config))["encoder"]["embed_dim"]
        return PixelComponents(train, embed_dim, cell.seed).encode
    if cell.kind == "trained":
        return from_pretrained(config.output_dir).encode
    torch.manual_seed(cell.seed)
    return VideoModel(build.model_config(build.resolve(config))).eval().encode


def _finetuned(cell: Cell) -> float:
    """Return the mean-class accuracy, in [0, 1], after fine-tuning with all labels."""
    assert cell.finetune is not None
    config = cell.config
    init = cell.folder
    if cell.kind == "random":
        torch.manual_seed(cell.seed)
        init = cell.folder / "untrained"
        untrained = build.model_config(build.resolve(config))
        save_pretrained(init, VideoModel(untrained).state_dict(), untrained)
    summary = finetune(cell.finetune_config(init, torch.get_num_threads()))
    return float(summary["test"]["mean_class"][0])


def _split(encode: Encode, videos: list[Video], dataset: ClipDataset) -> Split:
    tokens_VND, labels_V = extract_features(encode, dataset)
    return Split(videos, tokens_VND, labels_V)


def _probes(train: Split, test: Split, shares: tuple[float, ...], seed: int) -> dict[str, dict[str, float]]:
    """Return the balanced accuracy of each probe by share of the labels; shares are text, as keys in JSON."""
    probes: dict[str, dict[str, float]] = {"knn": {}, "linear": {}, "attentive": {}}
    for share in shares:
        chosen = label_subset(train.labels_V, share, seed)
        pooled = (train.pooled[0][chosen], train.labels_V[chosen])
        tokens = (train.tokens_VND[chosen], train.labels_V[chosen])
        probes["knn"][f"{share:g}"] = knn_probe(pooled, test.pooled)
        probes["linear"][f"{share:g}"] = linear_probe(pooled, test.pooled)
        probes["attentive"][f"{share:g}"] = attentive_probe(
            tokens, (test.tokens_VND, test.labels_V), seed=seed
        )
    probes["ridge"] = {"1": ridge_probe(train.pooled, test.pooled)}
    return probes


def _lidar(
    encode: Encode, config: PretrainConfig, videos: list[Video], classes: list[str]
) -> dict[str, float]:
    """Compute the LiDAR metric from several clips of each test video."""
    clip = dataclasses.replace(config.data.clip, clips_per_video=LIDAR_CLIPS)
    several = dataclasses.replace(config, data=dataclasses.replace(config.data, clip=clip))
    dataset = data.probe_dataset(several, videos, classes)
    views_VRD, _ = extract_features(lambda video: encode(video).mean(dim=1), dataset, average=False)
    return {"lidar": lidar(views_VRD)}


def _factors(config: PretrainConfig, train: Split, test: Split) -> dict[str, float | None]:
    """Return R2 of each factor of the rendered videos.

    The features are all tokens, concatenated, because their mean would lose the positions of objects.
    """
    sampling = dataclasses.replace(config.data.clip, clips_per_video=1)
    features = [split.tokens_VND.flatten(1) for split in (train, test)]
    targets = [read_factor_targets(split.videos, sampling) for split in (train, test)]
    return factor_probe(features[0], targets[0], features[1], targets[1])


def _cost(config: PretrainConfig) -> dict[str, float]:
    """Return the cost of the networks by name: FLOPs per clip and of all training, parameters and tokens."""
    with torch.device("meta"):
        objective = build.build_objective(build.resolve(config))
    _, batch = kinds_of_steps(config)[0]
    predicting = "decoder" if config.objective.predict == "pixels" else "predictor"
    parts = forward_flops(objective, batch)
    step_flops = average_cost(config, objective).flops
    tokens = math.prod(objective.encoder.grid_of(batch.video_BTCHW.transpose(1, 2)))
    return {
        "predicting_parameters": sum(p.numel() for p in getattr(objective, predicting).parameters()),
        "predicting_flops": parts[predicting],
        "encoder_flops": parts["encoder"],
        "target_encoder_flops": parts.get("target_encoder", 0.0),
        "step_flops": step_flops,
        "total_flops": step_flops * _clip_count(config)
        + (_teacher_flops(config) if config.objective.trains_teacher else 0),
        "predicted_values": getattr(objective, predicting).proj.out_features,
        "seen": batch.masks[0].context_BK.shape[1] / tokens,
        "predicted": batch.masks[0].target_BM.shape[1] / tokens,
    }


def _teacher_flops(config: PretrainConfig) -> float:
    first = build.teacher_config(config)
    with torch.device("meta"):
        return average_cost(first, build.build_objective(build.resolve(first))).flops * _clip_count(first)


def _clip_count(config: PretrainConfig) -> int:
    return config.optim.steps * config.optim.batch_size * config.data.clip.clips_per_video
