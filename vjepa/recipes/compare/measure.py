"""Training and measurement of one cell of a comparison."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.splits import label_subset
from vjepa.evaluation.collapse import embedding_measures, lidar
from vjepa.evaluation.features.extract import LeftOut, extract_features, probe_classes
from vjepa.evaluation.probes.attentive import attentive_classes
from vjepa.evaluation.probes.factors import MOVING, best_factor_scores, read_factor_targets
from vjepa.evaluation.probes.folds import group_folds
from vjepa.evaluation.probes.levels import ReadOut, knn_read_out, ridge_read_out
from vjepa.evaluation.probes.linear import balanced_accuracy
from vjepa.evaluation.probes.pca import PixelComponents
from vjepa.evaluation.probes.pixels import pixel_r2
from vjepa.evaluation.probes.small_frame import encode_frame
from vjepa.evaluation.recognition.scores import read_scores
from vjepa.models.network import set_precision
from vjepa.models.video_model import VideoModel
from vjepa.recipes.compare.budget import run_cost
from vjepa.recipes.compare.cells import Cell
from vjepa.recipes.compare.config import Measure
from vjepa.recipes.compare.predictions import write_predictions
from vjepa.recipes.finetune.run import finetune
from vjepa.recipes.pretrain import build, data
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.unreadable import leave_out
from vjepa.weights.model_folder import from_pretrained, save_pretrained

LIDAR_CLIPS = 4  # clips of each test video, from which LiDAR is computed

Encode = Callable[
    [Tensor], list[Tensor]
]  # From uint8 videos (B, T, C, H, W) to tokens (B, N, D) of each block.


class Features(NamedTuple):
    """Features of the training or the test videos.

    Attributes:
        videos: Videos of the split.
        labels_V: Class index of each video.
        pooled_VLD: Mean of the tokens of each video after each block.
        tokens_VLND: Tokens of each video after the last block; after each block if factors are known.
    """

    videos: list[Video]
    labels_V: Tensor
    pooled_VLD: Tensor
    tokens_VLND: Tensor


def measure_cell(cell: Cell) -> dict[str, Any]:
    """Train the encoder of a cell, if its kind is ``trained``, and measure its frozen features.

    The class that each read-out gives every test video is written to `Cell.predictions_file`.

    Returns:
        Metrics of the cell by name, as JSON values.

    Raises:
        ValueError: The labelled videos cannot be used.
        UnreadableVideosError: More videos of a split are unreadable than `data.max_unreadable` allows.
    """
    config = dataclasses.replace(
        cell.config, train=dataclasses.replace(cell.config.train, threads=torch.get_num_threads())
    )
    training = _train(config) if cell.kind == "trained" else {}
    videos, (classes, known) = _labelled_videos(cell, config)
    datasets = [data.probe_dataset(config, split, classes) for split in videos]
    encode = _encoder(cell, config, datasets[0])
    train, test = (
        _features(encode, split, dataset, every_block=bool(cell.horizons))
        for split, dataset in zip(videos, datasets, strict=True)
    )
    read_outs = _read_outs(cell, train, test, classes)
    cell.folder.mkdir(parents=True, exist_ok=True)
    write_predictions(
        cell.predictions_file,
        test.videos,
        {name: [classes[number] for number in found.classes_V] for name, found in read_outs.items()},
    )
    return {
        "chance": 1 / known,
        **_accuracies(read_outs, test.labels_V),
        "features": embedding_measures(test.pooled_VLD[:, -1]) | _lidar(encode, config, test.videos, classes),
        "pixels": pixel_r2(lambda video: encode(video)[-1], datasets[0], datasets[1], config.encoder.tubelet),
        "factors": _factors(cell, train, test),
        "training": training,
        "cost": run_cost(config) if cell.kind == "trained" else {},
    }


def _labelled_videos(
    cell: Cell, config: PretrainConfig
) -> tuple[tuple[list[Video], list[Video]], tuple[list[str], int]]:
    """Return the readable training and test videos, the names of all classes, and the number in training."""
    images = config.data.kind == "images"
    splits = (read_manifest(cell.train, images=images), read_manifest(cell.test, images=images))
    names, known = probe_classes(*splits, (cell.train, cell.test))
    return _readable(config, splits, names), (names, known)


def _readable(
    config: PretrainConfig, splits: tuple[Sequence[Video], Sequence[Video]], classes: list[str]
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
    ranks = [record["context/rank"] for record in records]
    return {
        "seconds": sum(stage["clips"] / stage["clips_per_second"] for stage in stages),
        "relative_error": summary["final"]["relative_error"],
        "model_step": summary.get("model_step", summary["steps"]),
        "alarms": len(summary["alarms"]),
        "lowest_rank": min(ranks),
        "final_rank": ranks[-1],
    }


def _encoder(cell: Cell, config: PretrainConfig, train: ClipDataset) -> Encode:
    if cell.kind == "pca":
        embed_dim = build.model_arguments(build.resolve(config))["encoder"]["embed_dim"]
        components = PixelComponents(train, embed_dim, cell.seed)
        return lambda video: [components.encode(video)]
    if cell.kind == "frame":
        return lambda video: [encode_frame(video)]
    model = from_pretrained(config.output_dir) if cell.kind == "trained" else _untrained(cell, config)
    set_precision(model, config.train.precision or "no")
    return lambda video: model.forward_intermediates(video, norm=True)[1]


def _untrained(cell: Cell, config: PretrainConfig) -> VideoModel:
    torch.manual_seed(cell.seed)
    return VideoModel(build.model_config(build.resolve(config))).eval()


def _features(encode: Encode, videos: list[Video], dataset: ClipDataset, *, every_block: bool) -> Features:
    """Encode the videos once; tokens of all blocks are kept only if they are needed, as they are many."""
    sizes: dict[str, int] = {}

    def pooled_and_tokens(video_BTCHW: Tensor) -> Tensor:
        blocks = encode(video_BTCHW)
        sizes["blocks"], sizes["kept"] = len(blocks), len(blocks) if every_block else 1
        pooled_BLD = torch.stack([tokens_BND.mean(dim=1) for tokens_BND in blocks], dim=1)
        return torch.cat([pooled_BLD, *blocks[-sizes["kept"] :]], dim=1)

    found_VND, labels_V = extract_features(pooled_and_tokens, dataset)
    tokens_VLND = found_VND[:, sizes["blocks"] :].unflatten(1, (sizes["kept"], -1))
    return Features(videos, labels_V, found_VND[:, : sizes["blocks"]], tokens_VLND)


def _read_outs(cell: Cell, train: Features, test: Features, classes: Sequence[str]) -> dict[str, ReadOut]:
    """Return the classes that each read-out gives the test videos, by measure and share of the labels."""
    found = {}
    for measure in cell.measures:
        if measure == "finetune":
            found["finetune/1"] = _finetuned(cell, test.videos, classes)
            continue
        for share in cell.label_shares:
            chosen = label_subset(train.labels_V, share, cell.seed)
            found[f"{measure}/{share:g}"] = _read_out(measure, cell.seed, train, chosen, test)
    return found


def _read_out(measure: Measure, seed: int, train: Features, chosen: Tensor, test: Features) -> ReadOut:
    """Fit a read-out to the chosen rows of the training videos."""
    labels_V = train.labels_V[chosen]
    if measure == "attentive":
        tokens = (train.tokens_VLND[chosen, -1], labels_V)
        classes_V = attentive_classes(tokens, test.tokens_VLND[:, -1], seed=seed)
        return ReadOut(classes_V, f"block {train.pooled_VLD.shape[1]}")
    fold_V = group_folds([train.videos[row] for row in chosen.tolist()])
    read_out = ridge_read_out if measure == "ridge" else knn_read_out
    return read_out(train.pooled_VLD[chosen], labels_V, fold_V, test.pooled_VLD)


def _finetuned(cell: Cell, videos: Sequence[Video], classes: Sequence[str]) -> ReadOut:
    """Fine-tune the encoder with all labels, and return the classes that it gives the test videos."""
    init = cell.folder
    if cell.kind == "untrained":
        init = cell.folder / "untrained"
        model = _untrained(cell, cell.config)
        save_pretrained(init, model.state_dict(), model.config)
    config = cell.finetune_config(init, torch.get_num_threads())
    finetune(config)
    scores = read_scores(Path(config.output_dir) / "scores.csv")
    if scores.paths != [video.path for video in videos]:
        raise ValueError(
            f"{config.output_dir} was tested on other videos than the frozen features: a video became "
            "unreadable, or readable, meanwhile; delete that folder and run the same command again"
        )
    numbers = torch.tensor([classes.index(name) for name in scores.classes])
    return ReadOut(numbers[scores.scores_VX.argmax(dim=1)], "all blocks, trained")


def _accuracies(read_outs: dict[str, ReadOut], labels_V: Tensor) -> dict[str, dict[str, dict[str, Any]]]:
    """Return balanced accuracies and chosen levels by measure and share of the labels."""
    metrics: dict[str, dict[str, dict[str, Any]]] = {"accuracy": {}, "level": {}}
    for name, found in read_outs.items():
        measure, share = name.split("/")
        accuracy = balanced_accuracy(found.classes_V, labels_V)
        metrics["accuracy"].setdefault(measure, {})[share] = accuracy
        metrics["level"].setdefault(measure, {})[share] = found.level
    return metrics


def _lidar(
    encode: Encode, config: PretrainConfig, videos: list[Video], classes: list[str]
) -> dict[str, float]:
    """Compute the LiDAR metric from several clips of each test video."""
    clip = dataclasses.replace(config.data.clip, clips_per_video=LIDAR_CLIPS)
    several = dataclasses.replace(config, data=dataclasses.replace(config.data, clip=clip))
    dataset = data.probe_dataset(several, videos, classes)
    views_VRD, _ = extract_features(lambda video: encode(video)[-1].mean(dim=1), dataset, average=False)
    return {"lidar": lidar(views_VRD)}


def _factors(cell: Cell, train: Features, test: Features) -> dict[str, dict[str, dict[str, float] | None]]:
    """Return R2 and block of each factor of rendered videos, by factor and frames after the clip.

    The features are all tokens, concatenated, because their mean would lose the positions of objects. Ahead
    of the clip, only the factors that change are read.
    """
    sampling = dataclasses.replace(cell.config.data.clip, clips_per_video=1)
    targets: list[dict[str, Tensor]] = []
    for split in (train, test) if cell.horizons else ():
        targets.append({})
        for ahead in cell.horizons:
            found = read_factor_targets(split.videos, sampling, ahead)
            targets[-1] |= {f"{name}/{ahead}": found[name] for name in found if name in MOVING or not ahead}
    if not targets:
        return {}
    features = [split.tokens_VLND.flatten(2) for split in (train, test)]
    factors: dict[str, dict[str, dict[str, float] | None]] = {}
    for key, score in best_factor_scores(features[0], targets[0], features[1], targets[1]).items():
        name, ahead_text = key.split("/")
        factors.setdefault(name, {})[ahead_text] = None if score is None else score._asdict()
    return factors
