"""Files of weights, opened without running anything that is in them."""

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

from vjepa.layers.pixels import IMAGENET_MEAN, IMAGENET_STD
from vjepa.weights.released.json_files import read_json
from vjepa.weights.released.preprocessing import read_processor
from vjepa.weights.released.told import Told
from vjepa.weights.released.unwrapping import NETWORKS, WHOLE, networks_of

STATED = (
    "vjepa"  # in files of `to_meta` and in config.json of `to_transformers`: what their layouts do not tell
)
# Trainers of MAE and VideoMAE keep their arguments in the file, a plain record of values; and some a loss as numpy's number, under
# the name that numpy 1 or numpy 2 gave to what makes it.
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
    """What a file or a folder holds.

    Attributes:
        path: of it.
        state: tensors, by name; the name of the network is in front where a file has several, names of wrappers are not.
        description: transformers' config.json, or None.
        pixels: means and deviations that the authors normalised with.
        whole_frame: of a folder's processor: it crops no margin away; None where none says.
        stated: what the layout does not tell: heads, clips, pixels, classes, by `to_meta` or `to_transformers`; and what a user
            says, in the words of `Told`.
        notes: on what was left aside.
    """

    path: Path
    state: dict[str, Tensor]
    description: dict[str, Any] | None = None
    pixels: Mapping[str, list[float]] = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    whole_frame: bool | None = None
    stated: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()

    def told(self, told: Told) -> Container:
        """The same, with what a user says of it; that goes before what the file says."""
        said = told.check().as_stated()
        heads = {**self.stated.get("heads", {}), **said.get("heads", {})}
        return self._replace(stated={**self.stated, **said, "heads": heads})


def open_container(path: Path) -> Container:
    """Open a file, or a folder of transformers.

    Raises:
        ValueError: it is damaged, is no checkpoint, or wants code to be run.
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
            f"{path} holds no weights: its keys are {', '.join(map(str, list(checkpoint)[:10])) or 'none'}; give a file with "
            f"one of {', '.join([*NETWORKS, 'classifiers', *WHOLE])}, or with tensors by name"
        )
    return Container(path, state, stated=stated if isinstance(stated, dict) else {}, notes=notes)


def _load(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return dict(load_tensors(path))
    try:
        with torch.serialization.safe_globals(_PLAIN):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the unpickler raise is that file's fault
        raise ValueError(_refusal(path, str(error))) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"{path} holds a {type(checkpoint).__name__}, no weights: give a checkpoint, a dictionary of tensors"
        )
    return checkpoint


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; ValueError that names it where it cannot be read."""
    try:
        return dict(load_file(path))
    except Exception as error:  # as above: its parser raises types of its own
        raise ValueError(f"{path} cannot be read: {error}; it may be cut short: fetch it again") from error


def _refusal(path: Path, error: str) -> str:
    first = error.strip().splitlines()[0] if error.strip() else "it ends too early"
    wanted = re.findall(r"(?:GLOBAL|global|class) `?([\w.]+)`? was not an allowed", error)
    wanted += re.findall(r"Trying to load unsupported GLOBAL ([\w.]+)", error)
    wanted += re.findall(r"Unsupported (?:global|class)[^`]*`?([\w.]+\.[\w.]+)`?", error)
    if wanted:
        return (
            f"{path} is refused: it wants {wanted[0]} to be called while it is read, and a file of weights needs no such "
            "thing; get it from its authors, or save its tensors alone (torch.save of a state_dict, or safetensors)"
        )
    if first.startswith("Weights only load failed"):  # torch goes on to advise what would run the file
        first = "it is no archive of tensors"
    return f"{path} cannot be read as a checkpoint: {first}; it may be cut short, or be another kind of file: fetch it again"


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
    """Names of the files in which the weights of a large model lie; all in the folder of `index`."""
    parts = read_json(index).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise ValueError(f"{index} has no weight_map from names of tensors to names of files: fetch it again")
    names = sorted(set(parts.values()))
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{index} names the file {name}, which is not beside it: fetch it again")
    return names
