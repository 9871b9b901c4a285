"""Recording episodes in the library's own environments; needs gymnasium, which other trajectories do not."""

from __future__ import annotations

from collections.abc import Callable

from vjepa.data.trajectories.collect import POLICIES, collect
from vjepa.environments.make import make_env
from vjepa.recipes.action.build import collected_folders
from vjepa.recipes.action.config import CollectConfig

COPIES = 50  # environments side by side; that many episodes are in memory at once


def collect_episodes(config: CollectConfig, size: int, say: Callable[[str], None]) -> None:
    """Record the training and test episodes; those that exist already are kept.

    Args:
        config: Settings of the episodes.
        size: Height and width of a frame in pixels.
        say: Receives progress messages.
    """
    counts = (config.episodes, config.test_episodes)
    for split, (folder, count) in enumerate(zip(collected_folders(config), counts, strict=True)):
        if not count:
            continue
        say(f"{config.env}: {count} episodes to {folder}")
        env = make_env(config.env, COPIES, size, config.steps, ends=False, anywhere=True)
        policy, seed = POLICIES[config.policy], 2 * config.seed + split
        collect(folder, env, policy, episodes=count, steps=config.steps, seed=seed)
