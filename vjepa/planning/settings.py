"""Settings of the planners, in a file of their own so that a configuration is read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CEMSettings:
    """Settings of the cross-entropy method.

    Attributes:
        samples: Number of candidate plans in a round; the current mean is one of them.
        elites: Number of best candidates of a round, which the mean and standard deviation of the next round
            are fitted to; at least 2 and fewer than `samples`.
        iterations: Number of rounds.
        deviation: Initial standard deviation, as a share of half the range of the actions; above 0.
        momentum: Share of the old mean and deviation in the new ones, in [0, 1).
        noise_exponent: Exponent of the noise over the steps of a plan; 0 is white noise; a larger exponent
            makes neighbouring steps more alike.
        kept: Number of elites that are candidates again in the next round, from 0 to `elites`, and fewer than
            `samples` - 1: the mean is a candidate as well, and at least one is drawn.
        least_deviation: Smallest standard deviation in any later round, as a share of half the range of the
            actions.
    """

    samples: int = 300
    elites: int = 30
    iterations: int = 10
    deviation: float = 0.5
    momentum: float = 0.1
    noise_exponent: float = 0.0
    kept: int = 0
    least_deviation: float = 0.01

    def __post_init__(self) -> None:
        if not 1 < self.elites < self.samples or self.iterations < 1:
            raise ValueError(
                f"{self.samples} samples, {self.elites} elites, {self.iterations} iterations: give 2 elites "
                "or more, more samples than elites, and 1 iteration or more"
            )
        if not 0 <= self.momentum < 1 or not self.deviation > 0:
            raise ValueError(
                f"momentum is {self.momentum} and deviation {self.deviation}: give a momentum in [0, 1) and "
                "a deviation above 0"
            )
        if not 0 <= self.kept <= min(self.elites, self.samples - 2):
            raise ValueError(
                f"kept is {self.kept} of {self.elites} elites and {self.samples} samples: give at most as "
                "many as elites, and 2 fewer than samples, so that new plans are drawn"
            )
        if not self.noise_exponent >= 0 or not self.least_deviation >= 0:
            raise ValueError(
                f"noise_exponent is {self.noise_exponent} and least_deviation {self.least_deviation}: give 0 "
                "or more of each"
            )


@dataclass(frozen=True, kw_only=True)
class MPPISettings:
    """Settings of model predictive path integral control.

    Attributes:
        samples: Number of candidate plans in a round; the current mean is one of them.
        iterations: Number of rounds.
        deviation: Standard deviation of the noise in the first round, as a share of half the range of the
            actions; above 0.
        decay: Factor by which the deviation shrinks from round to round, in (0, 1].
        temperature: Temperature of the candidates' weights, above 0. The smaller it is, the more the best
            candidates dominate the mean.
        noise_exponent: Exponent of the noise over the steps of a plan; 0 is white noise; a larger exponent
            makes neighbouring steps more alike.
    """

    samples: int = 300
    iterations: int = 10
    deviation: float = 0.5
    decay: float = 0.8
    temperature: float = 0.1
    noise_exponent: float = 0.0

    def __post_init__(self) -> None:
        if self.samples < 2 or self.iterations < 1:
            raise ValueError(
                f"{self.samples} samples and {self.iterations} iterations: give 2 samples or more and 1 "
                "iteration or more"
            )
        if not (self.temperature > 0 and self.deviation > 0 and 0 < self.decay <= 1):
            raise ValueError(
                f"temperature is {self.temperature}, deviation {self.deviation}, decay {self.decay}: give "
                "values above 0, and a decay of at most 1"
            )


@dataclass(frozen=True, kw_only=True)
class GradientSettings:
    """Settings of gradient descent on the actions.

    Attributes:
        starts: Number of starting plans: the given one and random ones around it.
        steps: Number of Adam steps.
        lr: Learning rate of Adam, as a share of half the range of the actions.
        deviation: Standard deviation of the random starts, as a share of half the range of the actions; 0 or
            more.
    """

    starts: int = 8
    steps: int = 100
    lr: float = 0.05
    deviation: float = 0.5

    def __post_init__(self) -> None:
        if self.starts < 1 or self.steps < 1 or not (self.lr > 0 and self.deviation >= 0):
            raise ValueError(
                f"{self.starts} starts, {self.steps} steps, learning rate {self.lr}, deviation "
                f"{self.deviation}: give 1 start or more, 1 step or more, a learning rate above 0, and a "
                "deviation of 0 or more"
            )
