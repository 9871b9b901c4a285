"""What is compared: a tree of dataclasses, read from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of getting features.

    Attributes:
        title: in the report.
        kind: `trained` by a pre-training run, `random` for the same encoder untrained, `pca` for principal
            components of the pixels, as many as the encoder is wide.
        overrides: of the comparison's `base`, as in a pre-training configuration; for a trained arm only.
    """

    title: str
    kind: Literal["trained", "random", "pca"] = "trained"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A point of a sweep: other videos for the same arms.

    Attributes:
        regime: points of one regime make one curve.
        strength: where on the curve it stands.
        overrides: of the comparison's `base`.
    """

    regime: str
    strength: float
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep: some of the arms again, on other videos.

    Attributes:
        title: of the sweep.
        arms: which of the arms.
        seeds: of each.
        points: the points, by name.
    """

    title: str
    arms: list[str]
    seeds: list[int]
    points: dict[str, SweepPoint]


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """A comparison.

    Attributes:
        title: of the report.
        question: what it is asked to show; stands on top of the report.
        output_dir: runs, features and the report.
        base: pre-training configuration that all arms share, as in a YAML file under configs/pretrain.
        train: labelled manifest (`FILE.csv?split=train`) to train and to fit probes on, for a comparison on
            your own clips; null where `base` has synthetic videos.
        test: labelled manifest to measure on.
        arms: by short name.
        contrasts: pairs of arms whose difference is tested, the first minus the second.
        seeds: three or more; one run of each arm for each. They decide on weights, order, crops, masks and
            on which labels a probe gets.
        label_shares: of the training labels that probes are given.
        finetune: sections of a fine-tuning configuration, as in a YAML file under configs/finetune, to
            fine-tune the encoder of every arm that has one with all labels; null for probes alone.
        sweep: More points, whose videos differ from those of `base`; null trains on `base` alone.
        jobs: runs at the same time; the cores are shared among them.
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
            raise ValueError(f"seeds is {self.seeds}: give three or more, or there is no interval to report")
        negative = [seed for seed in (*self.seeds, *(self.sweep.seeds if self.sweep else ())) if seed < 0]
        if negative:
            raise ValueError(f"seeds or sweep.seeds have {negative[0]}: give whole numbers, 0 or more")
        if not all(0 < share <= 1 for share in self.label_shares):
            raise ValueError(f"label_shares is {self.label_shares}: give shares in (0, 1]")
        asked = {arm for pair in self.contrasts for arm in pair} | set(self.sweep.arms if self.sweep else ())
        unknown = asked - self.arms.keys()
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
