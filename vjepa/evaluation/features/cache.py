"""Cache of frozen features on disk, which are extracted once for the same weights, videos and transform.

    features, labels = cached_features("runs/features", model, dataset, pooling="mean")

A cache entry is a folder of shards, each with the features of up to 64 videos. A shard is written completely
or not at all, so an interrupted extraction continues with the first missing shard. No entry is ever removed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from vjepa.data.cache import file_states
from vjepa.data.dataset import ClipDataset
from vjepa.data.python_datasets import is_item
from vjepa.data.remote import state_of
from vjepa.data.sampling import SampleKey
from vjepa.data.video import Video
from vjepa.evaluation.features.extract import LeftOut, feature_batches, pool_steps
from vjepa.files import written_atomically
from vjepa.models.network import Network
from vjepa.models.video_model import VideoModel

Pooling = Literal["mean", "steps", "tokens"]

SHARD = 64  # videos
_UNREADABLE = "unreadable"  # key of a shard's metadata: unreadable rows with paths and causes
_BATCH = 32  # videos that are encoded together; divides SHARD


class FeatureShards(Dataset[tuple[Tensor, int]]):
    """Dataset of features that are read from a cache entry, one video at a time.

    Args:
        entry: Folder of the shards.
        count: Number of videos of the dataset that was encoded.
        views: Number of randomly augmented passes over the dataset that were extracted. Each epoch reads the
            next one, and after the last the first again.
        rows: Rows of the videos to use, in this order; None uses all.
    """

    def __init__(self, entry: Path, count: int, views: int = 1, rows: Sequence[int] | None = None) -> None:
        self.entry = entry
        self.count = count
        self.views = views
        self.rows = range(count) if rows is None else rows

    def __len__(self) -> int:
        """Return the number of videos in use."""
        return len(self.rows)

    def without(self, left_out: Iterable[int]) -> FeatureShards:
        """Return the same features without the rows `left_out` of the dataset."""
        lost = set(left_out)
        return FeatureShards(
            self.entry, self.count, self.views, [row for row in self.rows if row not in lost]
        )

    def unreadable(self) -> LeftOut:
        """Return the rows that could not be read when their shard was written, with paths and causes.

        In the shard, another video's features stand in their place.
        """
        found: LeftOut = {}
        for number in range(-(-self.views * self.count // SHARD)):
            with safe_open(_shard(self.entry, number), framework="pt") as shard:
                marked = json.loads((shard.metadata() or {}).get(_UNREADABLE, "{}"))
            found |= {int(row): (path, cause) for row, (path, cause) in marked.items()}
        return found

    def __getitem__(self, place: int | SampleKey) -> tuple[Tensor, int]:
        """Return the features ``(R, ...)`` of a video and its class.

        A `SampleKey` selects the view of its epoch; an integer selects the first view.
        """
        row, view = (place, 0) if isinstance(place, int) else (place.index, place.serial // len(self))
        number = (view % self.views) * self.count + self.rows[row]
        with safe_open(_shard(self.entry, number // SHARD), framework="pt") as shard:
            inside = number % SHARD
            features = shard.get_slice("features")[inside : inside + 1][0]
            return features, int(shard.get_slice("labels")[inside : inside + 1][0])

    def load(self) -> tuple[Tensor, Tensor]:
        """Read the features ``(V, R, ...)`` of the first view, and all classes ``(V,)``.

        All rows of the dataset are returned, including unreadable rows and rows that are not in use.
        """
        parts = [load_file(_shard(self.entry, number)) for number in range(-(-self.count // SHARD))]
        features, labels = (torch.cat([part[name] for part in parts]) for name in ("features", "labels"))
        return features[: self.count], labels[: self.count]


def extract_shards(
    folder: str | Path,
    encode: Callable[[Tensor], Tensor],
    identity: Mapping[str, Any],
    dataset: ClipDataset,
    *,
    views: int = 1,
    precision: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> FeatureShards:
    """Extract the features of a dataset's videos that are not yet on disk.

    A cache entry is reused only for the same identity, rows of the manifest, sizes and modification times of
    files, clips, transform, reader, views and precision. A damaged shard is extracted again. Rows that cannot
    be read are marked in their shard (`FeatureShards.unreadable`).

    Args:
        folder: Folder of the cache.
        encode: Encoder in evaluation mode: maps uint8 clips ``(B, T, C, H, W)`` to features ``(B, ...)``.
        identity: All facts that `encode` depends on, as JSON values (see `encoder_identity`).
        dataset: Videos with evenly spread clips, or with random clips for several views.
        views: Number of randomly augmented passes over the dataset.
        precision: Data type of the features on disk.
        device: Device of the encoder.
        num_workers: Number of processes that decode videos.
        rank: Number of this process, which extracts a share of the shards without waiting for the others.
        world_size: Number of processes.

    Raises:
        ValueError: A video is an item of a dataset of Python, see `check_recognisable`.
    """
    facts = {**identity, **_dataset_identity(dataset, views), "views": views, "precision": str(precision)}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    entry = Path(folder) / key
    entry.mkdir(parents=True, exist_ok=True)
    count = len(dataset)
    serials = {
        number: range(number * SHARD, min((number + 1) * SHARD, views * count))
        for number in range(rank, -(-views * count // SHARD), world_size)
    }
    missing = [number for number in serials if not _is_whole(_shard(entry, number), len(serials[number]))]
    serials = {number: serials[number] for number in missing}
    keys = [SampleKey(serial, serial % count, step=0) for wanted in serials.values() for serial in wanted]
    # One loader for all shards: starting its processes takes longer than one. Only the last may be short.
    left_out: LeftOut = {}
    found = feature_batches(
        encode, dataset, keys, left_out, device=device, num_workers=num_workers, batch_size=_BATCH
    )
    for number, wanted in serials.items():
        parts = list(itertools.islice(found, -(-len(wanted) // _BATCH)))
        features, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        rows = {serial % count for serial in wanted}
        marked = json.dumps({row: cause for row, cause in left_out.items() if row in rows})
        tensors = {"features": features.to(precision).contiguous(), "labels": labels}
        with written_atomically(_shard(entry, number), durable=True) as draft:
            save_file(tensors, draft, metadata={_UNREADABLE: marked})
    return FeatureShards(entry, count, views)


def cached_features(
    folder: str | Path,
    model: VideoModel,
    dataset: ClipDataset,
    pooling: Pooling = "mean",
    num_workers: int = 0,
) -> tuple[Tensor, Tensor]:
    """Read the features of a dataset's videos from the cache, after extracting those that are missing.

    Args:
        folder: Folder of the cache, see `extract_shards`.
        model: Frozen model, on the device to use.
        dataset: Videos with evenly spread clips.
        pooling: How tokens are averaged. `mean` averages all tokens, ``(V, D)``; `steps` averages the tokens
            of each time step, ``(V, t, D)``; `tokens` keeps all tokens, ``(V, N, D)``.
        num_workers: Number of processes that decode videos.

    Returns:
        Features, averaged over the clips of each video, and int64 classes ``(V,)``, on the CPU.

    Raises:
        ValueError: A video cannot be read, or is an item of a dataset of Python (see `check_recognisable`).
    """
    shards = extract_shards(
        folder,
        lambda video_BTCHW: _pooled(model, video_BTCHW, pooling),
        {**encoder_identity(model.encoder, model.config), "pooling": pooling},
        dataset,
        device=next(model.parameters()).device,
        num_workers=num_workers,
    )
    unreadable = shards.unreadable()
    if unreadable:
        path, cause = next(iter(unreadable.values()))
        raise ValueError(
            f"{len(unreadable)} videos cannot be read, e.g. {path} ({cause}): leave them out of the list "
            "that is encoded"
        )
    features, labels = shards.load()
    return features.mean(dim=1), labels


def check_recognisable(videos: Iterable[Video]) -> None:
    """Check that a change of each video would be noticed, so that its features are never another video's.

    Raises:
        ValueError: A video is an item of a dataset of Python, which has neither size nor modification time.
    """
    item = next((video.path for video in videos if is_item(video.path)), None)
    if item is not None:
        raise ValueError(
            f"features on disk are asked for, and {item} is an item of a dataset of Python: nothing tells "
            "whether it has changed since it was encoded; leave features out, or give a list of video files"
        )


def encoder_identity(encoder: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that an encoder's tokens depend on: its weights, its configuration and its precision."""
    computing = {each.precision for each in encoder.modules() if isinstance(each, Network)} - {"no"}
    return {
        "weights": _digest(encoder),
        "networks": {name: config[name] for name in ("encoder", "pixels")},
        **({"computing": sorted(computing)} if computing else {}),
    }


def _shard(entry: Path, number: int) -> Path:
    return entry / f"shard_{number:05d}.safetensors"


def _is_whole(path: Path, videos: int) -> bool:
    """Return whether a shard exists, can be opened and holds this number of videos."""
    try:
        with safe_open(path, framework="pt") as shard:
            return all(shard.get_slice(name).get_shape()[0] == videos for name in ("features", "labels"))
    except (OSError, SafetensorError):
        return False


def _pooled(model: VideoModel, video_BTCHW: Tensor, pooling: Pooling) -> Tensor:
    tokens_BND = model.encode(video_BTCHW)
    if pooling == "tokens":
        return tokens_BND
    if pooling == "steps":
        return pool_steps(tokens_BND, model.encoder.grid_of(video_BTCHW.transpose(1, 2)).t)
    return tokens_BND.mean(dim=1)


def _dataset_identity(dataset: ClipDataset, views: int) -> dict[str, Any]:
    check_recognisable(dataset.videos)
    random = views > 1 or not dataset.spread  # Only random clips depend on the seed.
    return {
        "videos": [_state(dataclasses.asdict(video)) for video in dataset.videos],
        "classes": dataset.classes,
        "clips": dataclasses.asdict(dataset.sampling),
        "transform": repr(dataset.transform),
        "reading": [
            dataset.reader,
            None if dataset.cache is None else dataset.cache.short_side,
            dataset.fps,
            dataset.spread,
            dataset.seed if random else None,
            dataset.damaged,
            dataset.channels,
        ],
    }


def _digest(encoder: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _state(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a manifest with size and modification time of its file, or of each of its images."""
    try:
        if os.path.isdir(row["path"]):
            return {**row, "images": file_states(row["path"])}
        size, changed = state_of(row["path"]) or (None, None)
    except OSError:  # the loader will report the video as unreadable
        size, changed = None, None
    return {**row, "bytes": size, "changed": changed}
