"""The cache of decoded videos, built from the section `data.cache`, and what it will need on the disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate import Accelerator

from vjepa.config.sections import CacheConfig
from vjepa.data.cache import VideoCache, entry_bytes
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video

_LONGEST = 100_000  # rows of a list whose files are counted
_MEASURED = 8  # videos whose size is looked at


def build_cache(config: CacheConfig, size: tuple[int, int]) -> VideoCache | None:
    """Build the cache that a configuration asks for; None if it asks for none.

    Args:
        config: Section `data.cache`.
        size: Height and width of a clip in pixels.
    """
    if config.folder is None:
        return None
    return VideoCache(config.folder, config.side(size), config.max_gb)


def say_cache(
    config: CacheConfig,
    size: tuple[int, int],
    paths: Sequence[str],
    reader: str,
    channels: int,
    accelerator: Accelerator,
) -> None:
    """Print how large the cache will be, estimated from a few videos; nothing without a cache.

    Args:
        config: Section `data.cache`.
        size: Height and width of a clip in pixels.
        paths: Paths of the videos of the run.
        reader: Video decoder.
        channels: Number of channels of a frame.
        accelerator: Accelerator of the run, whose main process looks at the videos.
    """
    cache = build_cache(config, size) if accelerator.is_main_process else None
    if cache is None:
        return
    # A list that is too long to be held in memory is taken to name every file once.
    files: Sequence[str] = list(dict.fromkeys(paths)) if len(paths) <= _LONGEST else paths
    chosen = sorted(set(np.linspace(0, len(files) - 1, _MEASURED).round().astype(int).tolist()))
    found = []
    for number in chosen:
        try:
            with open_video(files[number], reader, channels=channels) as video:
                found.append(entry_bytes(video, cache.short_side))
        except VideoDecodeError:  # the run will name it
            continue
    if found:
        expected = sum(found) / len(found) * len(files) / 1e9
        limit = "" if config.max_gb is None else f", of which at most {config.max_gb:g} GB are kept"
        accelerator.print(
            f"cache of decoded videos: about {expected:.2g} GB for {len(files)} videos{limit}; "
            f"{cache.size() / 1e9:.2g} GB are in {cache.folder} now"
        )
