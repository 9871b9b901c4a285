"""The configuration of a fine-tuning run, with the default values.

The docstrings of these classes are also what ``vjepa finetune --help`` prints: the text of each attribute,
shown alone, is the help of its option.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vjepa.choices import STRONGEST, ReaderName, Shape
from vjepa.config import CacheConfig, TrainConfig, checks
from vjepa.data.clips import ClipSampling


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Settings of low-rank updates of the encoder's matrices (LoRA); they need the package peft.

    Attributes:
        rank: Rank of each low-rank update, 1 or more.
        alpha: Scale of the low-rank updates, above 0; they are multiplied by `alpha / rank`.
    """

    rank: int = 8
    alpha: int = 16

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"model.lora.rank is {self.rank}: give 1 or more")
        checks.above_zero("model.lora", self, "alpha")


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """The pre-trained encoder to start from, and which of its weights are trained.

    Attributes:
        init: Run folder, model folder or released weights of the pre-trained model; required.
        which: Which encoder of `init` to take, `target_encoder` or `encoder`; null takes the target encoder
            where there is one.
        weights: Weights to start from: `trained`, or `random` for an untrained encoder of the same size, as
            the baseline of pre-training.
        tune: Which weights of the encoder are trained: `all`; `lora`, low-rank updates of them; or `none`,
            for a probe of the frozen encoder.
        drop_path: Stochastic depth: drop rate of the encoder's last block, in [0, 1); it rises linearly from
            0 at the first block.
        levels: Indices, from 0, of the encoder's blocks whose tokens the head sees, concatenated along the
            sequence. An empty list gives the head only the last block's tokens.
        lora: LoRA settings, used only with tune `lora`.
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
        if len(set(self.levels)) < len(self.levels) or min(self.levels, default=0) < 0:
            raise ValueError(f"model.levels is {list(self.levels)}: give numbers from 0, each once")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Head that maps tokens to class scores.

    Attributes:
        kind: Architecture of the head: `linear` or `mlp` on the mean of all tokens, or `attentive`, learnt
            queries that attend to all tokens.
        depth: Number of blocks of an attentive head: `depth - 1` of self-attention followed by one of
            cross-attention.
        queries: Number of learnt queries of an attentive head.
        hidden_dim: Width of the hidden layer of an `mlp` head; null takes the encoder's embedding dimension.
        dropout: Dropout rate before the head's last layer, in [0, 1).
        init_scale: Factor on the initial weights of the head's last layer, 0 or more.
    """

    kind: Literal["linear", "mlp", "attentive"] = "linear"
    depth: int = 1
    queries: int = 1
    hidden_dim: int | None = None
    dropout: float = 0.0
    init_scale: float = 1.0

    def __post_init__(self) -> None:
        checks.at_least("head", self, depth=1, queries=1, hidden_dim=1, init_scale=0)
        checks.below_one("head", self, "dropout")


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """Labelled videos and the clips cut from them.

    Attributes:
        train: Training videos: a manifest with labels (such as `FILE.csv?split=train`), or a folder with one
            folder per class; required.
        val: Validation videos, on which the best head of `grid` is chosen; null holds back `val_share` of
            `train`.
        val_share: Share of the training videos, in (0, 1) and by whole groups, that is held back for
            validation where `grid` is given and `val` is null.
        test: Test videos, whose accuracy is reported; null holds back `test_share` of `train`.
        test_share: Share of the training videos, in [0, 1) and by whole groups, that is held back as test
            videos where `test` is null; 0 trains on all videos and reports no accuracy.
        test_seed: Random seed that chooses the videos held back by `test_share`; it is independent of the
            run's `seed`.
        label_share: Share of the labels of each class, in (0, 1], that may be used for training; at least one
            label per class is used.
        label_seed: Random seed that chooses the labels used with `label_share` below 1.
        clip: Frames of a clip and their spacing; null takes those of the pre-trained model.
        repeats: Number of random training samples taken each time a video is decoded (repeated augmentation).
        segments: Number of clips of a video whose tokens the head sees together.
        size: Height and width of a clip in pixels, or one number for both; null takes those of the
            pre-trained model.
        reader: Video decoder: `auto` (`pyav` on every machine), `pyav`, `decord`, `torchcodec`, or
            `torchcodec_cuda`, which decodes on a GPU. The last three are compared with PyAV on each file and
            replaced by it, with a warning, where they differ.
        cache: Cache of decoded, resized videos.
        num_workers: Number of processes that load batches; 0 loads them in the training process. Results do
            not depend on it.
        damaged: What happens to a damaged video: one with frames that the decoder marks as corrupt, packets
            that do not decode, or, of MP4 and AVI, frames that its header counts and that are missing at its
            end (an AVI file whose header also counts repeated, empty frames is not damaged). `keep` reads it
            as far as possible. `skip` replaces it like an unreadable one, and it then counts towards
            `max_unreadable`; damage is noticed only in frames that are read, so which videos are
            skipped depends on the clips drawn.
            Either way, a damaged video is reported once and counted in the metrics. The default, `keep`,
            leaves no video out, so that metrics of a test split are comparable with published ones.
        max_unreadable: Largest share of the videos, in [0, 1], that may be unreadable before the run stops.
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
    reader: ReaderName = "auto"
    cache: CacheConfig = field(default_factory=CacheConfig)
    num_workers: int = 2
    damaged: Literal["keep", "skip"] = "keep"
    max_unreadable: float = 0.01

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.at_least("data", self, num_workers=0)
        checks.share("data", self, "max_unreadable")
        checks.seed("data", self, "label_seed")
        checks.seed("data", self, "test_seed")
        if not 0 < self.label_share <= 1:
            raise ValueError(f"data.label_share is {self.label_share}: give a share in (0, 1]")
        if not 0 < self.val_share < 1:
            raise ValueError(f"data.val_share is {self.val_share}: give a share in (0, 1)")
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
                f"data.clip.clips_per_video is {self.clip.clips_per_video}: give data.repeats or "
                "data.segments instead"
            )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training clips, the same for all frames of a clip.

    Attributes:
        scale: Smallest and largest share of a frame's area that a random crop covers, in (0, 1].
        ratio: Smallest and largest aspect ratio (width over height) of a random crop.
        flip: Mirror half of the clips from left to right; keep it off if classes differ by direction
            ("pushing from left to right").
        randaugment: Number of RandAugment operations that are drawn per clip, each applied with probability
            one half, and their mean strength, from 0 to 10; it takes three channels alone. null turns
            RandAugment off.
        erase: Share of the clips, in [0, 1], in which a random box is filled with noise.
        mixup: Alpha of the Beta distribution of the shares by which two clips are blended; 0 turns mixup off.
        cutmix: Alpha of the Beta distribution of the area of a box that is copied from one clip into another;
            0 turns cutmix off. With mixup and cutmix both on, each pair of clips gets either with equal
            probability.
        smoothing: Amount of label smoothing, in [0, 1).
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
        operations, strength = self.randaugment or (1, 0)
        if operations < 1 or not 0 <= strength <= STRONGEST:
            raise ValueError(
                f"augment.randaugment is {list(self.randaugment or ())}: give a number of operations, 1 or "
                f"more, and a strength from 0 to {STRONGEST}; or null"
            )

    @property
    def mixes(self) -> bool:
        """Whether pairs of clips are mixed."""
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True, kw_only=True)
class FinetuneOptim:
    """AdamW and its schedules, counted in epochs.

    Attributes:
        epochs: Number of passes over the training videos, above 0; fractions are allowed.
        batch_size: Number of videos per optimiser step, summed over all processes and micro-batches.
        lr: Peak learning rate, reached at the end of the warm-up; `grid.lr` takes its place where `grid` is
            given.
        start_lr: Learning rate at the first optimiser step.
        final_lr: Learning rate at the end of the run; unused with `lr_shape` `constant`.
        lr_shape: Shape of the learning rate's schedule from `lr` to `final_lr`: `cosine`, `linear` or
            `constant`.
        warmup_epochs: Number of epochs over which the learning rate rises linearly from `start_lr` to `lr`.
        weight_decay: Constant weight decay; biases, norms and learnt queries have none. `grid.weight_decay`
            takes its place where `grid` is given.
        layer_decay: Factor on the learning rate from each block to the one below it, in (0, 1]; 1 turns it
            off.
        betas: Exponential decay rates of AdamW's first and second moment estimates, each in [0, 1).
        clip_grad: Largest norm of the gradient, to which larger gradients are clipped; null turns clipping
            off, as heads of a `grid` need.
        average: Decay, in [0, 1), of a moving average of the weights, which is evaluated and saved instead of
            the weights themselves; null keeps no average.
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
                f"optim.epochs is {self.epochs} and optim.batch_size {self.batch_size}: give more than 0 of "
                "each"
            )
        checks.at_least(
            "optim", self, epochs=0, lr=0, start_lr=0, final_lr=0, warmup_epochs=0, weight_decay=0
        )
        checks.above_zero("optim", self, "clip_grad")
        checks.below_one("optim", self, "betas", "average")
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"optim.warmup_epochs is {self.warmup_epochs} and optim.epochs {self.epochs}: the learning "
                f"rate would never reach its peak; give optim.warmup_epochs {self.epochs / 10:g}, which is a "
                f"tenth, or at most {self.epochs}"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"optim.layer_decay is {self.layer_decay}: give a factor in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Grid of heads on a frozen encoder, trained at the same time; the best on validation is kept.

    Attributes:
        lr: Peak learning rates of the grid, each above 0; every pair with a weight decay gives one head.
        weight_decay: Weight decays of the grid, each 0 or more; every pair with a learning rate gives one
            head.
    """

    lr: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 5e-3)
    weight_decay: tuple[float, ...] = (0.01, 0.1, 0.4, 0.8)

    def __post_init__(self) -> None:
        if not self.lr or not self.weight_decay or min(self.lr) <= 0 or min(self.weight_decay) < 0:
            raise ValueError(
                f"grid.lr is {self.lr} and grid.weight_decay {self.weight_decay}: give at least one of each, "
                "rates above 0"
            )

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Learning rate and weight decay of each head."""
        return [(lr, decay) for lr in self.lr for decay in self.weight_decay]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Cache of frozen features on disk: each clip is encoded once, and heads are trained on the result.

    Attributes:
        folder: Folder of the cache, which several runs may share.
        views: Number of randomly augmented clips of each training video whose features are stored; 0 stores
            one, evenly placed and not augmented.
        precision: Precision of the features on disk: `fp32`, `fp16` or `bf16`.
    """

    folder: str = "runs/features"
    views: int = 0
    precision: Literal["fp32", "fp16", "bf16"] = "fp16"

    def __post_init__(self) -> None:
        if self.views < 0:
            raise ValueError(f"features.views is {self.views}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Views of each test video, whose class probabilities are averaged.

    Attributes:
        clips: Number of clips spread evenly over the video, a multiple of `data.segments`, since the head
            sees that many clips together.
        crops: Number of crops of each clip: 1 takes the middle, 3 spread over the longer side of the frame.
    """

    clips: int = 1
    crops: Literal[1, 3] = 1

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"evaluation.clips is {self.clips}: give 1 or more")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Configuration of a fine-tuning run.

    Attributes:
        output_dir: Run folder, which receives checkpoints, metrics and the model folder.
        seed: Random seed of the head's initial weights, the order of the videos, crops and mixing.
        model: The pre-trained encoder to start from, and which of its weights are trained.
        head: Head that maps tokens to class scores.
        data: Labelled videos and the clips cut from them.
        augment: Augmentation of training clips, the same for all frames of a clip.
        optim: AdamW and its schedules, counted in epochs.
        grid: Learning rates and weight decays of several heads on a frozen encoder, trained at the same time,
            of which the best on the validation split is kept; null trains one head.
        features: Settings of a cache of frozen features on disk, so that each clip is encoded once; null
            encodes every time.
        evaluation: Views of each test video, whose class probabilities are averaged.
        train: How the run is executed. Only `precision` (fewer bits) and `micro_batch` (the random numbers of
            dropout and drop path) can change what is learnt.
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
                        f"{name} is given and model.tune is {self.model.tune}: {name} is for a frozen "
                        f"encoder, so set model.tune none, or leave {name} out"
                    )
        if self.grid is not None and self.optim.clip_grad is not None:
            raise ValueError(
                f"optim.clip_grad is {self.optim.clip_grad} with a grid: the gradients of all heads would be "
                "clipped together, so that one head changes the others; leave one of the two out"
            )
        if self.grid is not None and self.data.val is None and self.data.label_share < 1:
            raise ValueError(
                f"data.label_share is {self.data.label_share} with a grid: its head would be chosen on "
                "labels that are not counted; leave the grid out, or give data.val"
            )
        if self.evaluation.clips % self.data.segments:
            raise ValueError(
                f"evaluation.clips is {self.evaluation.clips} and data.segments {self.data.segments}: clips "
                "are seen together by segments, so give a multiple of them"
            )
        if self.model.tune == "none" and (self.model.drop_path > 0 or self.optim.layer_decay < 1):
            raise ValueError(
                f"model.drop_path is {self.model.drop_path}, optim.layer_decay {self.optim.layer_decay} and "
                "model.tune none: both are for an encoder that is trained, so leave them out"
            )
        if self.features is not None:
            self._check_features(self.features)

    def _check_features(self, features: FeaturesConfig) -> None:
        augment = self.augment
        unused = {
            "data.repeats": (self.data.repeats, 1),
            "augment.flip": (augment.flip, False),
            "augment.erase": (augment.erase, 0),
            "augment.randaugment": (augment.randaugment, None),
        }
        for key, (value, without) in unused.items():
            if not features.views and value != without:
                shown = str(value).lower() if isinstance(value, bool) else value
                raise ValueError(
                    f"{key} is {shown} and features.views 0: one clip of each video is encoded once, and not "
                    f"augmented; give features.views, or leave {key} out"
                )
        if augment.mixes:
            raise ValueError(
                "augment.mixup or cutmix with features on disk: clips that are encoded once cannot be "
                "mixed; set both to 0"
            )
