"""Trajectories in HDF5 files, in two layouts; needs the package h5py.

robomimic's layout has one group per episode, ``data/demo_N``, with ``actions`` and, in ``obs``, images ``(T,
H, W, 3)`` by camera and other observations; the one-dimensional ones, in the order of their names, are the
state. The flat layout of stable-worldmodel has ``pixels``, ``action``, ``proprio`` or ``state`` of all
episodes one after the other, with ``ep_offset`` and ``ep_len``.

Files that are compressed with third-party filters, as LeWM's are, need the package hdf5plugin, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.readers.arrays import natural_key
from vjepa.data.readers.border import reading
from vjepa.data.trajectories.episode import MOST_NUMBERS, Episode, ListedEpisode, Rows, as_rows
from vjepa.packages import need_packages

SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class HDF5Frames:
    """Frames of one episode in an HDF5 file.

    Attributes:
        path: Path of the file.
        dataset: Name of the dataset of frames in the file, uint8 ``(T, H, W, 3)``.
        first: Row of the episode's first frame.
    """

    path: str
    dataset: str
    first: int = 0

    def read(self, index_T: NDArray[np.int64], damage: list[str] | None = None) -> Tensor:
        """Read frames, see `vjepa.data.trajectories.episode.Frames`.

        HDF5 reports no damage that leaves readable frames.
        """
        with reading(f"{self.path}, {self.dataset}", "h5py"), _h5py(self.path).File(self.path) as file:
            frames_THWC = file[self.dataset][index_T + self.first]
            return torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)


def list_hdf5(path: Path, *, states: bool, camera: str | None) -> Iterator[ListedEpisode]:
    """List all episodes of a file, which stays open as long as they are listed.

    Contents that the file keeps in other files (external links, external storage, virtual datasets) are
    refused, because a downloaded file could link to any file of this machine.

    Args:
        path: Path of the file.
        states: Whether to read states, too.
        camera: Name of the dataset of images; None takes the only one.

    Raises:
        ModuleNotFoundError: The package h5py is not installed.
        ValueError: The file cannot be read, or has another layout.
    """
    h5py = _h5py(path)
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5 ({error}): write it again") from error
    with file:
        data = _member(path, file, "data") if "data" in file else None
        if isinstance(data, h5py.Group) and any(name.startswith("demo") for name in data):
            yield from _grouped(path, data, states, camera)
        elif {"action", "ep_offset", "ep_len"} <= set(file):
            yield from _flat(path, file, states, camera)
        else:
            raise ValueError(
                f"{path} has {', '.join(file) or 'nothing'}: give robomimic's layout (data/demo_N with "
                "actions and obs), or a flat "
                "one (pixels, action, ep_offset, ep_len)"
            )


def _member(path: Path, group: Any, name: str) -> Any:
    """Return a member of a group, which must be stored in the file itself."""
    h5py = _h5py(path)
    where = f"{path}: {group.name.rstrip('/')}/{name}"
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        raise ValueError(
            f"{where} is a link to another file, which is not followed: copy the data into this one"
        )
    found = group[name]
    if found.file.filename != group.file.filename:
        raise ValueError(f"{where} lies in another file, which is not read: copy the data into this one")
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise ValueError(
            f"{where} has its numbers in other files, which are not read: copy them into this one"
        )
    return found


def _h5py(path: str | Path) -> Any:
    """Import h5py, with the filters of hdf5plugin if that is installed.

    The filters register themselves when they are imported, which every process has to do.
    """
    need_packages(str(path), "h5py")
    if importlib.util.find_spec("hdf5plugin") is not None:
        importlib.import_module("hdf5plugin")
    return importlib.import_module("h5py")


def _numbers(path: Path, dataset: Any, rows: slice = slice(None)) -> Rows:
    """Read rows of a dataset as float32.

    Raise ValueError if they cannot be read, or an episode cannot have so many.
    """
    _check_filters(path, dataset)
    count = len(range(*rows.indices(len(dataset)))) * math.prod(dataset.shape[1:])
    if count > MOST_NUMBERS:
        raise ValueError(f"{path}: {dataset.name} has {count} numbers: an episode has at most {MOST_NUMBERS}")
    try:
        return as_rows(dataset[rows], dataset.name)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: {dataset.name} cannot be read as numbers ({error}): write it again"
        ) from error


def _check_filters(path: Path, dataset: Any) -> None:
    """Raise ValueError if a compression filter is missing, before training starts.

    The message of h5py itself names only a folder of plugins.
    """
    available = importlib.import_module("h5py").h5z.filter_avail
    facts = dataset.id.get_create_plist()
    for number in [facts.get_filter(row)[0] for row in range(facts.get_nfilters())]:
        if not available(number):
            raise ValueError(
                f"{path}: {dataset.name} is compressed by filter {number}, which h5py lacks: pip install "
                "hdf5plugin"
            )


def _grouped(path: Path, group: Any, states: bool, camera: str | None) -> Iterator[ListedEpisode]:
    """List the episodes of robomimic's layout, with the numbers of the demonstrations."""
    for place, name in enumerate(sorted(group, key=natural_key)):
        digits = re.search(r"\d{1,18}$", name)
        number = int(digits[0]) if digits else place
        yield ListedEpisode(number, partial(_demonstration, path, group, name, number, states, camera))


def _demonstration(
    path: Path, group: Any, name: str, number: int, states: bool, camera: str | None
) -> Episode:
    demo = _member(path, group, name)
    if "actions" not in demo:
        raise ValueError(f"{path}: data/{name} has no 'actions': add them, one row a frame")
    if "obs" not in demo:
        raise ValueError(
            f"{path}: data/{name} has no 'obs': write its images there (dataset_states_to_obs.py)"
        )
    observed = _member(path, demo, "obs")
    images = _images(path, observed, camera)
    flat = [key for key in sorted(observed) if len(_shape(_member(path, observed, key))) == 2]
    if states and not flat:
        raise ValueError(f"{path}: data/{name}/obs has images alone: set data.states false")
    known = np.concatenate([_numbers(path, observed[key]) for key in flat], axis=1) if states else None
    frames = HDF5Frames(str(path), f"data/{name}/obs/{images}")
    return Episode(frames, _numbers(path, _member(path, demo, "actions")), known, number, shared=True)


def _flat(path: Path, file: Any, states: bool, camera: str | None) -> Iterator[ListedEpisode]:
    """List the episodes of the flat layout, numbered in their order from 0."""
    # Images of goals may be stored beside the pixels.
    images = _images(path, file, "pixels" if camera is None and "pixels" in file else camera)
    source = next((name for name in ("proprio", "state") if name in file), None)
    if states and source is None:
        raise ValueError(f"{path} has no 'proprio' or 'state': add one, or set data.states false")
    named = [images, "action", *([source] if states and source else [])]
    rows = min(len(_member(path, file, name)) for name in named)
    offsets, lengths = (_places(path, file, name) for name in ("ep_offset", "ep_len"))
    if len(offsets) != len(lengths):
        raise ValueError(
            f"{path} has {len(offsets)} ep_offset and {len(lengths)} ep_len: give one of each an episode"
        )
    for number, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        read = partial(_flat_episode, path, file, number, (offset, length, rows), named)
        yield ListedEpisode(number, read)


def _places(path: Path, file: Any, name: str) -> list[int]:
    dataset = _member(path, file, name)
    if len(_shape(dataset)) != 1 or dataset.dtype.kind not in "iu" or len(dataset) > MOST_NUMBERS:
        raise ValueError(
            f"{path}: {name} has the shape {_shape(dataset)} of {getattr(dataset, 'dtype', 'no numbers')}: "
            "give one whole number an "
            f"episode, for at most {MOST_NUMBERS}"
        )
    found: list[int] = dataset[:].tolist()
    return found


def _flat_episode(
    path: Path, file: Any, number: int, place: tuple[int, int, int], named: list[str]
) -> Episode:
    offset, length, rows = place
    where = f"{path}, episode {number}"
    if offset < 0 or length < 1:
        raise ValueError(f"{where} has ep_offset {offset} and ep_len {length}: give 0 or more, and 1 or more")
    if offset + length > rows:
        raise ValueError(
            f"{where} ends at row {offset + length}, and the file has {rows} rows: write it again"
        )
    images, *columns = named
    actions, *known = (_numbers(path, file[name], slice(offset, offset + length)) for name in columns)
    # The last frame has no action, and stable-worldmodel stores NaN.
    actions[-1:] = np.where(np.isfinite(actions[-1:]), actions[-1:], 0)
    frames = HDF5Frames(str(path), images, offset)
    return Episode(frames, actions, known[0] if known else None, number, shared=True)


def _images(path: Path, group: Any, camera: str | None) -> str:
    found = [name for name in group if _is_video(_member(path, group, name))]
    if camera is None and len(found) == 1:
        camera = str(found[0])
    if camera is None or camera not in found:
        raise ValueError(
            f"{path} has the images {', '.join(found) or '(none)'} and data.camera is {camera}: give one of "
            "them, uint8 (T, H, W, 3)"
        )
    _check_filters(path, group[camera])
    return camera


def _is_video(dataset: Any) -> bool:
    shape = _shape(dataset)
    return len(shape) == 4 and shape[-1] == 3 and dataset.dtype == np.uint8


def _shape(dataset: Any) -> tuple[int, ...]:
    return getattr(dataset, "shape", ())  # a group has no shape
