"""From a path to its episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.folder import is_video_folder, read_video_folder
from vjepa.data.trajectories.hdf5 import SUFFIXES, read_hdf5
from vjepa.data.trajectories.lerobot import is_lerobot, read_lerobot


def read_episodes(
    source: str, *, states: bool = False, camera: str | None = None, **reading: Any
) -> list[Episode]:
    """Episodes of a folder of videos with their actions, of a folder in LeRobot's layout, or of an HDF5 file.

    Args:
        source: the folder or file.
        states: read states (proprioception), too.
        camera: of several.
        reading: of `VideoFrames`; what HDF5 holds is not decoded.

    Raises:
        ValueError: there is nothing of the kind, or it cannot be used; says what was found.
    """
    path = Path(source)
    if not path.exists():
        raise ValueError(f"there is no {path}: give a folder of episodes, or an HDF5 file")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{path} is no file of trajectories: give one that ends in {' or '.join(SUFFIXES)}, or a folder"
            )
        return read_hdf5(path, states=states, camera=camera)
    if is_lerobot(path):
        return read_lerobot(path, states=states, camera=camera, **reading)
    if is_video_folder(path):
        return read_video_folder(path, states=states, **reading)
    raise ValueError(
        f"{path} has no episodes: give a folder of videos with .npz or .parquet beside them, or of LeRobot (meta/info.json)"
    )
