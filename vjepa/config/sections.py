"""Sections that the configurations of several recipes share, with their default values.

The docstrings of these classes are also what ``--help`` prints: the text of each attribute, shown alone, is
the help of its option. Reading them imports neither torch nor a network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vjepa.choices import PositionKind, Precision, RotaryLayout, Shape, Stem
from vjepa.config import checks
from vjepa.grid import SMALLEST_CONVOLVED_SIDE
from vjepa.models.sizes import SizeName


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Architecture of the encoder, a ViT over tubelets.

    Attributes:
        size: Named size, which sets `embed_dim`, `depth`, `num_heads` and `mlp_ratio` (see
            `vjepa.models.sizes.SIZES`).
        embed_dim: Embedding dimension of the tokens; null takes that of `size`.
        depth: Number of transformer blocks; null takes that of `size`.
        num_heads: Number of attention heads per block; null takes that of `size`.
        mlp_ratio: Hidden width of each MLP divided by `embed_dim`; null takes that of `size`.
        tubelet: Frames, rows and columns of the block of pixels behind one token.
        stem: What makes a token of the pixels of a tubelet: `linear`, one linear layer, as in all released
            models; or `convolutional`, a stack of 3 x 3 convolutions of stride 2 inside each tubelet, which
            needs tubelets of 4 or more rows and columns.
        positions: Position encoding: `rotary`; `sincos` (3-D, V-JEPA); `sincos_plane` (2-D, MAE and I-JEPA);
            or `sinusoid` (1-D, VideoMAE).
        rotary_layout: Layout of the rotary position encoding: `interleave`, or `tile` for released V-JEPA 2
            weights.
        drop_path: Stochastic depth: drop rate of the last block, in [0, 1); it rises linearly from 0 at the
            first block.
        causal: Let each token attend only to tokens of its own and of earlier time steps.
        class_token: Prepend a learnt class token (MAE).
        image_tokenizer: Give single frames a patch embedding of their own (V-JEPA 2.1).
        levels: Blocks whose outputs are predicted, numbered from 0, ascending, with the last block at the end
            (V-JEPA 2.1). An empty list predicts the last block's output alone.
    """

    size: SizeName = "base"
    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    mlp_ratio: float | None = None
    tubelet: tuple[int, int, int] = (2, 16, 16)
    stem: Stem = "linear"
    positions: PositionKind = "rotary"
    rotary_layout: RotaryLayout = "interleave"
    drop_path: float = 0.0
    causal: bool = False
    class_token: bool = False
    image_tokenizer: bool = False
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.at_least("encoder", self, embed_dim=1, depth=1, num_heads=1)
        checks.above_zero("encoder", self, "mlp_ratio")
        checks.below_one("encoder", self, "drop_path")
        checks.num_heads("encoder", self.embed_dim, self.num_heads, self.size)
        if min(self.tubelet) < 1:
            raise ValueError(
                f"encoder.tubelet is {list(self.tubelet)}: give frames, rows and columns of a token, each 1 "
                "or more"
            )
        if self.stem == "convolutional" and min(self.tubelet[1:]) < SMALLEST_CONVOLVED_SIDE:
            raise ValueError(
                f"encoder.tubelet is {list(self.tubelet)}, and encoder.stem convolutional halves rows and "
                f"columns at least twice: give {SMALLEST_CONVOLVED_SIDE} or more of each, or a linear stem"
            )


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """Projector between the encoder and SIGReg: three linear layers with batch normalisation, as published.

    Attributes:
        hidden_dim: Width of the two hidden layers.
        out_dim: Number of outputs, which SIGReg tests instead of the embeddings.
    """

    hidden_dim: int = 2048
    out_dim: int = 128

    def __post_init__(self) -> None:
        checks.at_least("sigreg.projector", self, hidden_dim=1, out_dim=1)


@dataclass(frozen=True, kw_only=True)
class SIGRegConfig:
    """Sketched isotropic Gaussian regularisation of the embeddings (SIGReg).

    Attributes:
        weight: Weight of the SIGReg statistic in the loss, relative to the prediction error.
        directions: Number of random projections, drawn anew at each step.
        places: Number of token positions, drawn anew at each step, at which embeddings are tested over the
            batch; with `objective.predict` `views`, the number of views.
        projector: Projector whose outputs are tested instead of the embeddings, as published by LeJEPA; null
            tests the embeddings themselves.
    """

    weight: float = 0.02
    directions: int = 128
    places: int = 4
    projector: ProjectorConfig | None = None

    def __post_init__(self) -> None:
        checks.at_least("sigreg", self, weight=0, directions=1, places=1)


@dataclass(frozen=True, kw_only=True)
class VICRegConfig:
    """Variance and covariance regularisation of the embeddings (VICReg).

    Attributes:
        variance: Weight of the hinge loss on each dimension's standard deviation.
        covariance: Weight of the squared covariances between dimensions.
        predictions: Weight of the variance and covariance terms of the predicted embeddings, relative to
            those of the encoder's embeddings; only without a target encoder.
        places: Number of token positions, drawn anew at each step, at which statistics are taken over the
            batch, separately for each position; null takes the tokens of all positions together.
    """

    variance: float = 1.0
    covariance: float = 0.04
    predictions: float = 0.0
    places: int | None = 32

    def __post_init__(self) -> None:
        if min(self.variance, self.covariance, self.predictions) < 0:
            raise ValueError(
                f"vicreg is {self.variance}, {self.covariance}, {self.predictions}: give weights of 0 or more"
            )
        if self.places is not None and self.places < 1:
            raise ValueError(f"vicreg.places is {self.places}: give 1 or more, or null for all together")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedules, counted in optimiser steps.

    Attributes:
        steps: Number of optimiser steps of the run.
        batch_size: Number of videos (action-conditioned models: windows) per optimiser step, summed over all
            processes and micro-batches, so that a recipe does not depend on the machine.
        lr: Peak learning rate, reached at the end of the warm-up.
        start_lr: Learning rate at the first step.
        final_lr: Learning rate at the end of the schedule; unused with `lr_shape` `constant`.
        lr_shape: Shape of the learning rate's schedule from `lr` to `final_lr`: `cosine`, `linear` or
            `constant`.
        warmup_steps: Number of optimiser steps over which the learning rate rises linearly from `start_lr` to
            `lr`.
        weight_decay: Weight decay at the first step; biases and norms have none.
        final_weight_decay: Weight decay at the end of its cosine schedule; null keeps `weight_decay`
            constant.
        schedule_stretch: Length of all schedules divided by `steps`; with a value above 1 the run ends before
            they do.
        betas: Exponential decay rates of AdamW's first and second moment estimates, each in [0, 1).
        eps: Numerical floor in AdamW's denominator.
        clip_grad: Largest norm of the gradient, to which larger gradients are clipped; null turns clipping
            off.
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
        most = int(self.steps * min(self.schedule_stretch, 1))
        if self.warmup_steps > most:
            raise ValueError(
                f"optim.warmup_steps is {self.warmup_steps}, and the schedule has {most} steps (optim.steps "
                f"{self.steps}, optim.schedule_stretch {self.schedule_stretch}): the learning rate would "
                f"never reach its peak; give optim.warmup_steps {most // 10}, which is a tenth, or at most "
                f"{most}"
            )


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Cache of decoded, resized videos.

    Attributes:
        folder: Folder in which decoded videos are kept, so that each file is decoded once; null decodes every
            time.
        short_side: Length in pixels of the shorter side of the kept frames; null takes 256/224 of the longer
            side of a clip, the size to which evaluation resizes frames.
        max_gb: Largest size of the folder in gigabytes. Videos that this run has not used make room, the
            longest unused first, and videos that find no room are decoded every time; null has no limit.
    """

    folder: str | None = None
    short_side: int | None = None
    max_gb: float | None = None

    def __post_init__(self) -> None:
        checks.at_least("data.cache", self, short_side=1)
        if self.max_gb is not None and not self.max_gb > 0:
            raise ValueError(f"data.cache.max_gb is {self.max_gb}: give a number above 0, or null")
        unused = [name for name in ("short_side", "max_gb") if getattr(self, name) is not None]
        if self.folder is None and unused:
            raise ValueError(
                f"data.cache.{unused[0]} is {getattr(self, unused[0])} and data.cache.folder null, so "
                "nothing is kept: give a folder, or leave the other out"
            )

    def side(self, size: tuple[int, int]) -> int:
        """Return the length of the shorter side of the kept frames, for clips of this height and width."""
        return max(size) * 256 // 224 if self.short_side is None else self.short_side


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the run is executed. Only `precision` (fewer bits) and `micro_batch` (the random numbers of dropout
    and drop path) can change what is learnt.

    Attributes:
        micro_batch: Largest number of videos (action-conditioned models: windows) that one process holds in
            memory at once; gradients of further ones are accumulated. Null takes the process's whole share of
            the batch.
        precision: Mixed precision of all networks, in training and where the run encodes for probes,
            validation and tests: `no` (float32), `fp16` or `bf16`; null takes what `accelerate launch` is
            configured with.
        activation_checkpointing: Recompute activations in the backward pass, which takes less memory and more
            time.
        compile: Compile the transformer blocks with torch.compile. The first steps become slow, and a CPU
            needs a C++ compiler.
        log_every: Number of optimiser steps between two log lines.
        checkpoint_every: Number of optimiser steps between two checkpoints.
        keep_checkpoints: Number of most recent checkpoints that are kept.
        trackers: Names of the experiment trackers that accelerate logs to (tensorboard, wandb, trackio, ...);
            an empty list uses none.
        device: Device of the run: `auto` takes the accelerator if there is one, `cpu` never does.
        threads: Number of threads of each process on a CPU; null divides the machine's cores among the
            processes.
        hang_minutes: Minutes without the end of a step after which each process prints to stderr where its
            threads are, again and again; null prints nothing.
    """

    micro_batch: int | None = None
    precision: Precision | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = None
    hang_minutes: float | None = 30.0

    def __post_init__(self) -> None:
        checks.at_least(
            "train", self, micro_batch=1, log_every=1, checkpoint_every=1, keep_checkpoints=1, threads=1
        )
        if self.hang_minutes is not None and self.hang_minutes <= 0:
            raise ValueError(
                f"train.hang_minutes is {self.hang_minutes}: give a number of minutes above 0, or null"
            )
