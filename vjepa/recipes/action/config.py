"""The configuration of a run that trains an action-conditioned model, with the default values.

The docstrings of these classes are also what ``vjepa action --help`` prints: the text of each attribute,
shown alone, is the help of its option.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD, Conditioning, DistanceName, InverseSource, Pool
from vjepa.config import (
    CacheConfig,
    EncoderConfig,
    OptimConfig,
    SIGRegConfig,
    TrainConfig,
    VICRegConfig,
    checks,
)
from vjepa.data.trajectories.window import WindowConfig
from vjepa.environments.names import EnvName
from vjepa.planning.settings import CEMSettings, GradientSettings, MPPISettings


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Episodes recorded in one of the library's own environments.

    Attributes:
        env: Name of the environment.
        folder: Folder of the recorded .mp4 files and their actions. Episodes are recorded once and then
            reused.
        episodes: Number of training episodes.
        test_episodes: Number of further episodes, never trained on, for the metrics at the end of the run; 0
            turns these metrics off.
        steps: Number of frames of each episode, 2 or more.
        policy: Policy that acts while recording: `random`, a random walk with a persistent direction;
            `scripted`, noisy paths to goals; or `mixed`, half of each.
        seed: Random seed of the recorded episodes.
    """

    env: EnvName = "two_rooms"
    folder: str = "runs/episodes"
    episodes: int = 1000
    test_episodes: int = 100
    steps: int = 50
    policy: Literal["random", "scripted", "mixed"] = "mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.at_least("data.collect", self, episodes=1, test_episodes=0, steps=2)
        checks.seed("data.collect", self, "seed")


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig:
    """Training episodes and the windows cut from them.

    Attributes:
        train: Training episodes: a folder of videos with their actions, a folder in LeRobot's layout, or an
            HDF5 file. `FILE?episodes=0-179` or `FILE?without=3,17` selects episodes of a source by number.
        test: Episodes for the metrics at the end of the run, in the same forms and with none of the training
            episodes; null turns these metrics off.
        collect: Environment to record episodes in instead of `train` and `test`, which must then be null;
            null records none.
        window: Frames of a window, their spacing, and how the actions between them are combined.
        states: Also read the states (proprioception) and let the model predict them.
        camera: Name of the camera, for sources with several; null takes the only one.
        size: Height and width of a frame in pixels, or one number for both.
        mean: Mean of each pixel channel, in [0, 1]; with `init` the encoder's own is used.
        std: Standard deviation of each pixel channel, on the same scale as `mean`; with `init` the encoder's
            own is used.
        reader: Video decoder: `auto` (`pyav` on every machine), `pyav`, `decord` or `torchcodec`. The last
            two are compared with PyAV on each file and replaced by it, with a warning, where they differ.
        cache: Cache of decoded, resized videos.
        features: Folder in which the frozen encoder's tokens are kept, so that each frame is encoded once;
            null encodes every time.
        num_workers: Number of processes that load batches; 0 loads them in the training process. Results do
            not depend on it.
        max_unreadable: Largest share of the episodes, in [0, 1], that may be unreadable or shorter than a
            window before the run stops.
    """

    train: str | None = None
    test: str | None = None
    collect: CollectConfig | None = None
    window: WindowConfig = field(default_factory=WindowConfig)
    states: bool = False
    camera: str | None = None
    size: int | tuple[int, int] = 64
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    reader: Literal["auto", "pyav", "decord", "torchcodec"] = "auto"
    cache: CacheConfig = field(default_factory=CacheConfig)
    features: str | None = None
    num_workers: int = 2
    max_unreadable: float = 0.01

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.pixel_statistics("data", self)
        checks.at_least("data", self, num_workers=0)
        checks.share("data", self, "max_unreadable")
        given = [f"data.{name}" for name in ("train", "test") if getattr(self, name) is not None]
        if given and self.collect is not None:
            raise ValueError(
                f"{given[0]} and data.collect are both given: give one of them, and null for the other"
            )

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """Pooling of a frame's tokens, for an encoder that is trained.

    Attributes:
        pool: What represents a frame: all of its tokens (`none`), one token computed from their mean
            (`mean`), or one computed from their concatenation (`flatten`).
        embed_dim: Embedding dimension of the one token that pooling by `mean` or `flatten` computes.
    """

    pool: Pool = "none"
    embed_dim: int = 192

    def __post_init__(self) -> None:
        checks.at_least("frames", self, embed_dim=1)


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Architecture of the predictor of the next frame.

    Attributes:
        embed_dim: Embedding dimension of the predictor's tokens. One narrower than the predicted tokens
            cannot even copy them, and an encoder trained with it then loses information on what stands still.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads per block.
        conditioning: How actions enter the predictor: as `tokens` (V-JEPA 2-AC), or by adaptive layer norms,
            `adaln` (jepa-wms, LeWM).
        context: Largest number of past frames that imagined steps, and so plans, attend to, the current one
            included; null takes all frames of a window but the last, to which the predictor of true frames
            attends in training.
    """

    embed_dim: int = 384
    depth: int = 6
    num_heads: int = 6
    conditioning: Conditioning = "adaln"
    context: int | None = None

    def __post_init__(self) -> None:
        checks.at_least("dynamics", self, embed_dim=1, depth=1, num_heads=1, context=1)
        checks.num_heads("dynamics", self.embed_dim, self.num_heads)


@dataclass(frozen=True, kw_only=True)
class RollOutConfig:
    """Loss on several imagined steps from the first frame of a window.

    Attributes:
        steps: Number of imagined steps, 2 or more and fewer than the frames of a window.
        states: States fed back while imagining: `imagined`, as in planning, or `true`, as V-JEPA 2-AC was
            trained.
    """

    steps: int = 2
    states: Literal["imagined", "true"] = "imagined"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(
                f"objective.rollout.steps is {self.steps}: give 2 or more, or null for objective.rollout"
            )


@dataclass(frozen=True, kw_only=True)
class ActionObjectiveConfig:
    """Training objective: distance, further losses, and what prevents collapse.

    Attributes:
        distance: Distance between predicted and true embeddings: `l1`, `smooth_l1` or `l2`.
        rollout: Settings of a loss on several imagined steps; null has no such loss.
        sigreg: Settings of a further loss, SIGReg, that prevents the embeddings of a trained encoder from
            collapsing; null has no such loss.
        vicreg: Settings of a further loss, VICReg, that prevents the embeddings of a trained encoder from
            collapsing; null has no such loss. Give `places: null`: the frames of a window are too much alike
            for statistics of single positions.
        smoothness: Weight of the mean squared change of the embedding from frame to frame, 0 or more; 0 turns
            it off.
        inverse: Weight of the error of predicting the action between two frames from their embeddings, 0 or
            more; 0 turns it off.
        inverse_source: Input of the action prediction: both embeddings through a hidden layer (`pair`), or
            their difference through one matrix (`change`).
    """

    distance: DistanceName = "l2"
    rollout: RollOutConfig | None = field(default_factory=RollOutConfig)
    sigreg: SIGRegConfig | None = None
    vicreg: VICRegConfig | None = None
    smoothness: float = 0.0
    inverse: float = 0.0
    inverse_source: InverseSource = "pair"

    def __post_init__(self) -> None:
        if self.smoothness < 0 or self.inverse < 0:
            raise ValueError(
                f"objective.smoothness is {self.smoothness} and inverse {self.inverse}: give weights of 0 or "
                "more"
            )


@dataclass(frozen=True, kw_only=True)
class PlanningConfig:
    """Planning: how actions are searched with the model.

    Attributes:
        planner: Planner: `cem` (cross-entropy method; iCEM with `cem.noise_exponent` and `cem.kept`), `mppi`
            or `gradient`.
        horizon: Number of imagined steps of a plan, each `data.window.skip` steps of the environment.
        execute: Number of steps of a plan that are executed before planning again, at most `horizon`.
        path: Weight, in [0, 1], of the mean distance from the goal over all steps in a plan's cost; the
            distance after the last step has the rest.
        distance: Distance between an imagined frame and the goal: of the embeddings, `l1`, `smooth_l1` or
            `l2`; `inverse`, the size of the action that the model's inverse dynamics predicts between them,
            whatever else differs in the images; or `probe`, the distance in the state variables that define a
            goal, read by a probe fitted to the states of the run's episodes.
        cem: Settings of the planner `cem`.
        mppi: Settings of the planner `mppi`.
        gradient: Settings of the planner `gradient`.
    """

    planner: Literal["cem", "mppi", "gradient"] = "cem"
    horizon: int = 6
    execute: int = 1
    path: float = 0.2
    distance: DistanceName | Literal["inverse", "probe"] = "l2"
    cem: CEMSettings = field(default_factory=CEMSettings)
    mppi: MPPISettings = field(default_factory=MPPISettings)
    gradient: GradientSettings = field(default_factory=GradientSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.path <= 1:
            raise ValueError(f"planning.path is {self.path}: give a share in [0, 1]")
        if not 1 <= self.execute <= self.horizon:
            raise ValueError(
                f"planning.horizon is {self.horizon} and execute {self.execute}: give 1 step or more, and a "
                "horizon that is not shorter"
            )


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """Configuration of a run that trains an action-conditioned model.

    Attributes:
        output_dir: Run folder.
        seed: Random seed of initial weights and of the order of windows.
        init: Run folder, model folder or released weights whose encoder is kept frozen, together with its
            pooling where it is an action-conditioned model; null trains an encoder (`encoder`, `frames`)
            together with the predictor.
        which: Which encoder of `init` to take, `target_encoder` or `encoder`; null takes the target encoder
            where there is one.
        data: Training episodes and the windows cut from them.
        encoder: Architecture of the encoder, a ViT over tubelets; unused where `init` gives one.
        frames: Pooling of a frame's tokens, for an encoder that is trained.
        dynamics: Architecture of the predictor of the next frame.
        objective: Training objective: distance, further losses, and what prevents collapse.
        planning: Planning: how actions are searched with the model.
        optim: AdamW and its schedules, counted in optimiser steps.
        train: How the run is executed. Only `precision` (fewer bits) and `micro_batch` (the random numbers of
            dropout and drop path) can change what is learnt.
    """

    output_dir: str = "runs/action"
    seed: int = 0
    init: str | None = None
    which: Literal["target_encoder", "encoder"] | None = None
    data: TrajectoryConfig = field(default_factory=TrajectoryConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    frames: FrameConfig = field(default_factory=FrameConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    objective: ActionObjectiveConfig = field(default_factory=ActionObjectiveConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        checks.seed("", self, "seed")
        objective, frozen = self.objective, self.init is not None
        if frozen and self.frames.pool != "none":
            raise ValueError(
                f"init gives a frozen encoder and frames.pool is {self.frames.pool}: a frozen encoder's "
                "tokens are predicted as they are, so set frames.pool to none"
            )
        if frozen and (self.measures_batch or objective.smoothness):
            raise ValueError(
                "init gives a frozen encoder, whose embeddings neither collapse nor become smoother: set "
                "objective.sigreg and objective.vicreg to null, and objective.smoothness to 0"
            )
        if not frozen and self.which is not None:
            raise ValueError(
                f"which is {self.which} and init null: an encoder is chosen from the model of init alone, so "
                "leave which out, or give init"
            )
        if objective.vicreg is not None and objective.vicreg.predictions:
            raise ValueError(
                f"objective.vicreg.predictions is {objective.vicreg.predictions}: predictions of an action-"
                "conditioned model are not regularised, so set it to 0"
            )
        if not frozen and not self.measures_batch:
            raise ValueError(
                "an encoder that learns without objective.sigreg and objective.vicreg makes all frames "
                "alike: give one of the two, or a frozen encoder by init"
            )
        if not frozen and self.data.features is not None:
            raise ValueError(
                "data.features is for a frozen encoder, and this one learns: leave it out, or give init"
            )
        if (self.dynamics.context or 1) >= self.data.window.frames:
            raise ValueError(
                f"dynamics.context is {self.dynamics.context} and data.window.frames "
                f"{self.data.window.frames}: the predictor would attend to more frames than in training, so "
                "give fewer than a window has"
            )
        rollout = objective.rollout
        if rollout is not None and rollout.steps >= self.data.window.frames:
            raise ValueError(
                f"objective.rollout.steps is {rollout.steps} and data.window.frames "
                f"{self.data.window.frames}: a window has one step less than frames, so give fewer steps or "
                "longer windows"
            )

    @property
    def measures_batch(self) -> bool:
        """Whether the loss is a statistic of the whole batch rather than a mean over its windows."""
        return self.objective.sigreg is not None or self.objective.vicreg is not None
