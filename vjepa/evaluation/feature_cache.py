"""Frozen features on disk: extracted once for the same weights, videos and transform.

    features, labels = cached_features("runs/features", world, dataset, pooling="mean")

Shape letters as in `vjepa.tokens`; V videos.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features import extract_features, pool_steps
from vjepa.models.world import WorldModel

Pooling = Literal["mean", "steps", "tokens"]


def cached_features(
    folder: str | Path, model: WorldModel, dataset: ClipDataset, pooling: Pooling = "mean", workers: int = 0
) -> tuple[Tensor, Tensor]:
    """Features of all videos of a dataset, and their classes ``(V,)``, on the CPU.

    Args:
        folder: of the cache; entries appear whole or not at all, and nothing is ever removed.
        model: frozen; it is used on the device where it is.
        dataset: with evenly spread clips.
        pooling: `mean` over all tokens ``(V, D)``, `steps` over the places of each time step ``(V, t, D)``,
            `tokens` none ``(V, N, D)``.
        workers: processes that decode.

    An entry is found again only for the same weights and sizes of the encoder, the same rows of the manifest with
    files of the same size and time of change, and the same clips, transform, reader and pooling.
    """
    entry = Path(folder) / f"{_key(model, dataset, pooling)}.safetensors"
    if not entry.exists():
        device = next(model.parameters()).device
        features, labels = extract_features(
            lambda video_BTCHW: _pooled(model, video_BTCHW, pooling), dataset, device=device, workers=workers
        )
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = entry.with_suffix(f".{os.getpid()}.partial")
        save_file({"features": features.contiguous(), "labels": labels}, partial)
        os.replace(partial, entry)
    tensors = load_file(entry)
    return tensors["features"], tensors["labels"]


def _pooled(model: WorldModel, video_BTCHW: Tensor, pooling: Pooling) -> Tensor:
    tokens_BND = model.encode(video_BTCHW)
    if pooling == "tokens":
        return tokens_BND
    if pooling == "steps":
        return pool_steps(tokens_BND, model.encoder.grid_of(video_BTCHW.transpose(1, 2)).t)
    return tokens_BND.mean(dim=1)


def _key(model: WorldModel, dataset: ClipDataset, pooling: Pooling) -> str:
    facts = {
        "weights": _digest(model.encoder),
        "networks": {name: model.config[name] for name in ("encoder", "pixels")},
        "videos": [_state(dataclasses.asdict(video)) for video in dataset.videos],
        "classes": dataset.classes,
        "clips": dataclasses.asdict(dataset.sampling),
        "transform": repr(dataset.transform),
        "reading": [dataset.reader, dataset.cache_short_side, dataset.fps, dataset.spread, dataset.seed],
        "pooling": pooling,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _digest(encoder: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _state(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a manifest with the state of its file; a folder of frames counts by its own time of change."""
    status = os.stat(row["path"])
    return {**row, "bytes": status.st_size, "changed": status.st_mtime_ns}
