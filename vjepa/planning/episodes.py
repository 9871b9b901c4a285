"""Episodes of a policy in an environment, and the share of them that succeed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from vjepa.environments.base import ArrayEnv, Pixels
from vjepa.planning.policies import EnvPolicy


@dataclass(frozen=True)
class EpisodeReport:
    """Results of e episodes.

    Attributes:
        success_e: Whether each episode reached its goal.
        steps_e: Number of environment steps until the goal was reached; the step limit if it was not.
        seconds: Time in seconds that all episodes took together.
        looks: Number of calls of the policy, each for all episodes.
        images_TeHWC: Images before the first step and after each step; an ended episode stands still.
    """

    success_e: NDArray[np.bool_]
    steps_e: NDArray[np.int64]
    seconds: float
    looks: int
    images_TeHWC: Pixels

    @property
    def rate(self) -> float:
        """Share of the episodes that succeeded, in [0, 1]."""
        return float(self.success_e.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval of `rate`."""
        found = binomtest(int(self.success_e.sum()), len(self.success_e)).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def line(self, name: str) -> str:
        """Return the results as one line of a table."""
        low, high = self.interval
        reached = self.steps_e[self.success_e]
        steps = f"{reached.mean():.1f}" if len(reached) else "-"
        return (
            f"{name:<12}{self.rate:>7.1%}  ({low:.1%} to {high:.1%}) of {len(self.success_e)}   steps "
            f"{steps:>5}   {self.seconds:.1f} s, "
            f"{1000 * self.seconds / max(self.looks, 1):.0f} ms per policy call"
        )


def run_episodes(env: ArrayEnv, policy: EnvPolicy, seed: int) -> EpisodeReport:
    """Run one episode in each copy of an environment.

    Args:
        env: Environment with one copy for each episode.
        policy: Policy that acts in all copies.
        seed: Random seed of starts and goals; the same seed gives the same ones for every policy.
    """
    image, _ = env.reset(seed=seed)
    started = time.perf_counter()
    policy.begin(env)
    images, looks = [image], 0
    success_e = np.zeros(env.num_envs, dtype=bool)
    steps_e = np.full(env.num_envs, env.max_steps)
    taken = 0
    while taken < env.max_steps and not success_e.all():
        actions_eIA = policy.act(env, image)
        looks += 1
        for action_eA in actions_eIA.transpose(1, 0, 2)[: env.max_steps - taken]:
            image = env.step(action_eA)[0]
            taken += 1
            images.append(image)
            # By the states: where reaching the goal does not end an episode, no step reports it.
            reached_e = env.reached(env.state_eQ, env.goal_eQ)
            steps_e[reached_e & ~success_e] = taken
            success_e |= reached_e
    seconds = time.perf_counter() - started
    return EpisodeReport(success_e, steps_e, seconds, looks, np.stack(images))
