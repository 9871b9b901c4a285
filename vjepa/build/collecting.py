"""Episodes of the library's own environments; needs gymnasium, which trajectories of one's own do not."""

from __future__ import annotations

from collections.abc import Callable

from vjepa.build.action import collected_folders
from vjepa.config.action import CollectConfig
from vjepa.data.trajectories.collect import POLICIES, collect
from vjepa.environments.make import make_env

COPIES = 50  # of an environment that is collected from: as many episodes are held in memory at once


def collect_episodes(config: CollectConfig, size: int, say: Callable[[str], None]) -> None:
    """Write the episodes of both splits; what is there already is kept."""
    counts = (config.episodes, config.test_episodes)
    for split, (folder, count) in enumerate(zip(collected_folders(config), counts, strict=True)):
        if not count:
            continue
        say(f"{config.env}: {count} episodes to {folder}")
        env = make_env(config.env, COPIES, size, config.steps, ends=False, anywhere=True)
        policy, seed = POLICIES[config.policy], 2 * config.seed + split
        collect(folder, env, policy, episodes=count, steps=config.steps, seed=seed)
