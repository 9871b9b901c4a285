"""Opening of weight files and folders, without running any code in them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy._core.multiarray import scalar
from safetensors.torch import load_file
from torch import Tensor

from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD
from vjepa.weights.released.json_files import read_json
from vjepa.weights.released.preprocessing import read_processor
from vjepa.weights.released.stated import StatedByUser
from vjepa.weights.released.unwrapping import NETWORKS, WHOLE, networks_of

STATED = "vjepa"
"""Key of facts that layouts do not store, in files of `to_meta` and in config.json of `to_transformers`."""
# Harmless types that checkpoints hold beside tensors: trainers of MAE and VideoMAE store their arguments as a
# Namespace, and some a loss as a NumPy scalar, whose constructor NumPy 1 and NumPy 2 name differently.
_PLAIN: list[Any] = [
    argparse.Namespace,
    scalar,
    (scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")),
]
_SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE = ("model.safetensors", "pytorch_model.bin")


class Container(NamedTuple):
    """Content of a weight file or of a folder of transformers.

    Attributes:
        path: Path of the file or folder.
        state: Tensors by name. A name begins with its network where a file has several networks; names of
            wrappers (``module.``, ...) are removed.
        description: Content of transformers' config.json; None for a file.
        pixels: Mean and standard deviation of each channel that the authors normalise pixels in [0, 1] with.
        whole_frame: Whether the folder's processor resizes frames without cropping a margin; None where no
            processor stores it.
        stated: Facts that the layout itself does not store: those that `to_meta` or `to_transformers` wrote
            (heads, clip, pixels, classes, ...), and those of a `StatedByUser`, under its field names.
        notes: Remarks for the user on tensors that were left out.
    """

    path: Path
    state: dict[str, Tensor]
    description: dict[str, Any] | None = None
    pixels: Mapping[str, list[float]] = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    whole_frame: bool | None = None
    stated: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()

    def with_statements(self, by_user: StatedByUser) -> Container:
        """The same container, with the user's statements, which override those in the file."""
        said = by_user.check().as_stated()
        names = ("num_heads", "levels", "probe_levels")
        try:
            StatedByUser(**{name: self.stated[name] for name in names if name in self.stated}).check()
        except ValueError as error:
            raise ValueError(f"{self.path}, key '{STATED}': {error}") from error
        num_heads = {**self.stated.get("num_heads", {}), **said.get("num_heads", {})}
        return self._replace(stated={**self.stated, **said, "num_heads": num_heads})


def open_container(path: Path) -> Container:
    """Open a weight file (``.pt``, ``.pth``, ``.safetensors``, ...) or a folder of transformers.

    Raises:
        ValueError: The file is damaged, is no checkpoint, or needs code to be run.
    """
    if path.is_dir():
        return _open_folder(path)
    checkpoint = _load(path)
    stated = checkpoint.get(STATED)
    try:
        state, notes = networks_of(checkpoint)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not state:
        raise ValueError(
            f"{path} holds no weights: its keys are {', '.join(map(str, list(checkpoint)[:10])) or 'none'}; "
            f"give a file with one of {', '.join([*NETWORKS, 'classifiers', *WHOLE])}, or with tensors by "
            "name"
        )
    return Container(path, state, stated=stated if isinstance(stated, dict) else {}, notes=notes)


def _load(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return dict(load_tensors(path))
    try:
        with torch.serialization.safe_globals(_PLAIN):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may make the unpickler raise anything
        raise ValueError(_refusal(path, str(error))) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"{path} holds a {type(checkpoint).__name__}, no weights: give a checkpoint, a dictionary of "
            "tensors"
        )
    return checkpoint


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Load the tensors of a safetensors file.

    Raises:
        ValueError: The file cannot be read; the message names it.
    """
    try:
        return dict(load_file(path))
    except Exception as error:  # its parser raises exception types of its own
        raise ValueError(f"{path} cannot be read: {error}; it may be cut short: download it again") from error


def _refusal(path: Path, error: str) -> str:
    first = error.strip().splitlines()[0] if error.strip() else "it ends too early"
    wanted = re.findall(r"(?:GLOBAL|global|class) `?([\w.]+)`? was not an allowed", error)
    wanted += re.findall(r"Trying to load unsupported GLOBAL ([\w.]+)", error)
    wanted += re.findall(r"Unsupported (?:global|class)[^`]*`?([\w.]+\.[\w.]+)`?", error)
    if wanted:
        return (
            f"{path} is refused: loading it would call {wanted[0]}, which a file of weights does not need; "
            "get it from its authors, or save its tensors alone (torch.save of a state_dict, or safetensors)"
        )
    if first.startswith("Weights only load failed"):  # torch's message goes on to advise running the file
        first = "it is no archive of tensors"
    return (
        f"{path} cannot be read as a checkpoint: {first}; it may be cut short, or be another kind of file: "
        "download it again"
    )


def _open_folder(folder: Path) -> Container:
    description = read_json(folder / "config.json")
    parts = [folder / name for name in _SINGLE if (folder / name).is_file()][:1]
    for name in _SHARDS:
        if not parts and (folder / name).is_file():
            parts = [folder / part for part in _shards(folder / name)]
    if not parts:
        raise ValueError(f"{folder} has a config.json and no weights: it needs {' or '.join(_SINGLE)}")
    state: dict[str, Tensor] = {}
    for part in parts:
        state |= networks_of(_load(part))[0]
    stated = description.get(STATED)
    container = Container(folder, state, description, stated=stated if isinstance(stated, dict) else {})
    processor = read_processor(folder)
    container = container._replace(whole_frame=processor.whole_frame)
    return container if processor.pixels is None else container._replace(pixels=processor.pixels)


def _shards(index: Path) -> list[str]:
    """Names of the files over which a large model's weights are spread; all lie beside `index`."""
    parts = read_json(index).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise ValueError(
            f"{index} has no weight_map from names of tensors to names of files: download it again"
        )
    names = sorted(set(parts.values()))
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{index} names the file {name}, which is not beside it: download it again")
    return names
