"""Videos of a pre-training run: rendered videos, manifests, datasets and batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vjepa.batch import Batch
from vjepa.data.augment import colour_jitter, gaussian_blur, greyscale
from vjepa.data.clips import ClipSampling
from vjepa.data.collate import MaskCollator
from vjepa.data.dataset import ClipDataset, MixedDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.ray_loader import RayLoader
from vjepa.data.sampling import SampleOrder, StepBatches, step_loader
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import clip_transform, train_transform
from vjepa.data.video_table import ChainedVideos
from vjepa.data.views import MultiView, SeparateTarget
from vjepa.evaluation.features.extract import spread_rows
from vjepa.recipes.cache import build_cache
from vjepa.recipes.pretrain.config import PretrainAugment, PretrainConfig, SyntheticConfig
from vjepa.workers import Loader


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

    videos: list[Sequence[Video]]
    images: list[Sequence[Video]]

    @property
    def num_rows(self) -> int:
        """Number of rows of all manifests together."""
        return len(self.all)

    @property
    def all(self) -> ChainedVideos:
        """All rows, videos before images."""
        return ChainedVideos([*self.videos, *self.images])


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
    return read_sources(train, images, on_images=data.kind == "images")


def read_sources(
    train: str | list[str] | None, images: str | list[str] | None, *, on_images: bool
) -> Sources:
    """Read manifests of videos and images to train on; with `on_images`, each image of `train` is a sample.

    Raises:
        ValueError: A manifest cannot be read.
    """
    return Sources(
        [read_manifest(source, images=on_images) for source in as_list(train)],
        [read_manifest(source, images=True) for source in as_list(images)],
    )


def as_list(sources: str | list[str] | None) -> list[str]:
    return [sources] if isinstance(sources, str) else sources or []


def probe_manifests(config: PretrainConfig) -> tuple[str | None, str | None]:
    """Return the manifests of labelled videos to fit and to test a probe on; None where not given."""
    if config.data.synthetic is None:
        return config.probe.train, config.probe.test
    splits = _synthetic_splits(config.data.synthetic)
    return splits["train"].manifest, splits["test"].manifest


def probe_sources(config: PretrainConfig) -> tuple[Sequence[Video], Sequence[Video]] | None:
    """Read the labelled videos to fit and to test a probe on; None where none are given."""
    train, test = probe_manifests(config)
    if train is None or test is None:
        return None
    most, on_images = config.probe.max_videos, config.data.kind == "images"
    splits = (read_manifest(manifest, images=on_images) for manifest in (train, test))
    fitted, tested = (videos if most is None else _spread(videos, most) for videos in splits)
    return fitted, tested


def _spread(videos: Sequence[Video], most: int) -> list[Video]:
    """Choose at most `most` videos, evenly spread over the list of each class, in the order of the list."""
    by_class = sorted(range(len(videos)), key=lambda row: videos[row].label or "")
    return [videos[row] for row in sorted(by_class[number] for number in spread_rows(len(videos), most))]


def build_dataset(config: PretrainConfig, sources: Sources) -> ClipDataset | MixedDataset:
    """Build the dataset of training clips, and images: randomly placed, cropped, mirrored and augmented."""
    data = config.data
    transform = train_views(config)
    videos = _dataset(config, ChainedVideos(sources.videos), data.clip, transform)
    if not sources.images:
        return videos
    images = ChainedVideos(sources.images)
    one_frame = ClipSampling(num_frames=1, clips_per_video=data.clip.clips_per_video)
    return MixedDataset(videos, _dataset(config, images, one_frame, transform))


def train_views(config: PretrainConfig) -> nn.Module:
    """Build the transform of a training clip ``(T, C, H, W)``: to a clip, or to `ClipViews`."""
    data, augment, views = config.data, config.augment, config.objective.views
    crop = train_transform(data.size, data.crop_scale, data.crop_ratio, data.flip)
    photometric = _photometric(augment)
    if views is not None:
        part = train_transform(views.local_size, views.local_scale, data.crop_ratio, data.flip)
        return MultiView(
            nn.Sequential(crop, photometric) if views.augment_global else crop,
            nn.Sequential(part, photometric),
            num_global=views.num_global,
            num_local=views.num_local,
            local_frames=views.local_frames,
        )
    if augment.target == "separate":
        return SeparateTarget(crop, photometric)
    return nn.Sequential(crop, photometric) if augment.changes_pixels else crop


def _photometric(augment: PretrainAugment) -> nn.Module:
    parts: list[nn.Module] = []
    if augment.jitter is not None:
        parts.append(colour_jitter(**dataclasses.asdict(augment.jitter)))
    if augment.grey:
        parts.append(greyscale(augment.grey))
    if augment.blur is not None:
        parts.append(gaussian_blur(**dataclasses.asdict(augment.blur)))
    return nn.Sequential(*parts)


def build_batches(
    config: PretrainConfig,
    sources: Sources,
    *,
    micro_batch: int,
    rank: int = 0,
    world_size: int = 1,
    first_step: int = 0,
    **loader: Any,
) -> Loader[Batch] | RayLoader:
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
        config.masks.all,
        config.encoder.tubelet,
        seed,
        config.masks.future_share,
        config.objective.noise_shape,
    )
    make: Any = RayLoader if config.data.loader == "ray" else step_loader
    batches: Loader[Batch] | RayLoader = make(
        build_dataset(config, sources), collate, sampler, config.data.num_workers, **loader
    )
    return batches


def probe_dataset(config: PretrainConfig, videos: Sequence[Video], classes: Sequence[str]) -> ClipDataset:
    """Build a deterministic dataset of evenly spread clips of labelled videos.

    Frames are cropped in the middle with the customary margin, or kept whole where training did not crop
    either.
    """
    data = config.data
    transform = clip_transform(data.size, data.whole_frame)
    return _dataset(config, videos, data.clip, transform, classes=classes, spread=True)


def _dataset(
    config: PretrainConfig,
    videos: Sequence[Video],
    clip: ClipSampling,
    transform: nn.Module,
    **evaluation: Any,
) -> ClipDataset:
    data = config.data
    return ClipDataset(
        videos, clip, transform, config.seed, reader=data.reader,
        cache=build_cache(data.cache, data.clip_size), damaged=data.damaged,
        channels=len(data.mean), **evaluation,
    )  # fmt: skip
