"""Trajectories in HDF5 files, by the package h5py (the extra `world`), in two layouts.

robomimic's: a group an episode, ``data/demo_N``, with ``actions`` and, in ``obs``, pictures ``(T, H, W, 3)`` by camera and other
observations, whose one-dimensional ones, in the order of their names, are the state. And the flat one of stable-worldmodel:
``pixels``, ``action``, ``proprio`` or ``state`` of all episodes one after the other, with ``ep_offset`` and ``ep_len``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.readers.arrays import natural_key
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.trajectories.episode import Episode, Rows

SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class HDF5Frames:
    """Frames of one episode in a file.

    Attributes:
        path: of the file.
        dataset: of uint8 ``(T, H, W, 3)`` in it.
        first: row of the episode's first frame.
    """

    path: str
    dataset: str
    first: int = 0

    def read(self, index_K: NDArray[np.int64]) -> Tensor:
        """See `vjepa.data.trajectories.episode.Frames`."""
        import h5py

        try:
            with h5py.File(self.path) as file:
                frames_KHWC = file[self.dataset][index_K + self.first]
        except (OSError, KeyError, IndexError, TypeError) as error:
            raise VideoDecodeError(self.path, "h5py", f"{self.dataset}: {error}") from error
        return torch.from_numpy(frames_KHWC).permute(0, 3, 1, 2)


def read_hdf5(path: Path, *, states: bool, camera: str | None) -> list[Episode]:
    """All episodes of a file.

    Args:
        path: of the file.
        states: read them, too.
        camera: name of the pictures' dataset; None where there is one alone.

    Raises:
        ModuleNotFoundError: without h5py.
        ValueError: the file cannot be read, or has another layout.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError(f"{path} needs the package h5py: pip install 'vjepa-world[world]'")
    import h5py

    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5 ({error}): write it again") from error
    with file:
        if "data" in file and any(name.startswith("demo") for name in file["data"]):
            return list(_grouped(path, file["data"], states, camera))
        if {"action", "ep_offset", "ep_len"} <= set(file):
            return list(_flat(path, file, states, camera))
        raise ValueError(
            f"{path} has {', '.join(file) or 'nothing'}: give robomimic's layout (data/demo_N with actions and obs), or a flat one "
            "(pixels, action, ep_offset, ep_len)"
        )


def _grouped(path: Path, group: Any, states: bool, camera: str | None) -> Iterator[Episode]:
    for name in sorted(group, key=natural_key):
        demo = group[name]
        if "actions" not in demo:
            raise ValueError(f"{path}: data/{name} has no 'actions': add them, one row a frame")
        pictures = _pictures(path, demo["obs"], camera)
        frames = HDF5Frames(str(path), f"data/{name}/obs/{pictures}")
        flat = [demo["obs"][key] for key in sorted(demo["obs"]) if demo["obs"][key].ndim == 2]
        known = _joined(flat) if states and flat else None
        if states and known is None:
            raise ValueError(f"{path}: data/{name}/obs has pictures alone: set data.states false")
        yield Episode(frames, np.asarray(demo["actions"], dtype=np.float32), known)


def _flat(path: Path, file: Any, states: bool, camera: str | None) -> Iterator[Episode]:
    pictures = _pictures(path, file, camera)
    source = next((name for name in ("proprio", "state") if name in file), None)
    if states and source is None:
        raise ValueError(f"{path} has no 'proprio' or 'state': add one, or set data.states false")
    for offset, length in zip(file["ep_offset"][:].tolist(), file["ep_len"][:].tolist(), strict=True):
        rows = slice(offset, offset + length)
        actions = np.asarray(file["action"][rows], dtype=np.float32)
        known = np.asarray(file[source][rows], dtype=np.float32) if states else None
        yield Episode(HDF5Frames(str(path), pictures, offset), actions, known)


def _pictures(path: Path, group: Any, camera: str | None) -> str:
    found = [name for name in group if group[name].ndim == 4 and group[name].shape[-1] == 3]
    if camera is None and len(found) == 1:
        return str(found[0])
    if camera is None or camera not in found:
        raise ValueError(
            f"{path} has the pictures {', '.join(found) or '(none)'} and data.camera is {camera}: give one of them, uint8 (T, H, W, 3)"
        )
    return camera


def _joined(datasets: list[Any]) -> Rows:
    return np.concatenate([np.asarray(dataset, dtype=np.float32) for dataset in datasets], axis=1)
