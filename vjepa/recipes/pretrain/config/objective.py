"""What is predicted, and what prevents collapse: the sections `predictor` and `objective`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vjepa.choices import DistanceName, PixelTargets, Score
from vjepa.config import SIGRegConfig, VICRegConfig, checks


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Architecture of the predictor, or of the decoder of a masked auto-encoder.

    Attributes:
        embed_dim: Embedding dimension of the predictor's tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads per block.
        residual: Whether the output is added to the latest context token at the same place of an earlier time
            step, so that the untrained predictor copies what it saw last and learns what changes. Needs
            `objective.predict` `embeddings` and targets that are the encoder's own tokens.
    """

    embed_dim: int = 384
    depth: int = 12
    num_heads: int = 12
    residual: bool = False

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
class FutureLossConfig:
    """Changes of the loss of future masks.

    Attributes:
        rollout_steps: Number of further predictions, each from the context and the time steps predicted
            before, whose mean error is a loss of its own; 0 has no such loss. Needs `objective.predict`
            `embeddings` and targets that are the encoder's own tokens.
        change_weight: Part of a target's weight that grows with the distance between its embedding and the
            last one in the context at its place, in [0, 1]. At 0, all targets have the same weight; at 1,
            targets that do not change have none.
    """

    rollout_steps: int = 2
    change_weight: float = 0.0

    def __post_init__(self) -> None:
        checks.at_least("objective.future_loss", self, rollout_steps=0)
        if not 0 <= self.change_weight <= 1:
            raise ValueError(
                f"objective.future_loss.change_weight is {self.change_weight}: give a share in [0, 1]"
            )
        if not self.rollout_steps and not self.change_weight:
            raise ValueError(
                "objective.future_loss.rollout_steps is 0 and change_weight 0, which changes nothing: give "
                "one of them, or null for objective.future_loss"
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
            which then needs `sigreg` or `vicreg`; `init`, the encoder of the model in `init`, which encodes
            the context, too, and stays as it is, so that a new predictor alone is trained.
        target_norm: Normalisation of the target encoder's tokens: `layer_norm`, each token over its features
            (V-JEPA), or `batch`, each dimension over all tokens of a batch, which removes what all clips have
            in common.
        target_blocks: Number of blocks of the target encoder, counted from the last, whose normalised outputs
            are averaged to targets (data2vec); 1 takes its output.
        momentum: Momentum of the target encoder, used with target encoder `ema`. At step s of a schedule of N
            optimiser steps, it is s/N of the way from the first value to the second, which the last step has.
        teacher: Model folder of the teacher, with target encoder `frozen`; null first trains one on the same
            data and masks, in the folder `teacher` of `output_dir`.
        teacher_steps: Number of optimiser steps that train the teacher where `teacher` is null.
        sigreg: Settings of a further loss, SIGReg, on the embeddings of the encoder that is trained, which
            works with every target encoder but `init`; null has no such loss.
        vicreg: Settings of a further loss, VICReg, on the embeddings of the encoder that is trained, which
            works with every target encoder but `init`; null has no such loss.
        context_loss: Settings of a further loss on predictions of the context tokens (V-JEPA 2.1); null has
            no such loss.
        future_loss: Settings that change the loss of `masks.future`: predictions from predictions, and
            weights by how much a target changes; null leaves the loss as it is.
        futures: Settings for predicting several futures of each clip, with every target encoder but `none`;
            null predicts one.
        views: Views of each clip, with `predict` `views`, which needs them; null for other targets.
    """

    predict: Literal["embeddings", "pixels", "views"] = "embeddings"
    pixel_targets: PixelTargets = "tubelet"
    distance: DistanceName = "l1"
    target_encoder: Literal["ema", "frozen", "none", "init"] = "ema"
    target_norm: Literal["layer_norm", "batch"] = "layer_norm"
    target_blocks: int = 1
    momentum: tuple[float, float] = (0.998, 1.0)
    teacher: str | None = None
    teacher_steps: int = 40_000
    sigreg: SIGRegConfig | None = None
    vicreg: VICRegConfig | None = None
    context_loss: ContextLossConfig | None = None
    future_loss: FutureLossConfig | None = None
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
        if self.target_encoder == "init" and given:
            raise ValueError(
                f"objective.{given[0]} is for an encoder that is trained, and with objective.target_encoder "
                f"init it stays as it is: leave {' and '.join(given)} out"
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
                "objective.sigreg or objective.vicreg, or a target encoder (ema, frozen, init)"
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
                "encoder, so give ema, frozen or init"
            )
        if self.context_loss is not None:
            raise ValueError(
                "objective.futures and objective.context_loss: context tokens do not have several futures; "
                "leave one of the two out"
            )
        if self.future_loss is not None:
            raise ValueError(
                "objective.futures and objective.future_loss: several futures are scored together, without "
                "weights or rollouts; leave one of the two out"
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
