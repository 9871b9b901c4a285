"""Training videos, and how their pixels are augmented: the sections `data` and `augment`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD, Kind, LoaderName, ReaderName
from vjepa.config import CacheConfig, checks
from vjepa.data.clips import ClipSampling
from vjepa.data.synthetic.settings import RenderSettings


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Rendered, labelled videos of moving objects, instead of a manifest.

    Attributes:
        folder: Folder of the rendered .mp4 files and their manifests. Videos are rendered once and then
            reused.
        num_train: Number of training videos.
        num_test: Number of further videos, never trained on, on which the probe is tested.
        seed: Random seed of the rendered scenes; the same seed gives the same frames.
        render: Settings of the rendered scenes.
        images: Settings of further rendered videos, `num_train` of them, whose single frames are the images
            of steps on images (see `data.image_share`); null renders none.
    """

    folder: str = "runs/synthetic"
    num_train: int = 2048
    num_test: int = 512
    seed: int = 0
    render: RenderSettings = field(default_factory=RenderSettings)
    images: RenderSettings | None = None

    def __post_init__(self) -> None:
        checks.at_least("data.synthetic", self, num_train=1, num_test=1)
        checks.seed("data.synthetic", self, "seed")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Training videos and the clips cut from them.

    Attributes:
        train: Training videos: a manifest (CSV, JSONL, or a list of `path label` lines), a folder of videos,
            a folder with one folder per class, or a list of these for a mixture. `FILE.csv?split=train` takes
            the rows whose column `split` is `train`. With `clip.num_frames` 1, a folder of images is a list
            of images; with more frames, it is one video.
        weights: Share of each source of a mixture, relative to their sum; null samples the sources in
            proportion to their sizes.
        synthetic: Videos to render and train on instead of `train`, which must then be null; null renders
            none.
        images: Images for steps on images between those on videos: a manifest or folder of images (or of
            videos, of which single frames are taken), or a list of these; null has no such steps. To train on
            images alone, give them as `train` and set `clip.num_frames` to 1.
        image_share: Share of the optimiser steps that take images, in (0, 1), where there are images.
        clip: Frames of a clip, their spacing, and the number of clips from one decoding.
        size: Height and width of a clip in pixels, or one number for both.
        crop_scale: Smallest and largest share of a frame's area that a random crop covers, in (0, 1].
        crop_ratio: Smallest and largest aspect ratio (width over height) of a random crop.
        flip: Mirror half of the clips from left to right.
        mean: Mean of each pixel channel, in [0, 1].
        std: Standard deviation of each pixel channel, on the same scale as `mean`.
        reader: Video decoder: `auto` (`pyav` on every machine), `pyav`, `decord`, `torchcodec`, or
            `torchcodec_cuda`, which decodes on a GPU. The last three are compared with PyAV on each file and
            replaced by it, with a warning, where they differ.
        cache: Cache of decoded, resized videos.
        num_workers: Number of processes that load batches; 0 loads them in the training process. Results do
            not depend on it.
        loader: What loads batches: `torch`, processes beside each training process; or `ray`, as many actors
            of a running Ray cluster (`ray start --head`), on any of its machines. Results do not depend on
            it.
        damaged: What happens to a damaged video: one with frames that the decoder marks as corrupt, packets
            that do not decode, or, of MP4 and AVI, frames that its header counts and that are missing at its
            end (an AVI file whose header also counts repeated, empty frames is not damaged). `keep` reads it
            as far as possible. `skip` replaces it like an unreadable one, and it then counts towards
            `max_unreadable`; damage is known only of what was read, so which videos are skipped
            depends on the frames that were drawn.
            Either way it is named once and counted in the metrics. The default leaves the data set, and so
            the metrics of a test split, comparable with published ones.
        max_unreadable: Largest share of the videos, in [0, 1], that may be unreadable before the run stops.
    """

    train: str | list[str] | None = None
    weights: list[float] | None = None
    synthetic: SyntheticConfig | None = None
    images: str | list[str] | None = None
    image_share: float = 0.25
    clip: ClipSampling = field(default_factory=lambda: ClipSampling(num_frames=16))
    size: int | tuple[int, int] = 224
    crop_scale: tuple[float, float] = (0.3, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.35)
    flip: bool = True
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    reader: ReaderName = "auto"
    cache: CacheConfig = field(default_factory=CacheConfig)
    num_workers: int = 2
    loader: LoaderName = "torch"
    damaged: Literal["keep", "skip"] = "keep"
    max_unreadable: float = 0.01

    @property
    def kind(self) -> Kind:
        """What most steps take: images where clips have one frame, else videos (with or without images mixed
        in).
        """
        return "images" if self.clip.num_frames == 1 else "videos"

    @property
    def clip_size(self) -> tuple[int, int]:
        """Height and width of a clip in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def whole_frame(self) -> bool:
        """Whether training uses whole frames, without crops."""
        return self.crop_scale == (1.0, 1.0) and self.crop_ratio == (1.0, 1.0)

    @property
    def mixes_in_images(self) -> bool:
        """Whether there are steps on images between those on videos."""
        return self.images is not None or (self.synthetic is not None and self.synthetic.images is not None)

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.ascending("data", self, "crop_scale", highest=1)
        checks.ascending("data", self, "crop_ratio")
        checks.pixel_statistics("data", self)
        checks.at_least("data", self, num_workers=int(self.loader == "ray"))
        checks.share("data", self, "max_unreadable")
        if self.train is not None and self.synthetic is not None:
            raise ValueError(
                "data.train and data.synthetic are both given: give one of them, and null for the other"
            )
        self._check_mixtures()

    def _check_mixtures(self) -> None:
        for name in ("train", "images"):
            if getattr(self, name) == []:
                raise ValueError(f"data.{name} is []: give one source or more, or null")
        sources = len(self.train) if isinstance(self.train, list) else 1
        if self.weights is not None and (
            len(self.weights) != sources or not min(self.weights) > 0 or not sum(self.weights) < math.inf
        ):
            raise ValueError(
                f"data.weights is {self.weights} for {sources} sources in data.train: give one weight for "
                "each, above 0, and leave out what is not to be sampled"
            )
        if not 0 < self.image_share < 1:
            raise ValueError(f"data.image_share is {self.image_share}: give a share of the steps in (0, 1)")
        if self.mixes_in_images and self.kind == "images":
            raise ValueError(
                "data.images and data.synthetic.images are for runs on videos and images; with one frame a "
                "clip give data.train or data.synthetic.render"
            )
        if self.images is not None and self.synthetic is not None and self.synthetic.images is not None:
            raise ValueError("give images as data.images or as data.synthetic.images, and not both")


@dataclass(frozen=True, kw_only=True)
class JitterConfig:
    """Random changes of a clip's colours, in random order (torchvision's ColorJitter).

    Defaults are those of LeJEPA, LeVJEPA and MIM-JEPA.

    Attributes:
        brightness: Largest relative change of the brightness, 0 or more; 0.4 multiplies it by 0.6 to 1.4.
        contrast: Largest relative change of each frame's contrast, 0 or more.
        saturation: Largest relative change of the saturation, 0 or more.
        hue: Largest rotation of the hue in either direction, from 0 to 0.5, as a share of the colour circle.
            It takes most of the time of all changes; 0 leaves it out.
        p: Share of the clips whose colours are changed, above 0 and up to 1.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    p: float = 0.8

    def __post_init__(self) -> None:
        checks.at_least("augment.jitter", self, brightness=0, contrast=0, saturation=0)
        checks.positive_share("augment.jitter", self, "p")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"augment.jitter.hue is {self.hue}: give a share of the circle from 0 to 0.5")
        if not any((self.brightness, self.contrast, self.saturation, self.hue)):
            raise ValueError(
                "augment.jitter has brightness, contrast, saturation and hue 0, which changes nothing: give "
                "one of them above 0, or null for augment.jitter"
            )


@dataclass(frozen=True, kw_only=True)
class BlurConfig:
    """Gaussian blur of the frames (torchvision's GaussianBlur).

    Attributes:
        kernel_size: Side length of the kernel in pixels, odd and 3 or more. Published are 9 (MIM-JEPA,
            LeVJEPA's code) and 23 (LeJEPA) for frames of 224 pixels.
        sigma: Smallest and largest standard deviation of the kernel in pixels, above 0.
        p: Share of the clips that are blurred, above 0 and up to 1. Published are 0.3 (MIM-JEPA) and 0.5
            (LeJEPA).
    """

    kernel_size: int = 9
    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise ValueError(
                f"augment.blur.kernel_size is {self.kernel_size}: give an odd number of pixels, 3 or more"
            )
        checks.ascending("augment.blur", self, "sigma")
        checks.positive_share("augment.blur", self, "p")


@dataclass(frozen=True, kw_only=True)
class PretrainAugment:
    """Augmentation of pixel values, the same for all frames of a clip; crops and mirroring are in `data`.

    Attributes:
        jitter: Settings of random changes of the colours; null makes none.
        grey: Share of the clips that lose their colours, in [0, 1]. Published are 0.1 (MIM-JEPA) and 0.2
            (LeJEPA, LeVJEPA).
        blur: Settings of a Gaussian blur; null blurs no clip.
        target: What prediction targets are embeddings of: `shared`, the same pixels that the encoder sees; or
            `separate`, the same frames and crop with an augmentation that is drawn for the target encoder
            (MIM-JEPA), so that what the augmentation changes cannot be predicted. Crops are never separate,
            because a token is predicted from its position in the crop.
    """

    jitter: JitterConfig | None = None
    grey: float = 0.0
    blur: BlurConfig | None = None
    target: Literal["shared", "separate"] = "shared"

    @property
    def changes_pixels(self) -> bool:
        """Whether any augmentation is on."""
        return self.jitter is not None or self.blur is not None or self.grey > 0

    def __post_init__(self) -> None:
        checks.share("augment", self, "grey")
        if self.target == "separate" and not self.changes_pixels:
            raise ValueError(
                "augment.target is separate and nothing is augmented, so that encoder and target encoder "
                "would see the same: give augment.jitter, augment.grey or augment.blur, or shared"
            )
