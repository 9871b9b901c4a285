"""Measurements during training: their history, the best of them, and the rule that ends a run early.

The trainer knows of a measurement only its name, when it is due, and that a larger value is better. What is
measured, and how, is a function that the recipe gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

Measure = Callable[[Mapping[str, Tensor], Callable[[str], None]], float]
"""Function that measures an objective; see `Measurements`."""


class Measured(NamedTuple):
    """One measurement: the number of steps taken before it, and its value."""

    step: int
    value: float


class Measurements:
    """What is measured during training, and what follows from it.

    Args:
        name: Name of the metric in the records of the run.
        measure: Function that returns the metric, larger is better. It receives the tensors of the
            objective's state by name, which it must leave as they are, and a function that prints a line. It
            is called on the main process alone, inside `vjepa.seeding.random_state_kept`.
        subject: Text that says what is measured, such as a digest of the samples; values can be compared only
            where it is the same.
        every: Number of optimiser steps between two measurements; None measures nothing.
        keep_best: Whether the run ends with the weights of its best measurement instead of the last step's.
        patience: Number of measurements without a new best after which the run ends; None takes all steps.

    Attributes:
        history: All measurements so far that can be compared with each other, ascending by step.
    """

    def __init__(
        self,
        name: str,
        measure: Measure,
        *,
        subject: str,
        every: int | None,
        keep_best: bool = False,
        patience: int | None = None,
    ) -> None:
        self.name = name
        self.measure = measure
        self.subject = subject
        self.every = every
        self.keep_best = keep_best
        self.patience = patience
        self.history: list[Measured] = []

    @classmethod
    def none(cls) -> Measurements:
        """Return those of a run that measures nothing."""
        return cls("nothing", _never, subject="", every=None)

    def due(self, step: int, last: int) -> bool:
        """Return whether a step is measured; the last step is, if any."""
        return self.every is not None and (step % self.every == 0 or step == last)

    def add(self, step: int, value: float) -> None:
        """Add the measurement of a step."""
        self.history.append(Measured(step, value))

    @property
    def best(self) -> Measured | None:
        """The largest value; of equal ones the first. None before the first measurement."""
        return max(self.history, key=lambda measured: measured.value, default=None)

    @property
    def since_best(self) -> int:
        """Number of measurements after the best one."""
        return 0 if self.best is None else len(self.history) - 1 - self.history.index(self.best)

    @property
    def exhausted(self) -> bool:
        """Whether so many measurements were no new best that the run must end."""
        return self.patience is not None and self.since_best >= self.patience

    @property
    def reason(self) -> str:
        """Why the run must end early, in words that can be understood alone; empty if it need not."""
        if self.best is None or not self.exhausted:
            return ""
        last = self.history[-1]
        return (
            f"ended early at step {last.step}: {self.name} was best at step {self.best.step} with "
            f"{self.best.value:.4g}, and {self.since_best} measurements since then were not better "
            f"(train.patience {self.patience}), the last with {last.value:.4g}"
        )

    def needed_by(self, step: int) -> int | None:
        """Return the step of the checkpoint that a run resumed after `step` may end with, if there is one."""
        if not self.keep_best:
            return None
        before = [measured for measured in self.history if measured.step <= step]
        return max(before, key=lambda measured: measured.value).step if before else None

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores, as JSON values."""
        return {"subject": self.subject, "history": [list(measured) for measured in self.history]}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Take the history of a checkpoint.

        Returns:
            Whether new values can be compared with those of the history.
        """
        self.history = [Measured(*pair) for pair in state["history"]]
        return not self.history or state["subject"] == self.subject


def _never(state: Mapping[str, Tensor], say: Callable[[str], None]) -> float:
    raise AssertionError("a run that measures nothing was asked to measure")
