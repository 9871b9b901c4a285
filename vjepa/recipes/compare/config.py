"""The configuration of a comparison: a tree of dataclasses, read from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Measure = Literal["ridge", "knn", "attentive", "finetune"]
Kind = Literal["trained", "untrained", "pca", "frame"]

DETERMINED = ("seed", "model.init", "model.weights", "data.label_share", "data.label_seed")
"""Settings of fine-tuning that a comparison sets itself, by the arm, the share of labels and the seed."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the compared ways to obtain features.

    Attributes:
        title: Name of the arm in the report.
        kind: Source of the features: `trained` is an encoder after a pre-training run; `untrained` the same
            encoder with random weights; `pca` principal components of the pixels, as many as the encoder's
            embedding dimension; `frame` the pixels of one frame, the middle one of the clip, made small.
        overrides: Changes to the comparison's `base`, as in a pre-training configuration; for trained and
            untrained arms.
        flops_of: Name of a trained arm whose number of training FLOPs this arm is given: its number of
            optimiser steps, and all settings that count steps, are multiplied by the same factor. Null keeps
            the configured number of steps, so that all arms see equally many clips. For trained arms.
    """

    title: str
    kind: Kind = "trained"
    overrides: dict[str, Any] = field(default_factory=dict)
    flops_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Split:
    """A division of labelled videos into training and test videos.

    Attributes:
        train: Labelled manifest (`FILE.csv?split1=train`) for fitting read-outs and for pre-training, which
            uses the labels only where `base.probe.online` asks for it.
        test: Labelled manifest of the videos to measure on, which share no group with those of `train`.
    """

    train: str
    test: str


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A point of a sweep: changed videos, on which the same arms are trained and measured.

    Attributes:
        regime: Name of the curve to which the point belongs.
        strength: Position of the point on the horizontal axis of that curve.
        overrides: Changes to the comparison's `base`, as in a pre-training configuration.
    """

    regime: str
    strength: float
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep: some of the arms, trained and measured on other videos.

    Attributes:
        title: Sentence at the beginning of the sweep's section in the report.
        arms: Names of the arms in the sweep.
        seeds: Random seeds, five or more for usable intervals; every arm is trained once per point and seed.
        points: Points of the sweep, by name.
    """

    title: str
    arms: list[str]
    seeds: list[int]
    points: dict[str, SweepPoint]


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """A comparison of pre-training methods.

    Attributes:
        title: Title of the report.
        question: Question that the comparison should answer.
        output_dir: Folder of the runs and the report.
        base: Pre-training configuration that all arms share, as in a YAML file under configs/pretrain.
        arms: Ways to obtain features that are compared, by the short names used elsewhere.
        contrasts: Pairs of arms whose difference is tested, the first minus the second.
        seeds: Three or more random seeds; every arm is trained once per split and seed. A seed determines the
            initial weights, the order of the clips, crops, masks, and the labels to which read-outs are
            fitted.
        splits: Divisions of your own labelled videos into training and test videos, such as
            `[{train: 'FILE.csv?split1=train', test: 'FILE.csv?split1=test'}]`; each arm is trained and
            measured on every one of them. Null if `base` has synthetic videos.
        extra_train: Further manifests or folders of videos for pre-training on every split, whose labels are
            not used; none of them may be a test video.
        measures: Read-outs of classes. `ridge` is linear and `knn` lets the nearest videos vote, on averaged
            tokens; both take the level of the encoder that validates best inside the training videos.
            `attentive` reads all tokens of the last block. `finetune` also trains the encoder. The last two
            leave out the arms of kind `pca` and `frame`. The first one is that of the report's first
            sentences.
        label_shares: Shares of the training labels, in (0, 1], to which `ridge`, `knn` and `attentive` are
            fitted.
        horizons: Numbers of frames, 0 or more, from a clip's last frame to the frame whose factors are read
            out of rendered videos: 0 reads the present, others the future.
        finetune: Sections of a fine-tuning configuration, as in a YAML file under configs/finetune, for the
            measure `finetune`. Videos, labels, seeds and the model to start from are those of the comparison.
        sweep: Sweep of some arms over further rendered videos, which differ from those of `base`; null trains
            on the videos of `base` alone.
        jobs: Number of runs at the same time; the CPU cores are shared among them.
    """

    title: str
    question: str
    output_dir: str
    base: dict[str, Any]
    arms: dict[str, Arm]
    contrasts: list[tuple[str, str]]
    seeds: list[int]
    splits: list[Split] | None = None
    extra_train: list[str] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=lambda: ["ridge", "knn"])
    label_shares: list[float] = field(default_factory=lambda: [1.0])
    horizons: list[int] = field(default_factory=lambda: [0])
    finetune: dict[str, Any] = field(default_factory=dict)
    sweep: Sweep | None = None
    jobs: int = 2

    @property
    def synthetic(self) -> bool:
        """Whether the videos are rendered."""
        return self.base.get("data", {}).get("synthetic") is not None

    def __post_init__(self) -> None:
        if len(self.seeds) < 3:
            raise ValueError(
                f"seeds is {self.seeds}: give three or more, which the intervals of the report need"
            )
        negative = [seed for seed in (*self.seeds, *(self.sweep.seeds if self.sweep else ())) if seed < 0]
        if negative:
            raise ValueError(f"seeds or sweep.seeds have {negative[0]}: give whole numbers, 0 or more")
        if self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}: give 1 or more")
        self._check_repeated()
        self._check_arms()
        self._check_videos()
        self._check_measures()

    def _check_repeated(self) -> None:
        """Refuse what is given twice: its runs would share a folder, and count as independent."""
        names = ("seeds", "splits", "measures", "label_shares", "horizons")
        given = {name: getattr(self, name) for name in names}
        if self.sweep is not None:
            given |= {"sweep.arms": self.sweep.arms, "sweep.seeds": self.sweep.seeds}
        for name, values in given.items():
            if any(value in values[:place] for place, value in enumerate(values or ())):
                raise ValueError(f"{name} is {values}: give each of them once")

    def _check_arms(self) -> None:
        named = {arm for pair in self.contrasts for arm in pair} | set(self.sweep.arms if self.sweep else ())
        unknown = named - self.arms.keys()
        if unknown:
            raise ValueError(
                f"contrasts or sweep.arms have {sorted(unknown)}: choose among {', '.join(self.arms)}"
            )
        for name, arm in self.arms.items():
            if arm.overrides and arm.kind in ("pca", "frame"):
                raise ValueError(
                    f"arms.{name} has overrides and the kind {arm.kind}, which reads none: leave them out, "
                    "or change base for all arms"
                )
            self._check_budget(name, arm)

    def _check_budget(self, name: str, arm: Arm) -> None:
        if arm.flops_of is None:
            return
        if arm.kind != "trained":
            raise ValueError(
                f"arms.{name} has flops_of and the kind {arm.kind}: only a trained arm has a number of "
                "steps; leave it out"
            )
        model = self.arms.get(arm.flops_of)
        if model is None or model.kind != "trained" or model.flops_of is not None:
            raise ValueError(
                f"arms.{name}.flops_of is {arm.flops_of}: give the name of a trained arm without flops_of"
            )

    def _check_videos(self) -> None:
        if self.synthetic == (self.splits is not None) or self.splits == []:
            raise ValueError(
                f"splits is {self.splits}: give one or more, with labelled manifests as train and test, or "
                "base.data.synthetic instead, and not both"
            )
        if self.base.get("data", {}).get("train") is not None:
            raise ValueError(
                f"base.data.train is {self.base['data']['train']}: give videos as splits, and unlabelled "
                "ones as extra_train"
            )
        for name in ("extra_train", "sweep"):
            given = getattr(self, name)
            if given and self.synthetic != (name == "sweep"):
                kind = "your own" if name == "extra_train" else "rendered"
                raise ValueError(f"{name} is {given}: it is for {kind} videos, so leave it out")

    def _check_measures(self) -> None:
        if not self.measures:
            raise ValueError(f"measures is {self.measures}: give one or more")
        if not self.label_shares or not all(0 < share <= 1 for share in self.label_shares):
            raise ValueError(f"label_shares is {self.label_shares}: give one share or more, each in (0, 1]")
        if self.finetune and "finetune" not in self.measures:
            raise ValueError(
                f"finetune is given and measures is {self.measures}: add finetune to measures, or leave the "
                "section out"
            )
        self._check_finetune()
        if not self.horizons or min(self.horizons) < 0 or (self.horizons != [0] and not self.synthetic):
            raise ValueError(
                f"horizons is {self.horizons}: give numbers of frames, 0 or more, for rendered videos alone; "
                "leave it out for your own"
            )

    def _check_finetune(self) -> None:
        """Refuse what arms, splits and seeds determine, since the report would name something else."""
        for key in (*DETERMINED, "output_dir", "data.train", "data.val", "data.test"):
            section, _, name = key.rpartition(".")
            given = self.finetune.get(section) if section else self.finetune
            if isinstance(given, dict) and name in given:
                raise ValueError(
                    f"finetune.{key} is {given[name]}, and arms, splits and seeds determine it: leave it out"
                )
