"""From the configuration of a pre-training run to its objects."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vjepa.batch import Batch
from vjepa.config import config_tree
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import MaskCollator
from vjepa.data.dataset import ClipDataset, MixedDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.rendered import is_rendered
from vjepa.data.sampling import SampleOrder, StepBatches, step_loader
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import clip_transform, train_transform
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.models.sizes import SIZES
from vjepa.objectives.context_loss import ContextLoss
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.jepa import JEPA
from vjepa.objectives.pixels import PixelReconstruction
from vjepa.objectives.regularizers import SIGReg, VICReg
from vjepa.recipes.pretrain.config import PretrainConfig, SyntheticConfig
from vjepa.schedules import anneal
from vjepa.weights.model_folder import from_pretrained, read_model_config
from vjepa.workers import Loader


def model_arguments(config: PretrainConfig) -> dict[str, Any]:
    """Return the networks' constructor arguments as plain values; a model folder's config.json has them."""
    encoder = {**SIZES[config.encoder.size]._asdict(), **_given(config.encoder)}
    del encoder["size"]
    encoder["channels"] = len(config.data.mean)
    return {
        "encoder": encoder,
        **_predicting_arguments(config, encoder),
        "pixels": {"mean": list(config.data.mean), "std": list(config.data.std)},
    }


def _predicting_arguments(config: PretrainConfig, encoder: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the predictor, or of the decoder and its pixel targets."""
    shared = {
        **dataclasses.asdict(config.predictor),
        "positions": encoder["positions"],
        "rotary_layout": encoder["rotary_layout"],
        "num_mask_tokens": len(config.masks.all),
    }
    if config.objective.predict == "pixels":
        pixels = math.prod(encoder["tubelet"]) * encoder["channels"]
        decoder = {**shared, "in_dim": encoder["embed_dim"], "out_dim": pixels}
        return {"decoder": decoder, "pixel_targets": config.objective.pixel_targets}
    num_levels = max(len(encoder["levels"]), 1)
    teacher = teacher_arguments(config) or encoder
    predictor = {
        **shared,
        "in_dim": num_levels * encoder["embed_dim"],
        "out_dim": max(len(teacher["levels"]), 1) * teacher["embed_dim"],
        "hidden_dim": encoder["embed_dim"] if num_levels > 1 else None,
        "predict_context": config.objective.context_loss is not None,
    }
    if config.objective.futures is not None:  # else the key is absent, as in the model folders of older runs
        predictor["noise_dim"] = config.objective.futures.noise
    return {"predictor": predictor}


def teacher_arguments(config: PretrainConfig) -> dict[str, Any] | None:
    """Return the constructor arguments of the teacher in `objective.teacher`; None where none is given."""
    objective = config.objective
    if objective.predict == "pixels" or objective.stabilizer != "frozen" or objective.teacher is None:
        return None
    arguments: dict[str, Any] = {"levels": (), **read_model_config(objective.teacher)["encoder"]}
    return arguments


def teacher_folder(config: PretrainConfig) -> str:
    """Return the run or model folder of the frozen target encoder."""
    return config.objective.teacher or str(Path(config.output_dir) / "teacher")


def teacher_config(config: PretrainConfig) -> PretrainConfig:
    """Return the configuration of SALT's first stage, which trains the teacher.

    It is the same run on pixels, for `objective.teacher_steps` optimiser steps.
    """
    steps = config.objective.teacher_steps
    return dataclasses.replace(
        config,
        output_dir=teacher_folder(config),
        objective=dataclasses.replace(config.objective, predict="pixels", context_loss=None, futures=None),
        optim=dataclasses.replace(
            config.optim, steps=steps, warmup_steps=min(config.optim.warmup_steps, steps)
        ),
    )


def model_config(config: PretrainConfig) -> dict[str, Any]:
    """Return the configuration that a model folder stores: networks, clips and training."""
    clip = dataclasses.asdict(config.data.clip)
    del clip["clips_per_video"]
    return {
        "library": "vjepa",
        **model_arguments(config),
        "clip": {**clip, "size": list(clip_size(config)), "whole_frame": whole_frame(config)},
        "future": _future_arguments(config),
        "rendered": _saw_rendered_alone(config),
        "training": config_tree(config),
    }


def _saw_rendered_alone(config: PretrainConfig) -> bool:
    """Return whether the model, and any model it started from, saw only videos rendered by this library."""
    data = config.data
    sources = [] if data.train is None else _as_list(data.train)
    return (
        all(map(is_rendered, [*sources, *_as_list(data.images)]))
        and (config.init is None or read_model_config(config.init).get("rendered", False))
    )  # fmt: skip


def whole_frame(config: PretrainConfig) -> bool:
    """Return whether training used whole frames, without crops."""
    return config.data.crop_scale == (1.0, 1.0)


def _future_arguments(config: PretrainConfig) -> dict[str, Any]:
    """Return how the predictor is asked for the future, as close to its training as the masks allow.

    The context is the longest that it was trained with; the mask token is that of the future masks, or the
    first where there are none.
    """
    steps = max(config.data.clip.num_frames // config.encoder.tubelet[0], 1)
    masks = config.masks
    shares = [mask.context[1] for mask in masks.future]
    shares += [mask.max_temporal_keep for mask in masks.multiblock if mask.max_temporal_keep < 1]
    context = round(steps * shares[0]) if shares else steps // 2
    targets_are_raw = config.objective.measures_batch
    return {
        "context_steps": min(max(context, 1), max(steps - 1, 1)),
        "mask_token": len(masks.all) - len(masks.future) if masks.future else 0,
        "normalisation": "none" if targets_are_raw else "layer_norm",
    }


def build_objective(config: PretrainConfig) -> JEPA | PixelReconstruction:
    """Build the objective with its networks; initial weights are drawn from torch's global generator."""
    arguments = model_arguments(config)
    encoder = VideoEncoder(**arguments["encoder"])
    normalizer = PixelNormalizer(**arguments["pixels"])
    if config.objective.predict == "pixels":
        decoder = Predictor(**arguments["decoder"])
        _prepare(config, encoder, decoder)
        return PixelReconstruction(
            encoder=encoder, decoder=decoder, normalizer=normalizer, targets=config.objective.pixel_targets
        )
    predictor = Predictor(**arguments["predictor"])
    _prepare(config, encoder, predictor)
    context_loss, futures = config.objective.context_loss, config.objective.futures
    return JEPA(
        encoder=encoder,
        predictor=predictor,
        normalizer=normalizer,
        distance=config.objective.distance,
        context_loss=None if context_loss is None else ContextLoss(context_loss.weight, context_loss.warmup),
        futures=None if futures is None else Futures(futures.score),
        **_stabilizer(config, encoder),
    )


def _prepare(config: PretrainConfig, *networks: VideoEncoder | Predictor) -> None:
    for network in networks:
        network.set_grad_checkpointing(config.train.activation_checkpointing)
        if config.train.compile:
            network.transformer.compile_blocks()


def _stabilizer(config: PretrainConfig, encoder: VideoEncoder) -> dict[str, Any]:
    """Return the arguments of JEPA that prevent the embeddings from collapsing."""
    objective = config.objective
    if objective.stabilizer == "sigreg":
        return {"target_encoder": None, "regularizer": SIGReg(**dataclasses.asdict(objective.sigreg))}
    if objective.stabilizer == "vicreg":
        return {"target_encoder": None, "regularizer": VICReg(**dataclasses.asdict(objective.vicreg))}
    if objective.stabilizer == "frozen":
        given = teacher_arguments(config)
        return {"target_encoder": copy.deepcopy(encoder) if given is None else VideoEncoder(**given)}
    start, final = objective.momentum
    total = config.optim.steps * config.optim.schedule_stretch
    return {
        "target_encoder": copy.deepcopy(encoder),
        "momentum": lambda step: anneal(step, total, start, final, "linear"),
    }


def noise_shape(config: PretrainConfig) -> tuple[int, int] | None:
    """Return the number of noise vectors per clip and their length; None where one future is predicted."""
    futures = config.objective.futures
    return None if futures is None else (futures.samples, futures.noise)


def load_teacher(objective: JEPA, source: str) -> None:
    """Load the weights of a frozen target encoder from a run or model folder."""
    assert objective.target_encoder is not None
    objective.target_encoder.load_state_dict(from_pretrained(source).encoder.state_dict())


def _given(section: Any) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}


def clip_size(config: PretrainConfig) -> tuple[int, int]:
    """Return height and width of a clip in pixels."""
    size = config.data.size
    return (size, size) if isinstance(size, int) else size


class SyntheticSplit(NamedTuple):
    """Videos that are rendered into one folder.

    Attributes:
        folder: Folder of the videos and their manifest.
        render: Settings of the rendered scenes.
        num_videos: Number of videos.
        seed: Random seed of the rendered scenes.
    """

    folder: Path
    render: RenderSettings
    num_videos: int
    seed: int

    @property
    def manifest(self) -> str:
        """Path of the manifest of the videos."""
        return str(self.folder / "manifest.csv")


def render_synthetic(synthetic: SyntheticConfig, num_workers: int, say: Callable[[str], None]) -> None:
    """Render the synthetic videos of all splits; those that exist already are kept.

    Args:
        synthetic: Settings of the synthetic videos.
        num_workers: Number of processes that render.
        say: Receives progress messages.
    """
    for folder, render, num_videos, seed in _synthetic_splits(synthetic).values():
        say(f"synthetic videos: {num_videos} to {folder}")
        write_videos(folder, render, num_videos=num_videos, seed=seed, num_workers=max(num_workers, 1))


def _synthetic_splits(synthetic: SyntheticConfig) -> dict[str, SyntheticSplit]:
    """Return the training split, the test split and, for steps on images, that of images, by name."""
    folder, render, seed = Path(synthetic.folder), synthetic.render, 2 * synthetic.seed
    splits = {
        "train": SyntheticSplit(folder / "train", render, synthetic.num_train, seed),
        "test": SyntheticSplit(folder / "test", render, synthetic.num_test, seed + 1),
    }
    if synthetic.images is not None:
        splits["images"] = SyntheticSplit(folder / "images", synthetic.images, synthetic.num_train, seed)
    return splits


class Sources(NamedTuple):
    """Training videos and, for steps on images, images of a run.

    Attributes:
        videos: Videos of each manifest.
        images: Images of each manifest; empty without steps on images.
    """

    videos: list[list[Video]]
    images: list[list[Video]]

    @property
    def num_rows(self) -> int:
        """Number of rows of all manifests together."""
        return sum(len(source) for source in (*self.videos, *self.images))

    @property
    def rows(self) -> list[tuple[str, float | None, float | None]]:
        """Path, start and end in seconds of each row, videos before images."""
        sources = itertools.chain(*self.videos, *self.images)
        return [(video.path, video.start, video.end) for video in sources]


def training_sources(config: PretrainConfig) -> Sources:
    """Read the manifests of the videos and images to train on.

    Raises:
        ValueError: Neither `data.train` nor `data.synthetic` is given, or a manifest cannot be read.
    """
    data = config.data
    if data.train is None and data.synthetic is None:
        raise ValueError(
            "there are no videos to train on: give data.train (a manifest or a folder of videos) or "
            "data.synthetic"
        )
    train, images = data.train, data.images
    if data.synthetic is not None:
        splits = _synthetic_splits(data.synthetic)
        train = splits["train"].manifest
        images = splits["images"].manifest if "images" in splits else images
    on_images = data.kind == "images"
    return Sources(
        [read_manifest(source, images=on_images) for source in _as_list(train)],
        [read_manifest(source, images=True) for source in _as_list(images)],
    )


def _as_list(sources: str | list[str] | None) -> list[str]:
    return [sources] if isinstance(sources, str) else sources or []


def probe_manifests(config: PretrainConfig) -> tuple[str | None, str | None]:
    """Return the manifests of labelled videos to fit and to test a probe on; None where not given."""
    if config.data.synthetic is None:
        return config.probe.train, config.probe.test
    splits = _synthetic_splits(config.data.synthetic)
    return splits["train"].manifest, splits["test"].manifest


def probe_sources(config: PretrainConfig) -> tuple[list[Video], list[Video]] | None:
    """Read the labelled videos to fit and to test a probe on; None where none are given."""
    train, test = probe_manifests(config)
    if train is None or test is None:
        return None
    most = config.probe.max_videos
    on_images = config.data.kind == "images"
    return read_manifest(train, images=on_images)[:most], read_manifest(test, images=on_images)[:most]


def build_dataset(config: PretrainConfig, sources: Sources) -> ClipDataset | MixedDataset:
    """Build the dataset of training clips, and images: randomly placed, cropped and mirrored."""
    data = config.data
    transform = train_transform(data.size, data.crop_scale, data.crop_ratio, data.flip)
    videos = _dataset(config, list(itertools.chain(*sources.videos)), data.clip, transform)
    if not sources.images:
        return videos
    images = list(itertools.chain(*sources.images))
    one_frame = ClipSampling(num_frames=1, clips_per_video=data.clip.clips_per_video)
    return MixedDataset(videos, _dataset(config, images, one_frame, transform))


def build_batches(
    config: PretrainConfig,
    sources: Sources,
    *,
    micro_batch: int,
    rank: int = 0,
    world_size: int = 1,
    first_step: int = 0,
    **loader: Any,
) -> Loader[Batch]:
    """Build the loader of this process's micro-batches from `first_step` to the last step.

    Args:
        config: Configuration of the run.
        sources: Videos and images to train on.
        micro_batch: Number of videos of one forward pass on one process.
        rank, world_size: Number of this process, from 0, and number of processes.
        first_step: First optimiser step to load, from 0.
        loader: Further arguments of torch's DataLoader.
    """
    seed = config.seed
    images = SampleOrder([len(source) for source in sources.images], None, seed) if sources.images else None
    sampler = StepBatches(
        SampleOrder([len(source) for source in sources.videos], config.data.weights, seed),
        batch_size=config.optim.batch_size, micro_batch=micro_batch, rank=rank, world_size=world_size,
        first_step=first_step, last_step=config.optim.steps,
        images=images, image_share=config.data.image_share,
    )  # fmt: skip
    collate = MaskCollator(
        config.masks.all, config.encoder.tubelet, seed, config.masks.future_share, noise_shape(config)
    )
    return step_loader(build_dataset(config, sources), collate, sampler, config.data.num_workers, **loader)


def probe_dataset(config: PretrainConfig, videos: Sequence[Video], classes: Sequence[str]) -> ClipDataset:
    """Build a deterministic dataset of evenly spread clips of labelled videos.

    Frames are cropped in the middle with the customary margin, or kept whole where training did not crop
    either.
    """
    data = config.data
    transform = clip_transform(data.size, whole_frame(config))
    return _dataset(config, videos, data.clip, transform, classes=classes, spread=True)


def _dataset(
    config: PretrainConfig,
    videos: Sequence[Video],
    clip: ClipSampling,
    transform: nn.Module,
    **evaluation: Any,
) -> ClipDataset:
    data = config.data
    cache_short_side = data.cache_short_side if data.cache_dir is not None else None
    return ClipDataset(
        videos, clip, transform, config.seed, reader=data.reader,
        cache_dir=data.cache_dir, cache_short_side=cache_short_side, damaged=data.damaged,
        channels=len(data.mean), **evaluation,
    )  # fmt: skip


def load_weights(objective: JEPA | PixelReconstruction, source: str) -> None:
    """Load the weights of a trained model into an objective, to start from.

    All networks that both have are loaded, each from the one of the same name.
    """
    if (
        isinstance(objective, JEPA)
        and objective.momentum is not None
        and objective.target_encoder is not None
    ):
        objective.target_encoder.load_state_dict(from_pretrained(source).encoder.state_dict())
    model = from_pretrained(source, "encoder")
    objective.encoder.load_state_dict(model.encoder.state_dict())
    if isinstance(objective, JEPA) and model.predictor is not None:
        objective.predictor.load_state_dict(model.predictor.state_dict())
    if isinstance(objective, PixelReconstruction) and model.decoder is not None:
        objective.decoder.load_state_dict(model.decoder.state_dict())
