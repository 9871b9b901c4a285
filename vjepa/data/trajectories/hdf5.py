"""Trajectories in HDF5 files, by the package h5py (the extra `world`), in two layouts.

robomimic's: a group an episode, ``data/demo_N``, with ``actions`` and, in ``obs``, pictures ``(T, H, W, 3)`` by camera and other
observations, whose one-dimensional ones, in the order of their names, are the state. And the flat one of stable-worldmodel:
``pixels``, ``action``, ``proprio`` or ``state`` of all episodes one after the other, with ``ep_offset`` and ``ep_len``.

Files that were compressed by filters of others, as LeWM's are, need the package hdf5plugin, too.
"""

from __future__ import annotations

import importlib
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
        try:
            with _h5py(self.path).File(self.path) as file:
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
    h5py = _h5py(path)
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5 ({error}): write it again") from error
    with file:
        if isinstance(file.get("data"), h5py.Group) and any(name.startswith("demo") for name in file["data"]):
            return list(_grouped(path, file["data"], states, camera))
        if {"action", "ep_offset", "ep_len"} <= set(file):
            return list(_flat(path, file, states, camera))
        raise ValueError(
            f"{path} has {', '.join(file) or 'nothing'}: give robomimic's layout (data/demo_N with actions and obs), or a flat one "
            "(pixels, action, ep_offset, ep_len)"
        )


def _h5py(path: str | Path) -> Any:
    """The package, with the filters of hdf5plugin where that is installed: importing it is enough, in every process."""
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError(f"{path} needs the package h5py: pip install 'vjepa-world[world]'")
    if importlib.util.find_spec("hdf5plugin") is not None:
        importlib.import_module("hdf5plugin")
    return importlib.import_module("h5py")


def _numbers(path: Path, dataset: Any, rows: slice = slice(None)) -> Rows:
    _check_filters(path, dataset)
    try:
        return np.asarray(dataset[rows], dtype=np.float32)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: {dataset.name} cannot be read as numbers ({error}): write it again"
        ) from error


def _check_filters(path: Path, dataset: Any) -> None:
    """Before training starts: what h5py itself says of a filter that it lacks is a folder without plugins."""
    available = importlib.import_module("h5py").h5z.filter_avail
    facts = dataset.id.get_create_plist()
    for number in [facts.get_filter(row)[0] for row in range(facts.get_nfilters())]:
        if not available(number):
            raise ValueError(
                f"{path}: {dataset.name} is compressed by filter {number}, which h5py lacks: pip install hdf5plugin"
            )


def _grouped(path: Path, group: Any, states: bool, camera: str | None) -> Iterator[Episode]:
    for name in sorted(group, key=natural_key):
        demo = group[name]
        if "actions" not in demo:
            raise ValueError(f"{path}: data/{name} has no 'actions': add them, one row a frame")
        if "obs" not in demo:
            raise ValueError(
                f"{path}: data/{name} has no 'obs': write its pictures there (dataset_states_to_obs.py)"
            )
        pictures = _pictures(path, demo["obs"], camera)
        frames = HDF5Frames(str(path), f"data/{name}/obs/{pictures}")
        flat = [demo["obs"][key] for key in sorted(demo["obs"]) if len(_shape(demo["obs"][key])) == 2]
        known = np.concatenate([_numbers(path, one) for one in flat], axis=1) if states and flat else None
        if states and known is None:
            raise ValueError(f"{path}: data/{name}/obs has pictures alone: set data.states false")
        yield Episode(frames, _numbers(path, demo["actions"]), known)


def _flat(path: Path, file: Any, states: bool, camera: str | None) -> Iterator[Episode]:
    # Goals may lie beside the pixels, as pictures, too.
    pictures = _pictures(path, file, "pixels" if camera is None and "pixels" in file else camera)
    source = next((name for name in ("proprio", "state") if name in file), None)
    if states and source is None:
        raise ValueError(f"{path} has no 'proprio' or 'state': add one, or set data.states false")
    ends = file["ep_offset"][:] + file["ep_len"][:]
    count = min(len(file[name]) for name in (pictures, "action", *([source] if states else [])))
    if len(ends) and ends.max() > count:
        raise ValueError(
            f"{path} has {count} rows, and an episode that ends at row {ends.max()}: write it again"
        )
    for offset, end in zip(file["ep_offset"][:].tolist(), ends.tolist(), strict=True):
        rows = slice(offset, end)
        actions = _numbers(path, file["action"], rows)
        # Nothing was done in the last frame, and stable-worldmodel says so by NaN.
        actions[-1:] = np.where(np.isfinite(actions[-1:]), actions[-1:], 0)
        known = _numbers(path, file[source], rows) if states else None
        yield Episode(HDF5Frames(str(path), pictures, offset), actions, known)


def _pictures(path: Path, group: Any, camera: str | None) -> str:
    found = [name for name in group if _is_video(group[name])]
    if camera is None and len(found) == 1:
        camera = str(found[0])
    if camera is None or camera not in found:
        raise ValueError(
            f"{path} has the pictures {', '.join(found) or '(none)'} and data.camera is {camera}: give one of them, uint8 (T, H, W, 3)"
        )
    _check_filters(path, group[camera])
    return camera


def _is_video(dataset: Any) -> bool:
    shape = _shape(dataset)
    return len(shape) == 4 and shape[-1] == 3 and dataset.dtype == np.uint8


def _shape(dataset: Any) -> tuple[int, ...]:
    return getattr(dataset, "shape", ())  # a group has none
