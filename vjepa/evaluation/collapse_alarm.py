"""An alarm on collapsing embeddings, which names the likeliest cause and the settings that cure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

CONSTANT = 1e-5  # standard deviation across clips; normalised embeddings have one of about 1
LARGE_UPDATE = 0.03  # relative change of the weights by one step; .005 to .015 in runs that learn
FEW_UPDATES = 2.0  # lag of the target encoder in optimiser steps; 10 to 50 in runs that learn


class Cause(Enum):
    """Likeliest cause of a collapse; the value is a sentence that says what the measures show."""

    EQUAL_CLIPS = (
        "all embeddings have been the same for every clip since they were first measured, so the clips are "
        "alike, or the encoder that the run started from ignores them"
    )
    CONSTANT_TARGETS = (
        "the targets have been the same for every clip since they were first measured, so the target encoder "
        "had collapsed before the run, or was never trained"
    )
    LARGE_STEPS = (
        "one optimiser step changed the weights by more than 3 % of their norm (relative_update), so the "
        "learning rate is too high, or its warm-up too short"
    )
    FAST_TARGETS = (
        "the target encoder is less than two optimiser steps behind the encoder (target_lag), so targets "
        "follow whatever is predicted, and constant embeddings have the lowest loss"
    )
    WEAK_REGULARIZER = (
        "neither the size of the steps nor the target encoder explains it, so the regulariser weighs too "
        "little beside the prediction error"
    )
    UNPROTECTED = (
        "neither the size of the steps nor the target encoder explains it, and nothing in the loss makes the "
        "embeddings of different clips differ"
    )


Cures = Mapping[Cause, Mapping[str, Any]]
"""For each cause, the settings that cure it, by dotted key; empty where no setting does."""


@dataclass(frozen=True)
class Alarm:
    """A collapse, its likeliest cause, and the settings that cure it.

    Attributes:
        message: What happened, why, and what to do, for people.
        cause: Name of the cause, a member of `Cause`.
        cure: Settings by dotted key with which a new run is expected not to collapse; empty where no setting
            helps.
    """

    message: str
    cause: str
    cure: dict[str, Any]


@dataclass
class CollapseAlarm:
    """Alarm that is raised once for each collapse measure that falls far below its best value in the run.

    No absolute threshold fits all models and data, so the smoothed value of each measure is compared with its
    highest value so far. The exception is a standard deviation below 1e-5, where embeddings are the same for
    every clip: it raises the alarm at once.

    Attributes:
        fall: Share of the highest value below which the alarm is raised, in (0, 1).
        smoothing: Weight of the previous smoothed value in the exponential average, in [0, 1).
        smoothed: Current smoothed value of each measure.
        best: Highest smoothed value of each measure.
        largest: Largest value of each further metric from which the cause is told.
        rung: Names of the measures that have raised an alarm.
    """

    fall: float = 0.2
    smoothing: float = 0.5
    smoothed: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    rung: list[str] = field(default_factory=list)

    def update(self, metrics: Mapping[str, float], cures: Cures | None = None) -> Alarm | None:
        """Add the metrics of one logged step and return a new alarm.

        Args:
            metrics: Metrics by name. Standard deviations and ranks, such as ``target/std``, are watched, and
                not those of ``predicted``. The cause is told from ``relative_update``, ``target_lag`` and the
                losses of regularizers.
            cures: Settings that cure each cause in this run; None names no settings.

        Returns:
            Alarm that names all measures that raise it now; None if no measure does.
        """
        for name in (*_TELLING, *_REGULARIZERS):
            if name in metrics:
                self.largest[name] = max(self.largest.get(name, 0.0), metrics[name])
        rung = [name for name, value in metrics.items() if _is_watched(name) and self._rings(name, value)]
        if not rung:
            return None
        cause = self._cause()
        cure = dict((cures or {}).get(cause, {}))
        return Alarm(self._message(rung, cause, cure), cause.name, cure)

    def _rings(self, name: str, value: float) -> bool:
        """Add the value of a measure, and return whether it raises an alarm for the first time."""
        past = self.smoothed.get(name, value)
        now = self.smoothed[name] = self.smoothing * past + (1 - self.smoothing) * value
        self.best[name] = max(self.best.get(name, 0.0), now)
        fell = now < self.fall * self.best[name] or (name.endswith("/std") and value < CONSTANT)
        if not fell or name in self.rung:
            return False
        self.rung.append(name)
        return True

    def _cause(self) -> Cause:
        constant = {name for name, best in self.best.items() if name.endswith("/std") and best < CONSTANT}
        if "context/std" in constant:
            return Cause.EQUAL_CLIPS
        if constant:
            return Cause.CONSTANT_TARGETS
        update, lag = (self.largest.get(name) for name in _TELLING)
        if update is not None and update > LARGE_UPDATE:
            return Cause.LARGE_STEPS
        if update is not None and lag is not None and lag < FEW_UPDATES * update:
            return Cause.FAST_TARGETS
        return Cause.WEAK_REGULARIZER if self.largest.keys() & set(_REGULARIZERS) else Cause.UNPROTECTED

    def _message(self, rung: list[str], cause: Cause, cure: dict[str, Any]) -> str:
        name, others = rung[0], rung[1:]
        part, measure = name.split("/")
        now, best = self.smoothed[name], self.best[name]
        if best < CONSTANT:
            what = f"{name} is {now:.1g}: the {part} embeddings are the same for every clip"
        else:
            effect = "of different clips become equal" if measure == "std" else "lose dimensions"
            what = (
                f"{name} fell to {now:.3g}, {100 * now / best:.0f} % of its best value {best:.3g}: "
                f"the {part} embeddings {effect}"
            )
        also = f" The same alarm is raised by {', '.join(others)}." if others else ""
        options = " ".join(f"--{key} {_option(value)}" for key, value in cure.items())
        remedy = (
            f"Start again in another output_dir with {options}."
            if cure
            else "No setting cures this: look at the clips, and at the model that the run starts from."
        )
        return (
            f"collapse alarm: {what}. Likeliest cause: {cause.value}. {remedy}{also} The loss may fall "
            "meanwhile: it is not progress."
        )


_TELLING = ("relative_update", "target_lag")
_REGULARIZERS = ("variance", "covariance", "sigreg")


def _is_watched(name: str) -> bool:
    # At first, predictions approach the mean of the targets: their measures fall without a collapse.
    return name.endswith(("/std", "/rank")) and not name.startswith("predicted/")


def _option(value: Any) -> str:
    """Return the value of a command's option."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(f"{item:g}" for item in value) + "]"
    return f"{value:g}"
