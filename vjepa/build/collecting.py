"""Episodes of the library's own worlds; needs gymnasium, which trajectories of one's own do not."""

from __future__ import annotations

from collections.abc import Callable

from vjepa.build.world import collected_folders
from vjepa.config.world import CollectConfig
from vjepa.data.trajectories.collect import POLICIES, collect
from vjepa.environments.make import make_world

COPIES = 50  # of a world that is collected from: as many episodes are held in memory at once


def collect_episodes(config: CollectConfig, size: int, say: Callable[[str], None]) -> None:
    """Write the episodes of both parts; what is there already is kept."""
    counts = (config.episodes, config.test_episodes)
    for part, (folder, count) in enumerate(zip(collected_folders(config), counts, strict=True)):
        if not count:
            continue
        say(f"{config.world}: {count} episodes to {folder}")
        world = make_world(config.world, COPIES, size, config.steps, ends=False, anywhere=True)
        policy, seed = POLICIES[config.policy], 2 * config.seed + part
        collect(folder, world, policy, episodes=count, steps=config.steps, seed=seed)
