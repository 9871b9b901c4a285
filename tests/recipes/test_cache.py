"""What is said of the cache of decoded videos before a run."""

from types import SimpleNamespace

import numpy as np

from vjepa.recipes.cache import CacheConfig, say_cache


def test_the_size_is_estimated_of_videos_of_any_channels(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 16, 5), np.uint8))
    said = []
    accelerator = SimpleNamespace(is_main_process=True, print=said.append)
    config = CacheConfig(folder=str(tmp_path / "cache"))
    say_cache(config, (16, 16), [str(tmp_path / "a.npy")], "auto", 5, accelerator)
    assert "about 5.1e-06 GB for 1 videos" in said[0]
