"""The pre-training configuration: a tree of dataclasses with the default values.

The docstrings of these classes are also what ``tools/pretrain.py --help`` prints: the text of each attribute,
shown alone, is
the help of its option.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vjepa.choices import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    DistanceName,
    Kind,
    OnlineProbe,
    PixelTargets,
    Score,
)
from vjepa.config import EncoderConfig, OptimConfig, SIGRegConfig, TrainConfig, VICRegConfig, checks
from vjepa.data.clips import ClipSampling
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.masks.future import FutureMask
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import RandomMask, TubeMask


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
        reader: Video decoder: `auto` (`pyav` on every machine), `pyav`, `decord` or `torchcodec`. The last
            two are compared with PyAV on each file and replaced by it, with a warning, where they differ.
        cache_dir: Folder in which decoded, resized videos are kept, so that each file is decoded once; null
            decodes every time.
        cache_short_side: Length in pixels of the shorter side of the cached frames.
        num_workers: Number of processes that load batches; 0 loads them in the training process. Results do
            not depend on it.
        damaged: What happens to a damaged video: one with frames that the decoder marks as corrupt, packets
            that do not decode, or fewer frames than its header counts. `keep` reads it as far as possible.
            `skip` replaces it like an unreadable one, and it then counts towards `max_unreadable`; damage is
            known only of what was read, so which videos are skipped depends on the frames that were drawn.
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
    reader: Literal["auto", "pyav", "decord", "torchcodec"] = "auto"
    cache_dir: str | None = None
    cache_short_side: int = 256
    num_workers: int = 2
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
        return self.crop_scale == (1.0, 1.0)

    @property
    def mixes_in_images(self) -> bool:
        """Whether there are steps on images between those on videos."""
        return self.images is not None or (self.synthetic is not None and self.synthetic.images is not None)

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.ascending("data", self, "crop_scale", highest=1)
        checks.ascending("data", self, "crop_ratio")
        checks.pixel_statistics("data", self)
        checks.at_least("data", self, cache_short_side=1, num_workers=0)
        checks.share("data", self, "max_unreadable")
        if self.train is not None and self.synthetic is not None:
            raise ValueError(
                "data.train and data.synthetic are both given: give one of them, and null for the other"
            )
        self._check_mixtures()

    def _check_mixtures(self) -> None:
        sources = len(self.train) if isinstance(self.train, list) else 1
        if self.weights is not None and (
            len(self.weights) != sources or min(self.weights) < 0 or not 0 < sum(self.weights) < math.inf
        ):
            raise ValueError(
                f"data.weights is {self.weights} for {sources} sources in data.train: give one weight for "
                "each, 0 or more, not all 0"
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


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Masks of every clip; each listed mask is one prediction task.

    All listed masks are drawn for every clip, unless `future_share` alternates between kinds of steps.

    Attributes:
        multiblock: Multi-block masks: unions of blocks are hidden (V-JEPA). The default is the published
            pair.
        tube: Tube masks: the same positions are hidden at all times (VideoMAE).
        random: Random masks: single tokens are hidden (MAE).
        image_blocks: Block masks for images: one large block is the context, several smaller ones are
            separate targets (I-JEPA).
        future: Future masks: the end of the clip is hidden.
        future_share: Share of the optimiser steps, in (0, 1), that draw the future masks alone; the other
            steps draw all other masks. Null draws all masks at every step.
    """

    multiblock: tuple[MultiBlock, ...] = (
        MultiBlock(num_blocks=8, spatial_scale=(0.15, 0.15)),
        MultiBlock(num_blocks=2, spatial_scale=(0.7, 0.7)),
    )
    tube: tuple[TubeMask, ...] = ()
    random: tuple[RandomMask, ...] = ()
    image_blocks: tuple[ImageBlocks, ...] = ()
    future: tuple[FutureMask, ...] = ()
    future_share: float | None = None

    @property
    def all(self) -> tuple[MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask, ...]:
        """All masks, in the order of their mask tokens in the predictor."""
        return tuple(self.by_name.values())

    @property
    def by_name(self) -> dict[str, MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask]:
        """The same masks by their key in the configuration, such as ``masks.multiblock[0]``."""
        families: dict[str, tuple[MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask, ...]] = {
            "multiblock": self.multiblock,
            "tube": self.tube,
            "random": self.random,
            "image_blocks": self.image_blocks,
            "future": self.future,
        }
        return {
            f"masks.{family}[{number}]": mask
            for family, masks in families.items()
            for number, mask in enumerate(masks)
        }

    def __post_init__(self) -> None:
        if self.future_share is None:
            return
        if not 0 < self.future_share < 1:
            raise ValueError(
                f"masks.future_share is {self.future_share}: give a share of the steps in (0, 1)"
            )
        if not self.future or len(self.all) == len(self.future):
            raise ValueError(
                "masks.future_share needs masks.future and another kind of mask to choose between"
            )


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Architecture of the predictor, or of the decoder of a masked auto-encoder.

    Attributes:
        embed_dim: Embedding dimension of the predictor's tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads per block.
    """

    embed_dim: int = 384
    depth: int = 12
    num_heads: int = 12

    def __post_init__(self) -> None:
        checks.at_least("predictor", self, embed_dim=1, depth=1, num_heads=1)
        checks.num_heads("predictor", self.embed_dim, self.num_heads)


@dataclass(frozen=True, kw_only=True)
class ContextLossConfig:
    """Loss on predictions of context tokens (V-JEPA 2.1).

    Attributes:
        weight: Weight of the error at a context token next to a target (lambda in the paper); it falls with
            the square root of the distance from the nearest target.
        warmup: Optimiser steps between which the weight rises linearly from 0 to its full value.
    """

    weight: float = 0.5
    warmup: tuple[int, int] = (15_000, 30_000)

    def __post_init__(self) -> None:
        checks.at_least("context_loss", self, weight=0)
        if not 0 <= self.warmup[0] <= self.warmup[1]:
            raise ValueError(
                f"context_loss.warmup is {self.warmup}: give two steps, the first not after the second"
            )


@dataclass(frozen=True, kw_only=True)
class FuturesConfig:
    """Prediction of several futures of each clip instead of one.

    Attributes:
        samples: Number of futures sampled for each clip at each step, 2 or more, each from its own noise
            vector.
        score: Loss on the samples. `energy` is the energy score, a proper score: samples learn the
            distribution of what happens. `best` trains only the sample nearest to what happened: samples
            become different, but not calibrated.
        noise: Length of the noise vector that distinguishes the futures of a clip.
    """

    samples: int = 4
    score: Score = "energy"
    noise: int = 16

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(
                f"futures.samples is {self.samples}: give 2 or more, or no futures for one prediction"
            )
        if self.noise < 1:
            raise ValueError(
                f"futures.noise is {self.noise}: give 1 or more, or all samples would be the same"
            )


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """Views of each clip that are embedded alike: global ones, which show most of it, and local ones.

    Defaults are those of LeVJEPA. Every view is cropped, mirrored and augmented by itself.

    Attributes:
        num_global: Number of global views of each clip, 1 or more: crops by `data.crop_scale` of `data.size`
            and all frames. Published are 1 (LeVJEPA) and 2 (LeJEPA).
        num_local: Number of local views of each clip, 0 or more. Published are 10 (LeVJEPA) and 6 (LeJEPA).
        local_size: Height and width of a local view in pixels, or one number for both.
        local_scale: Smallest and largest share of a frame's area that a local view covers, in (0, 1].
            Published are 0.02 to 0.4 (LeVJEPA) and 0.05 to 0.3 (LeJEPA).
        local_frames: Number of consecutive frames of a local view, at a random place of the clip; null takes
            all frames, as published.
        augment_global: Whether the section `augment` changes global views, too (LeJEPA), instead of local
            views alone (LeVJEPA).
    """

    num_global: int = 1
    num_local: int = 10
    local_size: int | tuple[int, int] = 96
    local_scale: tuple[float, float] = (0.02, 0.4)
    local_frames: int | None = None
    augment_global: bool = False

    def __post_init__(self) -> None:
        checks.at_least("objective.views", self, num_global=1, num_local=0, local_frames=1)
        checks.frame_size("objective.views", self, "local_size")
        checks.ascending("objective.views", self, "local_scale", highest=1)
        if self.num_global + self.num_local < 2:
            raise ValueError(
                "objective.views.num_global is 1 and num_local 0: one view has no other to be like, so give "
                "2 or more in all"
            )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Training objective: what is predicted, and what prevents collapse.

    Attributes:
        predict: Prediction targets: `embeddings` of tokens (JEPA), `pixels` (masked auto-encoder), or
            `views`, the embedding of the whole clip from each of several views of it (LeJEPA, LeVJEPA).
            `pixel_targets` is used only with `pixels`, `views` and `sigreg` alone with `views`, and all other
            settings of this section only with `embeddings`.
        pixel_targets: Target pixels: normalised per tubelet and channel (`tubelet`, VideoMAE), normalised per
            tubelet over all channels (`patch`, MAE), or unnormalised (`raw`).
        distance: Distance between predicted and target embeddings: `l1`, `smooth_l1` or `l2`. With `futures`
            it is only reported; the loss is then `futures.score`.
        target_encoder: Encoder that computes the target embeddings: `ema`, a moving average of the encoder;
            `frozen`, a teacher that was trained on pixels beforehand (SALT); `none`, the encoder itself,
            which then needs `sigreg` or `vicreg`.
        target_norm: Normalisation of the target encoder's tokens: `layer_norm`, each token over its features
            (V-JEPA), or `batch`, each dimension over all tokens of a batch, which removes what all clips have
            in common.
        target_blocks: Number of blocks of the target encoder, counted from the last, whose normalised outputs
            are averaged to targets (data2vec); 1 takes its output.
        momentum: Momentum of the target encoder at the first and at the last step, linear in between; used
            with target encoder `ema`.
        teacher: Model folder of the teacher, with target encoder `frozen`; null first trains one on the same
            data and masks, in the folder `teacher` of `output_dir`.
        teacher_steps: Number of optimiser steps that train the teacher where `teacher` is null.
        sigreg: Settings of a further loss, SIGReg, on the encoder's own embeddings, which works with every
            target encoder; null has no such loss.
        vicreg: Settings of a further loss, VICReg, on the encoder's own embeddings, which works with every
            target encoder; null has no such loss.
        context_loss: Settings of a further loss on predictions of the context tokens (V-JEPA 2.1); null has
            no such loss.
        futures: Settings for predicting several futures of each clip, with target encoder `ema` or `frozen`;
            null predicts one.
        views: Views of each clip, with `predict` `views`, which needs them; null for other targets.
    """

    predict: Literal["embeddings", "pixels", "views"] = "embeddings"
    pixel_targets: PixelTargets = "tubelet"
    distance: DistanceName = "l1"
    target_encoder: Literal["ema", "frozen", "none"] = "ema"
    target_norm: Literal["layer_norm", "batch"] = "layer_norm"
    target_blocks: int = 1
    momentum: tuple[float, float] = (0.998, 1.0)
    teacher: str | None = None
    teacher_steps: int = 40_000
    sigreg: SIGRegConfig | None = None
    vicreg: VICRegConfig | None = None
    context_loss: ContextLossConfig | None = None
    futures: FuturesConfig | None = None
    views: ViewsConfig | None = None

    def __post_init__(self) -> None:
        if not all(0 <= momentum <= 1 for momentum in self.momentum):
            raise ValueError(f"objective.momentum is {self.momentum}: give two shares in [0, 1]")
        if self.teacher_steps < 1:
            raise ValueError(f"objective.teacher_steps is {self.teacher_steps}: give 1 or more")
        if self.teacher is not None and self.target_encoder != "frozen":
            raise ValueError(
                f"objective.teacher is {self.teacher} and objective.target_encoder {self.target_encoder}: "
                "only a frozen target encoder is read from a model, so give frozen, or leave the teacher out"
            )
        if self.target_blocks < 1:
            raise ValueError(f"objective.target_blocks is {self.target_blocks}: give 1 or more")
        if self.target_encoder == "none" and (self.target_norm != "layer_norm" or self.target_blocks != 1):
            raise ValueError(
                f"objective.target_norm is {self.target_norm}, target_blocks {self.target_blocks} and "
                "target_encoder none: the encoder's own tokens are predicted as they are, so leave both out"
            )
        if self.futures is not None:
            self._check_futures()
        self._check_regularizers()
        self._check_views()

    def _check_views(self) -> None:
        if self.predict != "views":
            if self.views is not None:
                raise ValueError(
                    f"objective.views is given and objective.predict is {self.predict}: set the latter to "
                    "views, or leave objective.views out"
                )
            return
        missing = [name for name in ("views", "sigreg") if getattr(self, name) is None]
        unused = [name for name in ("vicreg", "context_loss") if getattr(self, name) is not None]
        if missing:
            raise ValueError(
                f"objective.predict is views and objective.{missing[0]} null: give its settings, such as "
                f"objective.{missing[0]}: {{}}"
            )
        if self.target_encoder != "none":
            raise ValueError(
                f"objective.predict is views and objective.target_encoder {self.target_encoder}: views are "
                "all embedded by the encoder that is trained, so set objective.target_encoder none"
            )
        if unused:
            raise ValueError(
                f"objective.{unused[0]} is for tokens and objective.predict is views: leave {unused[0]} out"
            )

    def _check_regularizers(self) -> None:
        given = [name for name in ("sigreg", "vicreg") if getattr(self, name) is not None]
        if self.predict == "pixels" and given:
            raise ValueError(
                f"objective.{given[0]} is for embeddings and objective.predict is pixels: leave "
                f"{' and '.join(given)} out"
            )
        if self.vicreg is not None and self.vicreg.predictions and self.target_encoder != "none":
            raise ValueError(
                f"objective.vicreg.predictions is {self.vicreg.predictions} and objective.target_encoder "
                f"{self.target_encoder}, which the predictions follow: set it to 0, or the target encoder to "
                "none"
            )
        if self.predict == "embeddings" and self.target_encoder == "none" and not given:
            raise ValueError(
                "objective.target_encoder is none, and the embeddings would become constant: give "
                "objective.sigreg or objective.vicreg, or a target encoder (ema, frozen)"
            )

    def _check_futures(self) -> None:
        if self.predict != "embeddings":
            raise ValueError(
                f"objective.futures is for embeddings and objective.predict is {self.predict}: leave futures "
                "out"
            )
        if self.target_encoder == "none":
            raise ValueError(
                "objective.futures with objective.target_encoder none: futures are scored against a target "
                "encoder, so give ema or frozen"
            )
        if self.context_loss is not None:
            raise ValueError(
                "objective.futures and objective.context_loss: context tokens do not have several futures; "
                "leave one of the two out"
            )

    @property
    def noise_shape(self) -> tuple[int, int] | None:
        """Number of noise vectors per clip and their length; None where one future is predicted."""
        return None if self.futures is None else (self.futures.samples, self.futures.noise)

    @property
    def has_teacher(self) -> bool:
        """Whether targets are embeddings of a frozen target encoder."""
        return self.predict == "embeddings" and self.target_encoder == "frozen"

    @property
    def trains_teacher(self) -> bool:
        """Whether the run begins with a stage that trains the frozen target encoder."""
        return self.has_teacher and self.teacher is None

    @property
    def measures_batch(self) -> bool:
        """Whether the loss is a statistic of the whole batch rather than a mean over its clips."""
        return self.sigreg is not None or self.vicreg is not None


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Probes of the frozen encoder: one at the end, compared with an untrained encoder, and one in training.

    Attributes:
        train: Labelled manifest to fit the probes on (such as `FILE.csv?split=train`); null for both `train`
            and `test` turns the probes off. With `data.synthetic`, the rendered videos are used instead.
        test: Labelled manifest to test the linear probe on at the end of the run, with none of the videos of
            `train`.
        max_videos: Largest number of videos taken from each of the two manifests; null takes all.
        online: Probe that is fitted again and again during training, on videos of `train` alone: `knn`
            (nearest neighbours) or `ridge` (linear); null fits none. By cross-validation over four parts,
            each part is held back once; parts never share a group. The mean balanced accuracy is logged, and
            training is the same with and without it. The teacher that SALT trains first has no online probe.
        every: Number of optimiser steps between two measurements of the online probe, which also measures the
            last step.
        online_videos: Largest number of videos of `train` that the online probe takes, spread evenly over the
            manifest with the same number of each class; null takes all.
    """

    train: str | None = None
    test: str | None = None
    max_videos: int | None = None
    online: OnlineProbe | None = None
    every: int = 500
    online_videos: int | None = 512

    def __post_init__(self) -> None:
        checks.at_least("probe", self, max_videos=1, every=1, online_videos=4)
        if (self.train is None) != (self.test is None):
            raise ValueError(
                f"probe.train is {self.train} and probe.test {self.test}: give both, or null for both to "
                "turn the probe off"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainTrainConfig(TrainConfig):
    """How the run is executed, which of its weights it keeps, and when it may end early.

    Attributes:
        keep_best: Whether `model/` holds the weights of the step whose online probe (`probe.online`) was
            best, instead of those of the last step. A checkpoint is then written at each measurement that is
            better than all before, and the best one is kept beside the `keep_checkpoints` most recent ones,
            so the run needs the disk space of one more checkpoint.
        patience: Number of measurements of the online probe (`probe.online`) without a new best after which
            the run ends early, with its model and summary; all schedules stay those of `optim.steps`. Null
            trains to the last step.
    """

    keep_best: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least("train", self, patience=1)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Configuration of a pre-training run.

    Attributes:
        output_dir: Run folder.
        seed: Random seed of initial weights, order of the videos, crops and masks.
        init: Run folder, model folder or released weights whose weights the run starts from; null starts from
            random weights.
        data: Training videos and the clips cut from them.
        augment: Augmentation of pixel values, the same for all frames of a clip; crops and mirroring are in
            `data`.
        masks: Masks of every clip; each listed mask is one prediction task. With `objective.predict` `views`
            no mask is needed, and a random one drops tokens.
        encoder: Architecture of the encoder, a ViT over tubelets.
        predictor: Architecture of the predictor, or of the decoder of a masked auto-encoder; unused with
            `objective.predict` `views`.
        objective: Training objective: what is predicted, and what prevents collapse.
        optim: AdamW and its schedules, counted in optimiser steps.
        train: How the run is executed, which of its weights it keeps, and when it may end early.
        probe: Probes of the frozen encoder: one at the end, compared with an untrained encoder, and one in
            training.
    """

    output_dir: str = "runs/pretrain"
    seed: int = 0
    init: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    augment: PretrainAugment = field(default_factory=PretrainAugment)
    masks: MasksConfig = field(default_factory=MasksConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: PretrainTrainConfig = field(default_factory=PretrainTrainConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        checks.seed("", self, "seed")
        self._check_augment()
        self._check_masks()
        if self.objective.views is not None:
            self._check_views(self.objective.views)
        self._check_online_probe()
        if self.encoder.levels and self.objective.target_blocks > 1:
            raise ValueError(
                f"objective.target_blocks is {self.objective.target_blocks} and encoder.levels "
                f"{list(self.encoder.levels)}: targets are either averages of blocks or several levels, so "
                "leave one of the two out"
            )

    def _check_augment(self) -> None:
        augment, channels = self.augment, len(self.data.mean)
        if (augment.jitter is not None or augment.grey) and channels != 3:
            raise ValueError(
                f"augment.jitter and augment.grey are for red, green and blue, and data.mean has {channels} "
                "channels: leave both out; augment.blur takes any channels"
            )
        if augment.blur is not None and augment.blur.kernel_size // 2 >= min(self.data.clip_size):
            raise ValueError(
                f"augment.blur.kernel_size is {augment.blur.kernel_size} for clips of {self.data.clip_size} "
                "pixels: give a kernel less than twice as long as the shorter side"
            )
        if augment.target == "separate" and self.objective.predict == "pixels":
            raise ValueError(
                "augment.target is separate and objective.predict is pixels: the targets are the pixels that "
                "the encoder sees, without a target encoder; give augment.target shared"
            )
        if augment.target == "separate" and self.objective.predict == "views":
            raise ValueError(
                "augment.target is separate and objective.predict is views, each of which is augmented by "
                "itself anyway: give augment.target shared"
            )

    def _check_masks(self) -> None:
        masks = self.masks.by_name
        if self.objective.predict != "views":
            if not masks:
                raise ValueError("masks is empty: list at least one mask, e.g. masks.tube: [{ratio: 0.9}]")
            return
        wrong = [name for name in masks if name != "masks.random[0]"]
        if wrong:
            raise ValueError(
                f"{wrong[0]} is given and objective.predict is views, of which no token is predicted: set "
                "masks.multiblock and the others to []; one masks.random drops tokens of each view"
            )

    def _check_views(self, views: ViewsConfig) -> None:
        frames = self.data.clip.num_frames
        if views.local_frames is not None and (views.local_frames > frames or not views.num_local):
            raise ValueError(
                f"objective.views.local_frames is {views.local_frames}, num_local {views.num_local} and "
                f"data.clip.num_frames {frames}: local views have at most as many frames, so give fewer, or "
                "null"
            )
        if views.augment_global and not self.augment.changes_pixels:
            raise ValueError(
                "objective.views.augment_global is true and nothing is augmented: give augment.jitter, "
                "augment.grey or augment.blur, or false"
            )
        if self.encoder.levels:
            raise ValueError(
                f"encoder.levels is {list(self.encoder.levels)} and objective.predict is views, which embeds "
                "the last block's tokens: leave encoder.levels out"
            )

    def _check_online_probe(self) -> None:
        if self.probe.online is None:
            for name in ("keep_best", "patience"):
                value = getattr(self.train, name)
                if value:
                    raise ValueError(
                        f"train.{name} is {value} and probe.online is null, so nothing is measured during "
                        f"training: give probe.online knn or ridge, or leave train.{name} out"
                    )
            return
        if self.probe.train is None and self.data.synthetic is None:
            raise ValueError(
                f"probe.online is {self.probe.online}, and there are no labelled videos to measure on: give "
                "probe.train and probe.test, or data.synthetic, or leave probe.online out"
            )
        patience, every, steps = self.train.patience, self.probe.every, self.optim.steps
        if patience is not None and every * (patience + 1) >= steps:
            raise ValueError(
                f"train.patience is {patience}, and with probe.every {every} and optim.steps {steps} the "
                f"run could not end early, at step {every * (patience + 1)} at the earliest: lower "
                "train.patience or probe.every, or leave train.patience out"
            )
        if self.train.keep_best and every >= steps:
            raise ValueError(
                f"train.keep_best is true, and with probe.every {every} and optim.steps {steps} only the "
                "last step is measured: lower probe.every, or leave train.keep_best out"
            )
