"""The whole configuration of a pre-training run, and the sections `train` and `probe`."""

from __future__ import annotations

from dataclasses import dataclass, field

from vjepa.choices import OnlineProbe
from vjepa.config import EncoderConfig, OptimConfig, TrainConfig, checks
from vjepa.recipes.pretrain.config.data import DataConfig, PretrainAugment
from vjepa.recipes.pretrain.config.masks import MasksConfig
from vjepa.recipes.pretrain.config.objective import (
    ContextLossConfig,
    FutureLossConfig,
    ObjectiveConfig,
    PredictorConfig,
    ViewsConfig,
)


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Probes of the frozen encoder: one at the end, compared with an untrained encoder, and one in training.

    Attributes:
        train: Labelled manifest to fit the probes on (such as `FILE.csv?split=train`); null for both `train`
            and `test` turns the probes off. With `data.synthetic`, the rendered videos are used instead.
        test: Labelled manifest to test the probe on at the end of the run, a ridge regression on the mean of
            the tokens, with none of the videos of `train`.
        max_videos: Largest number of videos taken from each of the two manifests, evenly spread over the list
            of each class; null takes all.
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
            random weights. With `objective.target_encoder` `init` only its encoder is used.
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
        self._check_init()
        self._check_masks()
        if self.objective.views is not None:
            self._check_views(self.objective.views)
        self._check_online_probe()
        if self.predictor.residual:
            self._check_own_tokens(
                "predictor.residual", "tokens of the encoder, to which its output is added,"
            )
        if self.objective.future_loss is not None:
            self._check_future_loss(self.objective.future_loss)
        if self.objective.context_loss is not None:
            self._check_context_loss(self.objective.context_loss)
        if self.encoder.levels:
            self._check_levels()

    def _check_context_loss(self, context_loss: ContextLossConfig) -> None:
        if context_loss.warmup[0] >= self.optim.steps:
            raise ValueError(
                f"objective.context_loss.warmup is {context_loss.warmup} and optim.steps {self.optim.steps}: "
                "the loss would have a weight of 0 in all steps; begin its warm-up earlier, or leave it out"
            )
        if self.masks.image_blocks:
            raise ValueError(
                "objective.context_loss is given, and masks.image_blocks predicts each block by itself, so "
                "there is no one prediction of the context: leave one of the two out"
            )

    def _check_levels(self) -> None:
        levels, objective = list(self.encoder.levels), self.objective
        if objective.predict != "embeddings":
            raise ValueError(
                f"encoder.levels is {levels} and objective.predict is {objective.predict}, for which the "
                "last block's tokens alone are taken: leave encoder.levels out"
            )
        if objective.target_blocks > 1:
            raise ValueError(
                f"objective.target_blocks is {objective.target_blocks} and encoder.levels {levels}: targets "
                "are either averages of blocks or several levels, so leave one of the two out"
            )
        if objective.vicreg is not None and objective.vicreg.predictions and len(levels) > 1:
            raise ValueError(
                f"objective.vicreg.predictions is {objective.vicreg.predictions} and encoder.levels "
                f"{levels}: predictions of several levels are wider than the embeddings by whose mean they "
                "are centred, so set it to 0, or leave encoder.levels out"
            )

    def _check_own_tokens(self, key: str, what: str) -> None:
        """Refuse a setting that needs predictions of the trained encoder's own tokens."""
        objective = self.objective
        found = {
            "predict": (objective.predict, "embeddings"),
            "target_encoder": (objective.target_encoder, "ema or none or init"),
            "target_blocks": (objective.target_blocks, "1"),
        }
        wrong = [
            f"objective.{name} is {value}, not {right}"
            for name, (value, right) in found.items()
            if str(value) not in right.split(" or ")
        ]
        if wrong:
            raise ValueError(
                f"{key} is set and {wrong[0]}: {what} must be what is predicted; leave {key} out"
            )

    def _check_future_loss(self, future_loss: FutureLossConfig) -> None:
        if not self.masks.future or self.objective.predict != "embeddings":
            raise ValueError(
                f"objective.future_loss is given, objective.predict is {self.objective.predict} and "
                f"masks.future has {len(self.masks.future)} masks: it changes the loss of future masks whose "
                "embeddings are predicted, so give both, or leave objective.future_loss out"
            )
        if future_loss.rollout_steps and self.masks.each_step:
            raise ValueError(
                f"objective.future_loss.rollout_steps is {future_loss.rollout_steps} and masks.future has "
                "each_step, which predicts one time step ahead everywhere: leave one of the two out"
            )
        if future_loss.rollout_steps:
            steps = self.data.clip.num_frames // self.encoder.tubelet[0]
            rest = max(steps - max(round(steps * mask.context[0]), 1) for mask in self.masks.future)
            if future_loss.rollout_steps >= rest:
                raise ValueError(
                    f"objective.future_loss.rollout_steps is {future_loss.rollout_steps}, and a clip has at "
                    f"most {rest} time steps after the context of masks.future, the first of which is no "
                    "rollout: give fewer, longer clips or shorter contexts"
                )
            self._check_own_tokens(
                "objective.future_loss.rollout_steps",
                "tokens of the encoder, beside which predictions stand,",
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

    def _check_init(self) -> None:
        if self.objective.target_encoder == "init" and (
            self.init is None or self.objective.predict != "embeddings"
        ):
            raise ValueError(
                f"objective.target_encoder is init, init {'null' if self.init is None else self.init} and "
                f"objective.predict {self.objective.predict}: give a model as init, and predict embeddings; "
                "or another target encoder"
            )

    def _check_masks(self) -> None:
        masks = self.masks.by_name
        if self.objective.predict != "views":
            if not masks:
                raise ValueError("masks is empty: list at least one mask, e.g. masks.tube: [{ratio: 0.9}]")
            self._check_future_masks()
            return
        wrong = [name for name in masks if name != "masks.random[0]"]
        if wrong:
            raise ValueError(
                f"{wrong[0]} is given and objective.predict is views, of which no token is predicted: set "
                "masks.multiblock and the others to []; one masks.random drops tokens of each view"
            )

    def _check_future_masks(self) -> None:
        frames, tubelet = self.data.clip.num_frames, self.encoder.tubelet[0]
        if self.masks.future and frames < 2 * tubelet:
            raise ValueError(
                f"masks.future is given, data.clip.num_frames is {frames} and encoder.tubelet has {tubelet} "
                f"frames: one time step has no future, so give {2 * tubelet} frames or more, or leave "
                "masks.future out"
            )
        if self.data.mixes_in_images and len(self.masks.future) == len(self.masks.all):
            raise ValueError(
                "masks.future has all masks, and images are mixed in, which have no future: list a mask of "
                "another kind, too, e.g. masks.tube: [{ratio: 0.9}], or leave the images out"
            )
        if self.masks.each_step:
            self._check_each_step()

    def _check_each_step(self) -> None:
        """Refuse what would let a prediction see the time step that it is of."""
        others = [name for name, mask in self.masks.by_name.items() if not getattr(mask, "each_step", False)]
        if others:
            raise ValueError(
                f"masks.future has each_step, for which the predictor attends to the past alone, and "
                f"{others[0]} asks for more: set the other masks to [], or leave each_step out"
            )
        if not self.encoder.causal:
            raise ValueError(
                "masks.future has each_step and encoder.causal is false, so the tokens of a time step would "
                "know the next one, which is predicted from them: set encoder.causal to true"
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
