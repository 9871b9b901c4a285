"""The schema of every fine-tuning configuration, with the defaults. Text is for `--help`, too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vjepa.config import checks
from vjepa.config.schema import TrainConfig
from vjepa.data.clips import ClipSampling
from vjepa.schedules import Shape


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Low-rank changes of the encoder's matrices instead of the matrices themselves (needs the package peft).

    Attributes:
        rank: of each change.
        alpha: changes are multiplied by alpha / rank.
    """

    rank: int = 8
    alpha: int = 16

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"model.lora.rank is {self.rank}: give 1 or more")
        checks.above_zero("model.lora", self, "alpha")


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """The encoder that is started from, and what of it learns.

    Attributes:
        init: folder of a run or of a model.
        which: its `target_encoder` or its `encoder`; null takes the target encoder where there is one.
        weights: `trained`, or `random` for the same sizes untrained: what pre-training is to be compared with.
        tune: `all` weights; `lora`; or `none`, for a probe of the frozen encoder.
        drop_path: stochastic depth of the last block.
        levels: numbers of the blocks that the head sees, side by side as further tokens; empty for the last alone.
        lora: its numbers (`lora`).
    """

    init: str | None = None
    which: Literal["target_encoder", "encoder"] | None = None
    weights: Literal["trained", "random"] = "trained"
    tune: Literal["all", "none", "lora"] = "all"
    drop_path: float = 0.0
    levels: tuple[int, ...] = ()
    lora: LoRAConfig = field(default_factory=LoRAConfig)

    def __post_init__(self) -> None:
        checks.below_one("model", self, "drop_path")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """From tokens to classes.

    Attributes:
        kind: `linear` or `mlp`, on the mean of all tokens; `attentive`, learnt queries that look at all tokens.
        depth: blocks of an attentive head: one of cross-attention after `depth - 1` of self-attention.
        queries: of an attentive head.
        hidden: width of an mlp; null takes the encoder's.
        dropout: before the last layer.
        init_scale: factor of the last layer's first weights.
    """

    kind: Literal["linear", "mlp", "attentive"] = "linear"
    depth: int = 1
    queries: int = 1
    hidden: int | None = None
    dropout: float = 0.0
    init_scale: float = 1.0

    def __post_init__(self) -> None:
        checks.at_least("head", self, depth=1, queries=1, hidden=1, init_scale=0)
        checks.below_one("head", self, "dropout")


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """Labelled videos and the clips cut from them.

    Attributes:
        train: a manifest with labels (`FILE.csv?split=train`), or a folder with a folder per class.
        val: what a grid of heads is chosen on; null holds back `val_share` of `train`.
        val_share: of the training videos that are held back to choose on, by whole groups; only for a grid.
        test: labelled videos whose accuracy is reported; null holds back `test_share` of `train`.
        test_share: share of the training videos, by whole groups, that is held back to be tested where `test` is null; 0
            tests nothing and trains on all videos.
        test_seed: which videos these are; they are the same for every `seed` of the run.
        label_share: of the labels of each class that may be used, one at least.
        label_seed: which these are.
        clip: frames of a clip and their spacing; null takes the model's.
        repeats: samples that come from one decoding (repeated sampling).
        segments: clips of a video that the head sees together.
        size: height and width in pixels; null takes the model's.
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
        max_unreadable: share of the training videos that may fail before the run stops.
    """

    train: str | None = None
    val: str | None = None
    val_share: float = 0.2
    test: str | None = None
    test_share: float = 0.2
    test_seed: int = 0
    label_share: float = 1.0
    label_seed: int = 0
    clip: ClipSampling | None = None
    repeats: int = 1
    segments: int = 1
    size: int | tuple[int, int] | None = None
    reader: Literal["auto", "pyav", "decord", "torchcodec"] = "auto"
    cache_dir: str | None = None
    cache_short_side: int = 256
    workers: int = 2
    damaged: Literal["keep", "skip"] = "keep"
    max_unreadable: float = 0.01

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.at_least("data", self, cache_short_side=1, workers=0)
        checks.share("data", self, "max_unreadable")
        checks.seed("data", self, "label_seed")
        for name, share in (("val_share", self.val_share), ("label_share", self.label_share)):
            if not 0 < share <= 1:
                raise ValueError(f"data.{name} is {share}: give a share in (0, 1]")
        if not 0 <= self.test_share < 1:
            raise ValueError(
                f"data.test_share is {self.test_share}: give a share in [0, 1), 0 to test nothing"
            )
        if self.segments < 1 or self.repeats < 1:
            raise ValueError(
                f"data.segments is {self.segments} and data.repeats {self.repeats}: give 1 or more of each"
            )
        if self.clip is not None and self.clip.clips_per_video != 1:
            raise ValueError(
                f"data.clip.clips_per_video is {self.clip.clips_per_video}: give data.repeats or data.segments instead"
            )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What happens to training clips; the same in all frames of a clip.

    Attributes:
        scale: range of the share of a frame's area that is cropped.
        ratio: range of the crop's width over its height.
        flip: mirror half of the clips. Not where a class has a direction ("pushing from left to right").
        randaugment: number of operations and their strength of 10; null for none.
        erase: share of the clips in which a box is filled with noise.
        mixup: alpha of the Beta distribution by which two clips are blended; 0 for never.
        cutmix: the same for a box of one clip put into another. With both, half of the pairs get each.
        smoothing: of labels.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: bool = False
    randaugment: tuple[int, int] | None = None
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        checks.ascending("augment", self, "scale", highest=1)
        checks.ascending("augment", self, "ratio")
        checks.share("augment", self, "erase")
        checks.at_least("augment", self, mixup=0, cutmix=0)
        checks.below_one("augment", self, "smoothing")

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed in pairs."""
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True, kw_only=True)
class FinetuneOptim:
    """AdamW and its schedules, counted in epochs.

    Attributes:
        epochs: passes over the training videos.
        batch_size: videos of one optimiser step, over all processes and accumulated parts.
        lr: learning rate after the warm-up.
        start_lr: at the first step.
        final_lr: at the end.
        lr_shape: how it goes from `lr` to `final_lr`.
        warmup_epochs: linear warm-up.
        weight_decay: constant; biases and norms have none.
        layer_decay: factor of the learning rate from one block to the one below; 1 for none.
        betas: of AdamW.
        clip_grad: largest norm of the gradient; null for no limit.
        average: decay of a running average of the weights, which is then what is evaluated and saved; null for none.
    """

    epochs: float = 30
    batch_size: int = 64
    lr: float = 1e-3
    start_lr: float = 0.0
    final_lr: float = 1e-6
    lr_shape: Shape = "cosine"
    warmup_epochs: float = 5
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip_grad: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch_size < 1:
            raise ValueError(
                f"optim.epochs is {self.epochs} and optim.batch_size {self.batch_size}: give more than 0 of each"
            )
        checks.at_least(
            "optim", self, epochs=0, lr=0, start_lr=0, final_lr=0, warmup_epochs=0, weight_decay=0
        )
        checks.above_zero("optim", self, "clip_grad")
        checks.below_one("optim", self, "betas", "average")
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"optim.warmup_epochs {self.warmup_epochs} is more than optim.epochs {self.epochs}: "
                "the learning rate would never reach its peak; shorten the warm-up"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"optim.layer_decay is {self.layer_decay}: give a factor in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Heads of a frozen encoder that are trained at once, one for each pair; the best on `data.val` is kept.

    Attributes:
        lr: peak learning rates.
        weight_decay: weight decays.
    """

    lr: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 5e-3)
    weight_decay: tuple[float, ...] = (0.01, 0.1, 0.4, 0.8)

    def __post_init__(self) -> None:
        if not self.lr or not self.weight_decay or min(self.lr) <= 0 or min(self.weight_decay) < 0:
            raise ValueError(
                f"grid.lr is {self.lr} and grid.weight_decay {self.weight_decay}: give at least one of each, rates above 0"
            )

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Learning rate and weight decay of each head."""
        return [(lr, decay) for lr in self.lr for decay in self.weight_decay]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Frozen features on disk: clips are decoded and encoded once, and heads read what came out.

    Attributes:
        folder: of the cache; several runs may share it.
        views: augmented clips of each training video that are kept; 0 keeps one, evenly placed and not augmented.
        precision: of the features on disk.
    """

    folder: str = "runs/features"
    views: int = 0
    precision: Literal["fp32", "fp16", "bf16"] = "fp16"

    def __post_init__(self) -> None:
        if self.views < 0:
            raise ValueError(f"features.views is {self.views}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Views of each test video; the probabilities of all views are averaged.

    Attributes:
        clips: spread over the video; with `data.segments`, so many of them at a time are seen together.
        crops: of each clip: 1 for the middle, 3 along the longer side.
    """

    clips: int = 1
    crops: Literal[1, 3] = 1

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"evaluation.clips is {self.clips}: give 1 or more")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Everything about a fine-tuning run.

    Attributes:
        output_dir: folder of the run.
        seed: of the head's initialisation, order, crops and mixing.
    """

    output_dir: str = "runs/finetune"
    seed: int = 0
    model: StartConfig = field(default_factory=StartConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    data: LabelledData = field(default_factory=LabelledData)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: FinetuneOptim = field(default_factory=FinetuneOptim)
    grid: GridConfig | None = None
    features: FeaturesConfig | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        checks.seed("", self, "seed")
        if self.model.tune != "none":
            for name in ("grid", "features"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} is given and model.tune is {self.model.tune}: {name} is for a frozen encoder, "
                        f"so set model.tune none, or leave {name} out"
                    )
        if self.grid is not None and self.data.val is None and self.data.label_share < 1:
            raise ValueError(
                f"data.label_share is {self.data.label_share} with a grid: its head would be chosen on labels that are not "
                "counted; leave the grid out, or give data.val"
            )
        if self.evaluation.clips % self.data.segments:
            raise ValueError(
                f"evaluation.clips is {self.evaluation.clips} and data.segments {self.data.segments}: clips are seen "
                "together by segments, so give a multiple of them"
            )
        if self.features is not None and self.augment.mixes:
            raise ValueError(
                "augment.mixup or cutmix with features on disk: clips that are encoded once cannot be mixed; set both to 0"
            )
