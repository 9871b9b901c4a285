"""Files of weights, opened without running anything that is in them."""

from __future__ import annotations

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy._core.multiarray import scalar
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vjepa.layers.pixels import IMAGENET_MEAN, IMAGENET_STD

STATED = "vjepa"  # in files that `to_meta` wrote: what shapes do not tell
_NETWORKS = {
    "encoder": "encoder",
    "target_encoder": "target_encoder",
    "ema_encoder": "target_encoder",  # V-JEPA 2.1, distilled
    "predictor": "predictor",
    "classifier": "classifier",
}
# Trainers of MAE and VideoMAE keep their arguments in the file, a plain record of values; and some a loss as numpy's number, under
# the name that numpy 1 or numpy 2 gave to what makes it.
_PLAIN: list[Any] = [
    argparse.Namespace,
    scalar,
    (scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")),
]
_WHOLE = ("model", "module", "state_dict")
_WRAPPERS = re.compile(r"^(?:module\.|backbone\.)+")
_SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE = ("model.safetensors", "pytorch_model.bin")


class Container(NamedTuple):
    """What a file or a folder holds.

    Attributes:
        path: of it.
        state: tensors, by name; the name of the network is in front where a file has several, names of wrappers are not.
        description: transformers' config.json, or None.
        pixels: means and deviations that the authors normalised with.
        stated: in files that `to_meta` wrote, what their layout does not tell (heads, clips, pixels, classes); else empty.
        notes: on what was left aside.
    """

    path: Path
    state: dict[str, Tensor]
    description: dict[str, Any] | None = None
    pixels: Mapping[str, list[float]] = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    stated: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()

    @property
    def heads(self) -> Mapping[str, int]:
        """Attention heads by network, where they are stated."""
        heads: Mapping[str, int] = self.stated.get("heads", {})
        return heads


def open_container(path: Path) -> Container:
    """Open a file, or a folder of transformers.

    Raises:
        ValueError: it is damaged, is no checkpoint, or wants code to be run.
    """
    if path.is_dir():
        return _open_folder(path)
    checkpoint = _load(path)
    stated = checkpoint.get(STATED)
    state, notes = _networks(checkpoint)
    if not state:
        raise ValueError(
            f"{path} holds no weights: its keys are {', '.join(map(str, list(checkpoint)[:10])) or 'none'}; give a file with "
            f"one of {', '.join([*_NETWORKS, 'classifiers', *_WHOLE])}, or with tensors by name"
        )
    return Container(path, state, stated=stated if isinstance(stated, dict) else {}, notes=notes)


def _load(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}; it may be cut short: fetch it again"
            ) from error
    try:
        with torch.serialization.safe_globals(_PLAIN):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        AttributeError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        raise ValueError(_refusal(path, str(error))) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"{path} holds a {type(checkpoint).__name__}, no weights: give a checkpoint, a dictionary of tensors"
        )
    return checkpoint


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


def _networks(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors of all networks of a file, under plain names."""
    state: dict[str, Tensor] = {}
    notes: tuple[str, ...] = ()
    for key, name in _NETWORKS.items():
        state |= _plain(checkpoint.get(key), f"{name}.")
    probes = checkpoint.get("classifiers")
    if isinstance(probes, list | tuple) and probes:
        state |= _plain(probes[0], "classifier.")
        if len(probes) > 1:
            notes = (f"the file has {len(probes)} probes, and the first of them is taken",)
    for key in _WHOLE:
        state = state or _plain(checkpoint.get(key), "")
    return state or _plain(checkpoint, ""), notes


def _plain(network: Any, prefix: str) -> dict[str, Tensor]:
    if not isinstance(network, Mapping):
        return {}
    tensors = {name: value for name, value in network.items() if isinstance(value, Tensor)}
    return {prefix + _WRAPPERS.sub("", str(name)): value for name, value in tensors.items()}


def _open_folder(folder: Path) -> Container:
    description = read_json(folder / "config.json")
    parts = [folder / name for name in _SINGLE if (folder / name).is_file()][:1]
    for name in _SHARDS:
        if not parts and (folder / name).is_file():
            parts = [folder / part for part in sorted(set(read_json(folder / name)["weight_map"].values()))]
    if not parts:
        raise ValueError(f"{folder} has a config.json and no weights: it needs {' or '.join(_SINGLE)}")
    state: dict[str, Tensor] = {}
    for part in parts:
        state |= _plain(_load(part), "")
    container = Container(folder, state, description)
    settings = folder / "preprocessor_config.json"
    if settings.is_file():
        found = read_json(settings)
        mean, std = found.get("image_mean"), found.get("image_std")
        if mean and std:
            container = container._replace(pixels={"mean": mean, "std": std})
    return container


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file; ValueError where it is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return found
