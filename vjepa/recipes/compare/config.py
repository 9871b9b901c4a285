"""The configuration of a comparison: a tree of dataclasses, read from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the compared ways to obtain features.

    Attributes:
        title: Name of the arm in the report.
        kind: Source of the features: `trained` is an encoder after a pre-training run, `random` the same
            encoder untrained, `pca` principal components of the pixels, as many as the encoder's embedding
            dimension.
        overrides: Changes to the comparison's `base`, as in a pre-training configuration; for trained arms
            only.
    """

    title: str
    kind: Literal["trained", "random", "pca"] = "trained"
    overrides: dict[str, Any] = field(default_factory=dict)


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
        seeds: Random seeds; every arm is trained once per point and seed.
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
        question: Question that the comparison should answer; the report begins with it.
        output_dir: Folder of the runs and the report.
        base: Pre-training configuration that all arms share, as in a YAML file under configs/pretrain.
        train: Labelled manifest (`FILE.csv?split=train`) for pre-training and for fitting probes, in a
            comparison on your own clips; null if `base` has synthetic videos.
        test: Labelled manifest of the videos to measure on; null if `base` has synthetic videos.
        arms: Ways to obtain features that are compared, by the short names used in `contrasts` and `sweep`.
        contrasts: Pairs of arms whose difference is tested, the first minus the second.
        seeds: Three or more random seeds; every arm is trained once per seed. A seed determines the initial
            weights, the order of the clips, crops, masks, and the labels to which a probe is fitted.
        label_shares: Shares of the training labels, in (0, 1], to which probes are fitted.
        finetune: Sections of a fine-tuning configuration, as in a YAML file under configs/finetune, to
            fine-tune the encoder of every arm (except `pca`) with all labels; null turns fine-tuning off.
        sweep: Sweep of some arms over further videos, which differ from those of `base`; null trains on the
            videos of `base` alone.
        jobs: Number of runs at the same time; the CPU cores are shared among them.
    """

    title: str
    question: str
    output_dir: str
    base: dict[str, Any]
    arms: dict[str, Arm]
    contrasts: list[tuple[str, str]]
    seeds: list[int]
    train: str | None = None
    test: str | None = None
    label_shares: list[float] = field(default_factory=lambda: [0.01, 0.05, 0.1, 1.0])
    finetune: dict[str, Any] | None = None
    sweep: Sweep | None = None
    jobs: int = 2

    def __post_init__(self) -> None:
        if len(self.seeds) < 3:
            raise ValueError(
                f"seeds is {self.seeds}: give three or more, which the intervals of the report need"
            )
        negative = [seed for seed in (*self.seeds, *(self.sweep.seeds if self.sweep else ())) if seed < 0]
        if negative:
            raise ValueError(f"seeds or sweep.seeds have {negative[0]}: give whole numbers, 0 or more")
        if not all(0 < share <= 1 for share in self.label_shares):
            raise ValueError(f"label_shares is {self.label_shares}: give shares in (0, 1]")
        named = {arm for pair in self.contrasts for arm in pair} | set(self.sweep.arms if self.sweep else ())
        unknown = named - self.arms.keys()
        if unknown:
            raise ValueError(
                f"contrasts or sweep.arms have {sorted(unknown)}: choose among {', '.join(self.arms)}"
            )
        synthetic = self.base.get("data", {}).get("synthetic") is not None
        if (self.train is None) != (self.test is None) or synthetic != (self.train is None):
            raise ValueError(
                f"train is {self.train} and test {self.test}: give both, labelled manifests, or neither and "
                "base.data.synthetic"
            )
        if self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}: give 1 or more")
