"""Interim."""

from pathlib import Path
from typing import Any

from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.folder import read_video_folder


def read_episodes(
    source: str, *, states: bool = False, camera: str | None = None, **reading: Any
) -> list[Episode]:
    return read_video_folder(Path(source), states=states, **reading)
