"""The schema of every pre-training configuration: a tree of dataclasses with the defaults. Text is for `--help`, too."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vjepa.batch import Kind
from vjepa.config import checks
from vjepa.data.clips import ClipSampling
from vjepa.data.synthetic import RenderSettings
from vjepa.layers.pixel_targets import PixelTargets
from vjepa.layers.pixels import IMAGENET_MEAN, IMAGENET_STD
from vjepa.layers.positions import PositionKind, RotaryLayout
from vjepa.masks.future import FutureMask
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import RandomMask, TubeMask
from vjepa.models.sizes import SizeName
from vjepa.objectives.distances import DistanceName
from vjepa.objectives.energy_score import Score
from vjepa.schedules import Shape


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Render labelled videos of moving objects instead of reading a manifest.

    Attributes:
        folder: where the .mp4 files and their manifests go; made once, then reused.
        num_train: videos to train on.
        num_test: further videos, never trained on, for the frozen probe.
        seed: Random seed of the rendered scenes; the same seed gives the same frames.
        render: what the videos show.
        images: what images show: as many videos more, whose single frames are taken at steps on images (`data.image_share`);
            null for no such steps.
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
    """Videos and the clips cut from them.

    Attributes:
        train: a manifest (CSV, JSONL, `path label` list), a folder of videos or of a folder per class; or a
            list of them for a mixture. ``FILE.csv?split=train`` takes the rows whose column has that value.
        weights: share of each source of a mixture; in proportion to their sizes if null.
        synthetic: render videos instead (`train` stays null).
        images: a manifest or folder of images (or of videos, for single frames of them), or a list of such,
            for steps on images between those on videos. To train on images alone, give them as `train` with
            `clip.num_frames: 1`.
        image_share: share of the optimiser steps that take images.
        clip: frames of a clip, their spacing, clips from one decoding. With one frame, a folder of images is a
            list of images; with more, it is a video.
        size: height and width of a clip in pixels, or one number for both.
        crop_scale: range of the share of a frame's area that is cropped.
        crop_ratio: range of the crop's width over its height.
        flip: mirror half of the clips.
        mean: of each channel, in [0, 1].
        std: of each channel.
        reader: `auto` and `pyav` are exact. `decord` and `torchcodec` are compared with PyAV on each file, and replaced by
            it, with a warning, where they differ.
        cache_dir: keep decoded, resized videos here and decode each file once; null decodes each time.
        cache_short_side: short side in pixels of the cached frames.
        workers: processes that make batches; the result does not depend on it.
        damaged: what happens to a video of which only a part is sound (frames that the decoder marks as corrupt, packets
            that it refuses, frames that the header counts and the file lacks). `keep` reads it as far as it goes; `skip`
            replaces it as an unreadable one, which counts in `max_unreadable`. Either way it is named once and counted in
            the metrics. The default keeps the data set, and so the metrics of a test split, what they are for everybody
            else; and damage is known only of what was read, so that skipping depends on the frames that were drawn.
        max_unreadable: share of the manifest's videos that may fail before the run stops.
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
    workers: int = 2
    damaged: Literal["keep", "skip"] = "keep"
    max_unreadable: float = 0.01

    @property
    def kind(self) -> Kind:
        """What the run is on; images that are mixed in stand beside it."""
        return "images" if self.clip.num_frames == 1 else "videos"

    @property
    def mixes_in_images(self) -> bool:
        """Whether there are steps on images between those on videos."""
        return self.images is not None or (self.synthetic is not None and self.synthetic.images is not None)

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.ascending("data", self, "crop_scale", highest=1)
        checks.ascending("data", self, "crop_ratio")
        checks.pixel_statistics("data", self)
        checks.at_least("data", self, cache_short_side=1, workers=0)
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
                f"data.weights is {self.weights} for {sources} sources in data.train: give one weight for each, 0 or more, not "
                "all 0"
            )
        if not 0 < self.image_share < 1:
            raise ValueError(f"data.image_share is {self.image_share}: give a share of the steps in (0, 1)")
        if self.mixes_in_images and self.kind == "images":
            raise ValueError(
                "data.images and data.synthetic.images are for runs on videos and images; with one frame a clip give "
                "data.train or data.synthetic.render"
            )
        if self.images is not None and self.synthetic is not None and self.synthetic.images is not None:
            raise ValueError("give images as data.images or as data.synthetic.images, and not both")


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Masks of every clip: all that are listed are drawn, each is one prediction task.

    With `future_share`, a step draws either the future masks or all the others.

    Attributes:
        multiblock: unions of blocks (V-JEPA). The default is the published pair.
        tube: the same places hidden at all times (VideoMAE).
        random: single tokens hidden (MAE).
        image_blocks: a large block seen, some smaller ones predicted, each by itself (I-JEPA).
        future: the end of the clip hidden.
        future_share: share of the optimiser steps with future masks alone, the rest with the others alone; null
            draws them side by side at every step.
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
        """Every mask, in the order in which the predictor's mask tokens are numbered."""
        return tuple(self.by_name.values())

    @property
    def by_name(self) -> dict[str, MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask]:
        """The same masks by their place in the configuration, such as ``masks.multiblock[0]``."""
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
        if not self.all:
            raise ValueError("masks is empty: list at least one mask, e.g. masks.tube: [{ratio: 0.9}]")
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
class EncoderConfig:
    """The tubelet ViT.

    Attributes:
        size: a row of the table of sizes.
        width: of the tokens; null takes the size's, as for the next three.
        depth: number of blocks.
        heads: attention heads.
        mlp_ratio: width of the MLP over that of the tokens.
        tubelet: frames, rows and columns of a token.
        positions: `rotary`; `sincos` (3-D, V-JEPA), `sincos_plane` (2-D, MAE, I-JEPA), `sinusoid` (VideoMAE).
        rotary_layout: `interleave`, or `tile` as released V-JEPA 2 weights.
        drop_path: stochastic depth of the last block.
        causal: a token attends to its own and earlier time steps only.
        class_token: one learnt token more (MAE).
        image_tokenizer: single frames have a patch embedding of their own (V-JEPA 2.1).
        levels: numbers of the blocks that are predicted, ascending to the last; empty for the last alone
            (V-JEPA 2.1).
    """

    size: SizeName = "base"
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    mlp_ratio: float | None = None
    tubelet: tuple[int, int, int] = (2, 16, 16)
    positions: PositionKind = "rotary"
    rotary_layout: RotaryLayout = "interleave"
    drop_path: float = 0.0
    causal: bool = False
    class_token: bool = False
    image_tokenizer: bool = False
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.at_least("encoder", self, width=1, depth=1, heads=1)
        checks.above_zero("encoder", self, "mlp_ratio")
        checks.below_one("encoder", self, "drop_path")
        checks.heads("encoder", self.width, self.heads, self.size)
        if min(self.tubelet) < 1:
            raise ValueError(
                f"encoder.tubelet is {list(self.tubelet)}: give frames, rows and columns of a token, each 1 or more"
            )


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """The narrow ViT that predicts embeddings, or, as the decoder of a masked auto-encoder, pixels.

    Attributes:
        width: of its tokens.
        depth: number of blocks.
        heads: attention heads.
    """

    width: int = 384
    depth: int = 12
    heads: int = 12

    def __post_init__(self) -> None:
        checks.at_least("predictor", self, width=1, depth=1, heads=1)
        checks.heads("predictor", self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class SIGRegConfig:
    """Sketched isotropic Gaussian regularisation.

    Attributes:
        weight: of the statistic beside the prediction error.
        directions: random projections, drawn anew each step.
        places: tokens of the grid that are tested at each step.
    """

    weight: float = 0.02
    directions: int = 128
    places: int = 4

    def __post_init__(self) -> None:
        checks.at_least("sigreg", self, weight=0, directions=1, places=1)


@dataclass(frozen=True, kw_only=True)
class VICRegConfig:
    """Variance and covariance regularisation.

    Attributes:
        variance: weight of the hinge on each dimension's deviation.
        covariance: weight of the squared covariances.
        predictions: weight of these terms of the predictions beside those of the embeddings.
        places: tokens of the grid, drawn anew each step, each held against the same place of other clips; null holds all of
            them together against each other.
    """

    variance: float = 1.0
    covariance: float = 0.04
    predictions: float = 1.0
    places: int | None = 32

    def __post_init__(self) -> None:
        if min(self.variance, self.covariance, self.predictions) < 0:
            raise ValueError(
                f"vicreg is {self.variance}, {self.covariance}, {self.predictions}: give weights of 0 or more"
            )
        if self.places is not None and self.places < 1:
            raise ValueError(f"vicreg.places is {self.places}: give 1 or more, or null for all together")


@dataclass(frozen=True, kw_only=True)
class ContextLossConfig:
    """Predict what is seen as well (V-JEPA 2.1).

    Attributes:
        weight: lambda, at a token beside the hidden region; it falls with the square root of the distance.
        warmup: optimiser steps between which it rises from 0.
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
    """Predict several futures of each clip instead of one.

    Attributes:
        samples: futures of a clip at each step, each with noise of its own.
        score: `energy`, a proper score, for samples that are spread as what really happens; `best`, where only the best
            sample learns, for samples that differ.
        noise: numbers of the noise vector that tells the futures of a clip apart.
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
class ObjectiveConfig:
    """What is predicted, and what keeps embeddings from collapsing.

    Attributes:
        predict: `embeddings` (JEPA) or `pixels` (masked auto-encoder). Of what follows, `pixel_targets` is for
            pixels, all else for embeddings.
        pixel_targets: `tubelet`, normalised in each channel (VideoMAE); `patch`, over all channels (MAE); `raw`.
        distance: of predicted embeddings from their targets; with `futures` it only measures, and the score is learnt.
        stabilizer: what keeps embeddings from collapsing: `ema`, a target encoder that follows slowly; `frozen`,
            one that was trained on pixels before (SALT); `sigreg` or `vicreg`, a loss on the embeddings and no
            target encoder.
        momentum: of the target encoder at the first and at the last step, linear in between (`ema`).
        teacher: model folder of the frozen target encoder; null trains it first, in OUTPUT_DIR/teacher, on the
            same data and masks (`frozen`).
        teacher_steps: optimiser steps of that first stage (`frozen`).
        sigreg: its numbers (`sigreg`).
        vicreg: its numbers (`vicreg`).
        context_loss: predict what is seen, too; null for no.
        futures: predict several futures, for `ema` and `frozen`; null for one.
    """

    predict: Literal["embeddings", "pixels"] = "embeddings"
    pixel_targets: PixelTargets = "tubelet"
    distance: DistanceName = "l1"
    stabilizer: Literal["ema", "frozen", "sigreg", "vicreg"] = "ema"
    momentum: tuple[float, float] = (0.998, 1.0)
    teacher: str | None = None
    teacher_steps: int = 40_000
    sigreg: SIGRegConfig = field(default_factory=SIGRegConfig)
    vicreg: VICRegConfig = field(default_factory=VICRegConfig)
    context_loss: ContextLossConfig | None = None
    futures: FuturesConfig | None = None

    def __post_init__(self) -> None:
        if not all(0 <= momentum <= 1 for momentum in self.momentum):
            raise ValueError(f"objective.momentum is {self.momentum}: give two shares in [0, 1]")
        if self.teacher_steps < 1:
            raise ValueError(f"objective.teacher_steps is {self.teacher_steps}: give 1 or more")
        if self.futures is not None:
            self._check_futures()

    def _check_futures(self) -> None:
        if self.predict != "embeddings":
            raise ValueError(
                f"objective.futures is for embeddings and objective.predict is {self.predict}: leave futures out"
            )
        if self.stabilizer not in ("ema", "frozen"):
            raise ValueError(
                f"objective.futures with objective.stabilizer {self.stabilizer}: futures are scored against a target "
                "encoder, so give ema or frozen"
            )
        if self.context_loss is not None:
            raise ValueError(
                "objective.futures and objective.context_loss: what is seen has no several futures; leave one of the two out"
            )

    @property
    def trains_teacher(self) -> bool:
        """Whether a run begins with a stage of its own for the frozen target encoder."""
        return self.predict == "embeddings" and self.stabilizer == "frozen" and self.teacher is None

    @property
    def measures_batch(self) -> bool:
        """Whether the loss is a statistic of the whole batch, and not a mean over its clips."""
        return self.predict == "embeddings" and self.stabilizer in ("sigreg", "vicreg")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedules, all counted in optimiser steps.

    Attributes:
        steps: optimiser steps of the run.
        batch_size: videos of one optimiser step, over all processes and accumulated parts: the recipe does
            not change with the machine.
        lr: learning rate after the warm-up.
        start_lr: at the first step.
        final_lr: at the end of the schedule.
        lr_shape: how it goes from `lr` to `final_lr`.
        warmup_steps: linear warm-up.
        weight_decay: at the first step; biases and norms have none.
        final_weight_decay: at the end of the schedule, by a cosine; null keeps it constant.
        schedule_stretch: schedules are made for so many times the steps, and cut.
        betas: of AdamW.
        eps: of AdamW.
        clip_grad: largest norm of the gradient; null for no limit.
    """

    steps: int = 90_000
    batch_size: int = 3072
    lr: float = 6.25e-4
    start_lr: float = 0.0
    final_lr: float = 1e-6
    lr_shape: Shape = "cosine"
    warmup_steps: int = 12_000
    weight_decay: float = 0.04
    final_weight_decay: float | None = None
    schedule_stretch: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_grad: float | None = 10.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"optim.steps is {self.steps} and optim.batch_size {self.batch_size}: give 1 or more of each"
            )
        checks.at_least(
            "optim", self, lr=0, start_lr=0, final_lr=0, warmup_steps=0, weight_decay=0, final_weight_decay=0
        )
        checks.above_zero("optim", self, "schedule_stretch", "eps", "clip_grad")
        checks.below_one("optim", self, "betas")
        if self.warmup_steps > self.steps:
            raise ValueError(
                f"optim.warmup_steps {self.warmup_steps} is more than optim.steps {self.steps}: "
                "the learning rate would never reach its peak; shorten the warm-up"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the run is carried out; nothing here changes what is learnt, up to rounding.

    Attributes:
        micro_batch: most videos that one process takes at once; the rest is accumulated. Null takes its whole
            share of the batch.
        precision: of activations; null leaves it to `accelerate launch`.
        activation_checkpointing: recompute activations in the backward pass to save memory.
        compile: compile the transformer blocks; the first steps are slow, and need a C++ compiler on a CPU.
        log_every: steps between log lines.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: how many are kept.
        trackers: names of experiment trackers that accelerate knows (tensorboard, wandb, trackio, ...).
        device: `auto` takes the accelerator that is there.
        threads: of each process on a CPU; null shares the machine's cores among them.
    """

    micro_batch: int | None = None
    precision: Literal["no", "fp16", "bf16"] | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        checks.at_least(
            "train", self, micro_batch=1, log_every=1, checkpoint_every=1, keep_checkpoints=1, threads=1
        )


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """A linear read-out of frozen features at the end of a run, beside the untrained encoder's.

    Attributes:
        train: labelled manifest to fit it on (`FILE.csv?split=train`); null for no probe. With synthetic
            videos, both are theirs.
        test: labelled manifest to report; its videos must not be among those of `train`.
        max_videos: of each; null for all.
    """

    train: str | None = None
    test: str | None = None
    max_videos: int | None = None

    def __post_init__(self) -> None:
        checks.at_least("probe", self, max_videos=1)
        if (self.train is None) != (self.test is None):
            raise ValueError(
                f"probe.train is {self.train} and probe.test {self.test}: give both, or null for both and no probe"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything about a pre-training run.

    Attributes:
        output_dir: folder of the run.
        seed: of initialisation, order, crops and masks.
        init: model folder to start from (weights only); null starts from scratch.
    """

    output_dir: str = "runs/pretrain"
    seed: int = 0
    init: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    masks: MasksConfig = field(default_factory=MasksConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        checks.seed("", self, "seed")
