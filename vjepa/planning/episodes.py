"""Episodes of a policy in a world, and how many of them succeed. E copies of the world, T steps, H W pixels."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from vjepa.environments.base import ArrayWorld, Pixels
from vjepa.planning.policies import WorldPolicy


@dataclass(frozen=True)
class EpisodeReport:
    """What came of E episodes.

    Attributes:
        success_E: whether the goal was reached.
        steps_E: of the environment until then; all of them where it was not.
        seconds: of looking, planning and acting, all episodes together.
        looks: times that a policy looked and decided.
        pictures_TEHWC: what was seen in each step, the first included; an ended episode stands still.
    """

    success_E: NDArray[np.bool_]
    steps_E: NDArray[np.int64]
    seconds: float
    looks: int
    pictures_TEHWC: Pixels

    @property
    def rate(self) -> float:
        """Share of episodes that succeeded."""
        return float(self.success_E.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        found = binomtest(int(self.success_E.sum()), len(self.success_E)).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def line(self, name: str) -> str:
        """One line of a table."""
        low, high = self.interval
        reached = self.steps_E[self.success_E]
        steps = f"{reached.mean():.1f}" if len(reached) else "-"
        return (
            f"{name:<12}{self.rate:>7.1%}  ({low:.1%} to {high:.1%}) of {len(self.success_E)}   steps {steps:>5}   "
            f"{self.seconds:.1f} s, {1000 * self.seconds / max(self.looks, 1):.0f} ms a look at all"
        )


def run_episodes(world: ArrayWorld, policy: WorldPolicy, seed: int) -> EpisodeReport:
    """One episode in each copy of a world; the same seed draws the same starts and goals."""
    picture, _ = world.reset(seed=seed)
    started = time.perf_counter()
    policy.begin(world)
    pictures, looks = [picture], 0
    success_E = np.zeros(world.num_envs, dtype=bool)
    steps_E = np.full(world.num_envs, world.max_steps)
    taken = 0
    while taken < world.max_steps and not success_E.all():
        actions_EKN = policy.act(world, picture)
        looks += 1
        for action_EN in actions_EKN.transpose(1, 0, 2)[: world.max_steps - taken]:
            picture, _, reached_E, _, _ = world.step(action_EN)
            taken += 1
            pictures.append(picture)
            steps_E[reached_E] = taken
            success_E |= reached_E
    seconds = time.perf_counter() - started
    return EpisodeReport(success_E, steps_E, seconds, looks, np.stack(pictures))
