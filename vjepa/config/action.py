"""The schema of every configuration of an action-conditioned model, with the defaults. Text is for `--help`, too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vjepa.config import checks
from vjepa.config.schema import EncoderConfig, OptimConfig, SIGRegConfig, TrainConfig, VICRegConfig
from vjepa.data.trajectories.windows import WindowConfig
from vjepa.environments.names import EnvName
from vjepa.layers.pixels import IMAGENET_MEAN, IMAGENET_STD
from vjepa.models.action_model import Pool
from vjepa.models.action_predictor import Conditioning
from vjepa.models.inverse_dynamics import InverseSource
from vjepa.objectives.distances import DistanceName
from vjepa.planning.cem import CEM
from vjepa.planning.gradient import GradientPlanner
from vjepa.planning.mppi import MPPI


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Episodes that are made in one of the library's own environments.

    Attributes:
        env: its name.
        folder: where the .mp4 files and actions go; made once, then reused.
        episodes: to train on.
        test_episodes: never trained on, for the metrics at the end; 0 for no metrics.
        steps: frames of an episode.
        policy: `random`, a walk whose direction lasts; `scripted`, noisy ways to goals; `mixed`, half of each.
        seed: of the episodes.
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
    """Episodes and the windows cut from them.

    Attributes:
        train: a folder of videos with their actions, a folder in LeRobot's layout, or an HDF5 file; of each, some episodes alone by
            `FILE?episodes=0-179` or `FILE?without=3,17`.
        test: the same, for the metrics at the end; null for none. No episode may be in both.
        collect: make episodes instead (`train` and `test` stay null).
        window: frames of a window, the skip between them, and what becomes of the actions in between.
        states: also read states (proprioception), and predict them.
        camera: of a source with several.
        size: height and width of a frame in pixels, or one number for both.
        mean: of each channel, in [0, 1].
        std: of each channel.
        reader: `auto` takes what is exact and present.
        cache_dir: keep decoded, resized frames here; null decodes each time.
        cache_short_side: short side in pixels of the cached frames.
        features: keep what a frozen encoder makes of each frame here, so that it is encoded once; null encodes each time.
        workers: processes that make batches; the result does not depend on it.
        max_unreadable: share of the episodes that may be unreadable, or shorter than a window, before the run stops.
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
    cache_dir: str | None = None
    cache_short_side: int = 256
    features: str | None = None
    workers: int = 2
    max_unreadable: float = 0.01

    def __post_init__(self) -> None:
        checks.frame_size("data", self)
        checks.pixel_statistics("data", self)
        checks.at_least("data", self, cache_short_side=1, workers=0)
        checks.share("data", self, "max_unreadable")
        if self.train is not None and self.collect is not None:
            raise ValueError(
                "data.train and data.collect are both given: give one of them, and null for the other"
            )

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """What of a frame is predicted.

    Attributes:
        pool: `none`, all its tokens; `mean`, one token from their mean; `flatten`, one token from all of them side by side.
        width: of that one token.
    """

    pool: Pool = "none"
    width: int = 192

    def __post_init__(self) -> None:
        checks.at_least("frames", self, width=1)


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The predictor of the next frame.

    Attributes:
        width: of its tokens. Narrower than what it predicts, it cannot even repeat it: an encoder that learns with it then holds
            less of what stands still.
        depth: number of blocks.
        heads: attention heads.
        conditioning: actions as `tokens` (V-JEPA 2-AC), or through the norms, `adaln` (jepa-wms, LeWM).
        context: most frames that it looks back on, its own included; null takes those of the window.
    """

    width: int = 384
    depth: int = 6
    heads: int = 6
    conditioning: Conditioning = "adaln"
    context: int | None = None

    def __post_init__(self) -> None:
        checks.at_least("dynamics", self, width=1, depth=1, heads=1, context=1)
        checks.heads("dynamics", self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class RollOutConfig:
    """A loss on several imagined steps from a window's first frame.

    Attributes:
        steps: 2 or more.
        states: `imagined`, as in planning, or `true`, as V-JEPA 2-AC was trained.
    """

    steps: int = 2
    states: Literal["imagined", "true"] = "imagined"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"objective.rollout.steps is {self.steps}: give 2 or more, or no rollout")


@dataclass(frozen=True, kw_only=True)
class ActionObjectiveConfig:
    """What is learnt beside the next frame.

    Attributes:
        distance: of predicted from true embeddings.
        rollout: a loss on several steps; null for none.
        stabilizer: keeps an encoder that learns from collapsing: `sigreg` or `vicreg`; `none` for a frozen one.
        sigreg: its numbers (`sigreg`).
        vicreg: its numbers (`vicreg`); `places` null, since one frame of a window is like another.
        smoothness: weight of the squared change of an embedding from frame to frame.
        inverse: weight of predicting the action between two frames from their embeddings.
        inverse_source: `pair`, from both through a hidden layer; `change`, from their difference through one matrix.
    """

    distance: DistanceName = "l2"
    rollout: RollOutConfig | None = field(default_factory=RollOutConfig)
    stabilizer: Literal["none", "sigreg", "vicreg"] = "none"
    sigreg: SIGRegConfig = field(default_factory=SIGRegConfig)
    vicreg: VICRegConfig = field(default_factory=lambda: VICRegConfig(places=None))
    smoothness: float = 0.0
    inverse: float = 0.0
    inverse_source: InverseSource = "pair"

    def __post_init__(self) -> None:
        if self.smoothness < 0 or self.inverse < 0:
            raise ValueError(
                f"objective.smoothness is {self.smoothness} and inverse {self.inverse}: give weights of 0 or more"
            )


@dataclass(frozen=True, kw_only=True)
class PlanningConfig:
    """How actions are chosen with the model.

    Attributes:
        planner: `cem` (with `cem.noise_exponent` and `cem.kept`, iCEM), `mppi` or `gradient`.
        horizon: imagined steps of a plan.
        execute: steps of it that are taken before planning anew.
        path: share of the mean distance from the goal over the whole path in a plan's cost; the rest is that of its last step.
        distance: of an imagined frame from the goal's: value by value; `inverse`, the action that the model's inverse dynamics
            reads between them: what is left to do, whatever else is in the images; or `probe`, of what a probe reads from them
            of the numbers that goals are about, fitted to the states of the run's episodes.
        cem: its numbers (`cem`).
        mppi: its numbers (`mppi`).
        gradient: its numbers (`gradient`).
    """

    planner: Literal["cem", "mppi", "gradient"] = "cem"
    horizon: int = 6
    execute: int = 1
    path: float = 0.2
    distance: DistanceName | Literal["inverse", "probe"] = "l2"
    cem: CEM = field(default_factory=CEM)
    mppi: MPPI = field(default_factory=MPPI)
    gradient: GradientPlanner = field(default_factory=GradientPlanner)

    def __post_init__(self) -> None:
        if not 0 <= self.path <= 1:
            raise ValueError(f"planning.path is {self.path}: give a share in [0, 1]")
        if not 1 <= self.execute <= self.horizon:
            raise ValueError(
                f"planning.horizon is {self.horizon} and execute {self.execute}: give 1 step or more, and a horizon that is not "
                "shorter"
            )


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """Everything about a run that trains a world model with actions.

    Attributes:
        output_dir: folder of the run.
        seed: of initialisation and order.
        init: run, model folder or released weights whose encoder is taken as it is and stays frozen, with its pooling where it is
            a world model; null trains an encoder (`encoder`, `frames`) together with the predictor.
        which: its `target_encoder` or its `encoder`; null takes the target encoder where there is one.
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
        if frozen and (self.frames.pool != "none" or objective.stabilizer != "none"):
            raise ValueError(
                f"init gives a frozen encoder, frames.pool is {self.frames.pool} and objective.stabilizer {objective.stabilizer}: "
                "a frozen encoder's tokens are predicted as they are, so set both to none"
            )
        if not frozen and objective.stabilizer == "none":
            raise ValueError(
                "an encoder that learns with objective.stabilizer none makes all frames alike: give sigreg or vicreg, or a frozen "
                "encoder by init"
            )
        if not frozen and self.data.features is not None:
            raise ValueError(
                "data.features is for a frozen encoder, and this one learns: leave it out, or give init"
            )
        rollout = objective.rollout
        if rollout is not None and rollout.steps >= self.data.window.frames:
            raise ValueError(
                f"objective.rollout.steps is {rollout.steps} and data.window.frames {self.data.window.frames}: a window has one "
                "step less than frames, so give fewer steps or longer windows"
            )

    @property
    def measures_batch(self) -> bool:
        """Whether the loss is a statistic of the whole batch, and not a mean over its windows."""
        return self.objective.stabilizer != "none"
