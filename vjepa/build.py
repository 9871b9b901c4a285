"""From configuration to objects: the only place that knows both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from vjepa.config import Config, SyntheticConfig, config_tree
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.sampling import SampleOrder
from vjepa.data.synthetic import write_videos
from vjepa.data.transforms import eval_transform, train_transform
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.models.sizes import SIZES
from vjepa.objectives.jepa import JEPA
from vjepa.schedules import anneal
from vjepa.weights import from_pretrained


def model_arguments(config: Config) -> dict[str, Any]:
    """Constructor arguments of the networks, as plain values: what a model folder's config.json holds."""
    encoder = {**SIZES[config.encoder.size]._asdict(), **_given(config.encoder)}
    del encoder["size"]
    shared = {"positions": config.encoder.positions, "rotary_layout": config.encoder.rotary_layout}
    return {
        "encoder": {**encoder, "channels": len(config.data.mean)},
        "predictor": {
            **dataclasses.asdict(config.predictor),
            **shared,
            "in_width": encoder["width"],
            "out_width": encoder["width"],
            "num_mask_tokens": len(config.masks.all),
        },
        "pixels": {"mean": list(config.data.mean), "std": list(config.data.std)},
    }


def model_config(config: Config) -> dict[str, Any]:
    """What a model folder says of itself: the networks' arguments and how they were trained."""
    return {"library": "vjepa", **model_arguments(config), "training": config_tree(config)}


def build_objective(config: Config) -> JEPA:
    """The objective with its networks, freshly initialised from torch's random state."""
    arguments = model_arguments(config)
    encoder = VideoEncoder(**arguments["encoder"])
    predictor = Predictor(**arguments["predictor"])
    for network in (encoder, predictor):
        network.set_grad_checkpointing(config.train.activation_checkpointing)
        if config.train.compile:
            network.transformer.compile_blocks()
    start, final = config.objective.momentum
    total = config.optim.steps * config.optim.schedule_stretch
    return JEPA(
        encoder=encoder,
        predictor=predictor,
        normalizer=PixelNormalizer(**arguments["pixels"]),
        momentum=lambda step: anneal(step, total, start, final, "linear"),
        loss_exponent=config.objective.loss_exponent,
    )


def _given(section: Any) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}


def clip_size(config: Config) -> tuple[int, int]:
    """Height and width of a clip in pixels."""
    size = config.data.size
    return (size, size) if isinstance(size, int) else size


def render_synthetic(synthetic: SyntheticConfig, workers: int, say: Callable[[str], None]) -> None:
    """Write the synthetic videos of both parts; what is there already is kept."""
    for part, count, seed in _synthetic_parts(synthetic):
        say(f"synthetic videos: {count} to {part}")
        write_videos(part, synthetic.world, num_videos=count, seed=seed, workers=max(workers, 1))


def _synthetic_parts(synthetic: SyntheticConfig) -> list[tuple[Path, int, int]]:
    """Folder, number of videos and seed of the training and the test part."""
    folder = Path(synthetic.folder)
    return [
        (folder / "train", synthetic.num_train, 2 * synthetic.seed),
        (folder / "test", synthetic.num_test, 2 * synthetic.seed + 1),
    ]


def training_sources(config: Config) -> list[list[Video]]:
    """The videos to train on, one list a manifest."""
    data = config.data
    if (data.train is None) == (data.synthetic is None):
        raise ValueError("give data.train (a manifest or a folder of videos) or data.synthetic, and not both")
    if data.synthetic is not None:
        return [read_source(str(_synthetic_parts(data.synthetic)[0][0] / "manifest.csv"))]
    return [
        read_source(source) for source in ([data.train] if isinstance(data.train, str) else data.train or [])
    ]


def probe_sources(config: Config) -> tuple[list[Video], list[Video]] | None:
    """Labelled videos to fit a probe on and to test it on, or None where there are none."""
    train, test = config.probe.train, config.probe.test
    if config.data.synthetic is not None:
        train, test = (
            str(folder / "manifest.csv") for folder, _, _ in _synthetic_parts(config.data.synthetic)
        )
    if train is None or test is None:
        return None
    most = config.probe.max_videos
    return read_source(train)[:most], read_source(test)[:most]


def sample_order(config: Config, sources: Sequence[Sequence[Video]]) -> SampleOrder:
    """The order of samples over the run."""
    return SampleOrder([len(source) for source in sources], config.data.weights, config.seed)


def build_dataset(config: Config, sources: Sequence[Sequence[Video]]) -> ClipDataset:
    """Clips of the training videos, placed, cropped and flipped at random."""
    data = config.data
    transform = train_transform(data.size, data.crop_scale, data.crop_ratio, data.flip)
    return _dataset(config, [video for source in sources for video in source], transform)


def probe_dataset(config: Config, videos: Sequence[Video], classes: Sequence[str]) -> ClipDataset:
    """Evenly spread clips of labelled videos, no chance in them.

    The frame's middle with the customary margin; all of the frame where training did not crop either.
    """
    data = config.data
    whole = data.crop_scale == (1.0, 1.0)
    transform = (
        train_transform(data.size, (1.0, 1.0), (1.0, 1.0), flip=False) if whole else eval_transform(data.size)
    )
    return _dataset(config, videos, transform, classes=classes, spread=True)


def _dataset(config: Config, videos: Sequence[Video], transform: nn.Module, **evaluation: Any) -> ClipDataset:
    data = config.data
    cache_short_side = data.cache_short_side if data.cache_dir is not None else None
    return ClipDataset(
        videos, data.clip, transform, config.seed, reader=data.reader,
        cache_dir=data.cache_dir, cache_short_side=cache_short_side, **evaluation,
    )  # fmt: skip


def read_source(source: str) -> list[Video]:
    """Videos of ``PATH`` or ``PATH?column=value&column=value``, which takes the rows that have the values."""
    path, _, query = source.partition("?")
    select = dict(part.split("=", 1) for part in query.split("&")) if query else None
    return read_manifest(path, select)


def load_weights(objective: JEPA, source: str) -> None:
    """Start from a trained model; encoder, target encoder and predictor."""
    for which in ("encoder", "target_encoder"):
        model = from_pretrained(source, which)
        getattr(objective, which).load_state_dict(model.encoder.state_dict())
    if model.predictor is not None:
        objective.predictor.load_state_dict(model.predictor.state_dict())
