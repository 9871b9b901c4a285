"""Saving and loading of models: model folders and released weights.

A model folder holds ``config.json`` and ``model.safetensors``, nothing else.

    model = from_pretrained("runs/quickstart")
    model = from_pretrained("vitl.pt")  # a checkpoint that the authors of V-JEPA 2 released
    model = from_pretrained("facebook/vjepa2-vitl-fpc64-256")  # a model on the Hugging Face hub
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from vjepa.files import written_atomically
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.action_model import ActionModel
from vjepa.models.channels import adapt_channels
from vjepa.models.check_config import check_config
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.video_model import VideoModel
from vjepa.weights.released.action_model import read_action_model
from vjepa.weights.released.containers import load_tensors
from vjepa.weights.released.download import download, is_hub_name
from vjepa.weights.released.families import Family, warn_of_licence
from vjepa.weights.released.json_files import read_json
from vjepa.weights.released.reading import NOTHING, is_released, read_released
from vjepa.weights.released.stated import StatedByUser

WhichEncoder = Literal["target_encoder", "encoder"]
_WEIGHT_SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".safetensors")


def save_pretrained(folder: str | Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a model folder.

    Args:
        folder: Folder to write, created if it does not exist. Existing files are replaced atomically.
        state: Tensors by name; a name begins with its network: ``encoder.``, ``target_encoder.``,
            ``teacher.``, ``predictor.``, ``targets.`` or ``decoder.``. Not all need to be there.
        config: Constructor arguments of each network, under its name (``encoder``, ``teacher``,
            ``predictor``, ``decoder``), and the pixel normalisation under ``pixels``. Any other entries must
            be JSON-serialisable and are stored with them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with written_atomically(folder / "model.safetensors") as draft:
        save_file(tensors, draft, metadata={"format": "pt"})
    with written_atomically(folder / "config.json") as draft:
        draft.write_text(json.dumps(config, indent=2) + "\n")


class Weights(NamedTuple):
    """Configuration and tensors of a model, as `read_weights` reads them from its files.

    Attributes:
        config: Contents of ``config.json``, or what released weights are described by.
        tensors: Tensors by name; a name begins with its network, see `save_pretrained`.
        place: Path of the files, for messages.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    place: str

    def video_model(self, which: WhichEncoder | None = None, *, strict: bool = True) -> VideoModel:
        """Build the video model in evaluation mode; for arguments and errors see `from_pretrained`."""
        kinds = sorted({name.split(".", 1)[0] for name in self.tensors})
        which = which or ("target_encoder" if "target_encoder" in kinds else "encoder")
        if which not in kinds:
            held = ", ".join(kinds)
            raise ValueError(f"{self.place} has no {which!r}: it holds {held}; choose with which=")
        config = {**self.config, "which": which}
        # From a network's name in the file to its name in the model.
        homes: dict[str, str] = {which: "encoder"}
        if which == "encoder" and "target_encoder" in kinds:
            homes["target_encoder"] = "teacher"
            config["teacher"] = config["encoder"]
        homes |= {kind: kind for kind in ("teacher", "predictor", "targets", "decoder") if kind in kinds}
        model = VideoModel(config)
        state = _at_home(self.tensors, homes)
        model.load_state_dict(_fitting(model.state_dict(), state, self.place, strict=strict), strict=strict)
        return model.eval()

    def action_model(self) -> ActionModel:
        """Build the action-conditioned model in evaluation mode; for errors see `load_action_model`."""
        if "dynamics" not in self.config:
            raise ValueError(
                f"{self.place} is no action-conditioned model: give the folder of a run of vjepa action"
            )
        names = inspect.signature(ActionModel).parameters
        model = ActionModel(**{name: value for name, value in self.config.items() if name in names})
        model.load_state_dict(_fitting(model.state_dict(), self.tensors, self.place, strict=True))
        return model.eval()


def from_pretrained(
    source: str | Path,
    which: WhichEncoder | None = None,
    *,
    strict: bool = True,
    channels: int | None = None,
    family: Family | None = None,
    num_heads: Mapping[str, int] | None = None,
    levels: Sequence[int] | None = None,
) -> VideoModel:
    """Load a trained video model in evaluation mode.

    Args:
        source: A model folder; a run folder that has one in ``model/``; a released checkpoint of V-JEPA
            (2, 2.1, 2-AC), I-JEPA, VideoMAE or MAE; a folder of the VJEPA2, VideoMAE, IJepa or ViTMAE classes
            of transformers (the page "Released weights" lists what is tested); or ``organisation/name`` on
            the Hugging Face hub.
        which: The encoder to load: ``target_encoder``, the published choice for frozen use, or ``encoder``,
            which was trained by gradients; the target encoder then becomes the model's ``teacher``, whose
            tokens predictions are compared with. None loads the target encoder where there is one. Stored in
            ``config["which"]``. V-JEPA 2 on the hub has the authors' ``encoder`` alone, their own file both.
        strict: Whether missing, unexpected or reshaped tensors raise an error. If False they cause a warning,
            and missing weights keep their random initial values.
        channels: Number of channels of your videos, where it differs from training; the patch embedding is
            then adapted (`vjepa.models.channels`), with a warning.
        family: Family of released weights whose tensor names fit several: ``vjepa`` or ``vjepa2``.
        num_heads: Number of attention heads of the ``encoder``, ``predictor`` or ``decoder`` of released
            weights, which shapes do not determine. Needed only for a width that no published network has.
        levels: Indices of the blocks that the level norms of a V-JEPA 2.1 encoder follow. Needed only for a
            depth that no published model has.

    Raises:
        ValueError: There is no model; its configuration has unknown, missing or impossible values; tensors do
            not fit it (all are listed) or are not finite; or `family`, `num_heads` or `levels` must be given.
    """
    by_user = StatedByUser(family=family, num_heads=num_heads or {}, levels=levels)
    weights = read_weights(source, strict=strict, by_user=by_user)
    if channels is not None and channels != len(weights.config["pixels"]["mean"]):
        warnings.warn(
            f"{weights.place} was trained on {len(weights.config['pixels']['mean'])} channels: its patch "
            f"embedding is adapted to {channels}, and a pixel decoder is left out",
            stacklevel=2,
        )
        config, tensors = adapt_channels(weights.config, weights.tensors, channels)
        return Weights(config, tensors, weights.place).video_model(which, strict=strict)
    model = weights.video_model(which, strict=strict)
    model.folder = Path(weights.place) if Path(weights.place).is_dir() else None
    return model


def load_classifier(
    source: str | Path,
    *,
    probe: str | Path | None = None,
    strict: bool = True,
    family: Family | None = None,
    num_heads: int | Mapping[str, int] | None = None,
    levels: Sequence[int] | None = None,
) -> tuple[Classifier, dict[str, Any]]:
    """Load an encoder with its classification head in evaluation mode, and its configuration.

    Args:
        source: A model folder, the run folder of a fine-tuning (vjepa finetune), or released weights of a
            classifier in any form that `from_pretrained` takes.
        probe: File with an attentive probe of V-JEPA or V-JEPA 2 for the encoder from `source`, its target
            encoder where there is one, as in the authors' evaluations. None takes the head in `source`.
        strict: Whether missing, unexpected or reshaped tensors raise an error; see `from_pretrained`.
        family: Family of released weights whose tensor names fit several; see `from_pretrained`.
        num_heads: Number of attention heads of the probe, where no published probe has its width; or the
            numbers of several networks by name, such as ``{"encoder": 4, "head": 4}``.
        levels: Indices of the blocks whose tokens the probe sees; empty for the last block alone. None takes
            those of the published probe: of V-JEPA the last block, of V-JEPA 2 by the number of classes.

    Returns:
        The classifier, and its configuration as in ``config.json``.

    Raises:
        ValueError: There is no classifier, or any reason that `from_pretrained` has.
    """
    by_network = {"head": int(num_heads)} if isinstance(num_heads, int | np.integer) else num_heads or {}
    by_user = StatedByUser(family=family, num_heads=by_network, probe_levels=levels)
    config, tensors, place = read_weights(source, strict=strict, probe=probe, by_user=by_user)
    if "head" not in config:
        raise ValueError(
            f"{place} has no classification head: give the folder of a run of vjepa finetune, or released "
            "weights of a classifier"
        )
    encoder = VideoEncoder(**config["encoder"])
    head = build_head(embed_dim=encoder.embed_dim, num_classes=len(config["classes"]), **config["head"])
    classifier = Classifier(
        encoder, head, PixelNormalizer(**config["pixels"]), config["levels"], config["token_norm"]
    )
    if "released" in config:
        held = "target_encoder" if any(name.startswith("target_encoder.") for name in tensors) else "encoder"
        config.setdefault("which", held)
        tensors = _at_home(tensors, {held: "encoder", "head": "head"})
    state = _fitting(classifier.state_dict(), tensors, place, strict=strict)
    classifier.load_state_dict(state, strict=strict)
    return classifier.eval(), config


def load_action_model(
    source: str | Path, *, num_heads: Mapping[str, int] | None = None
) -> tuple[ActionModel, dict[str, Any]]:
    """Load an action-conditioned model in evaluation mode, and its configuration.

    Args:
        source: A model folder; the run folder of vjepa action; or the
            checkpoint of V-JEPA 2-AC that its authors released.
        num_heads: Number of attention heads of the ``encoder`` and the ``predictor`` of V-JEPA 2-AC's
            checkpoint. Needed only for a width that no published network has.

    Returns:
        The model, and its configuration as in ``config.json``.

    Raises:
        ValueError: There is no such model, or any reason that `from_pretrained` has.
    """
    if Path(source).is_file():
        config, tensors = read_action_model(source, num_heads or {})
        _refuse_nonfinite(tensors, str(source))
        warn_of_licence("vjepa2_ac")
        weights = Weights(config, tensors, str(source))
    else:
        weights = read_weights(source, by_user=StatedByUser(num_heads=num_heads or {}))
    return weights.action_model(), weights.config


def _at_home(tensors: Mapping[str, Tensor], homes: Mapping[str, str]) -> dict[str, Tensor]:
    """Select the tensors of the networks in `homes`, and rename each network as `homes` maps it."""
    parted = {name: name.split(".", 1) for name in tensors}
    return {f"{homes[kind]}.{rest}": tensors[name] for name, (kind, rest) in parted.items() if kind in homes}


def read_weights(
    source: str | Path,
    *,
    strict: bool = True,
    probe: str | Path | None = None,
    by_user: StatedByUser = NOTHING,
) -> Weights:
    """Read a model's configuration and tensors from its files, without building a network.

    Args:
        source: Any form of model that `from_pretrained` takes.
        strict: Whether a model folder whose configuration and tensors differ in size is an error.
        probe: File with a probe of released weights, see `load_classifier`.
        by_user: Facts about released weights that their file does not store.

    Raises:
        ValueError: There is no model, it is damaged, or a tensor is not finite.
    """
    path = _place_of(source)
    if is_released(path):
        released = read_released(path, probe=probe, strict=strict, by_user=by_user)
        warn_of_licence(released.family)
        if released.notes:
            warnings.warn(f"{path}: " + "; ".join(released.notes), stacklevel=3)
        _refuse_nonfinite(released.tensors, str(path))
        return Weights(released.config, released.tensors, str(path))
    if probe is not None:
        raise ValueError(
            f"{path} cannot take the probe {probe}: a probe needs released weights of V-JEPA or V-JEPA 2"
        )
    folder = model_folder(path)
    if by_user != NOTHING:
        raise ValueError(f"{folder} stores its own family, heads and levels: leave these arguments out")
    config, tensors = _config_of(folder), load_tensors(folder / "model.safetensors")
    _refuse_nonfinite(tensors, str(folder))
    if strict:
        _refuse_other_size(config, tensors, str(folder))
    return Weights(config, tensors, str(folder))


def _refuse_other_size(config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: str) -> None:
    """Raise ValueError where config.json and weights differ in size, before memory is taken for a network."""
    sections = {"target_encoder": "encoder"}  # It has the arguments of the encoder.
    for network in ("encoder", "target_encoder", "teacher", "predictor", "decoder"):
        found = {
            int(parts[3]): tensor.shape[0]
            for name, tensor in tensors.items()
            if (parts := name.split("."))[:3] == [network, "transformer", "blocks"]
            and parts[4:] == ["norm1", "weight"]
        }
        section = sections.get(network, network)
        said = config.get(section, {}).get("depth"), config.get(section, {}).get("embed_dim")
        if found and said != (None, None) and said != (len(found), found[min(found)]):
            raise ValueError(
                f"{place}: config.json has {section}.depth {said[0]} and {section}.embed_dim {said[1]}, and "
                f"the weights of the {network} do not fit it: they have {len(found)} blocks of width "
                f"{found[min(found)]}"
            )


def _place_of(source: str | Path) -> Path:
    """The path of a model on the disk; a model of the hub is downloaded first."""
    if is_hub_name(source):
        return download(str(source))
    if isinstance(source, str) and "://" in source:
        raise ValueError(f"{source} is an address: download the file, and give its path")
    return Path(source)


def _refuse_nonfinite(tensors: Mapping[str, Tensor], place: str) -> None:
    """Raise ValueError that names the tensors with NaN or infinity, with which every output would be NaN."""
    # A sum takes one pass without a copy. Single numbers are checked only where it is not finite, which a sum
    # of finite numbers may be, too, where it overflows.
    suspects = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor.sum()))]
    broken = {name: int((~torch.isfinite(tensors[name])).sum()) for name in sorted(suspects)}
    named = [f"{name} ({count} of {tensors[name].numel()})" for name, count in broken.items() if count]
    if named:
        rest = f" and {len(named) - 5} more" if len(named) > 5 else ""
        raise ValueError(
            f"the weights in {place} are not finite (NaN or infinity): {', '.join(named[:5])}{rest}; take an "
            "earlier checkpoint"
        )


def read_model_config(source: str | Path, by_user: StatedByUser = NOTHING) -> dict[str, Any]:
    """Read the configuration of a model folder or of released weights, without building a network.

    Args:
        source: Any form of model that `from_pretrained` takes.
        by_user: Facts about released weights that their file does not store.

    Raises:
        ValueError: There is no model, or its configuration is damaged.
    """
    path = _place_of(source)
    return (
        read_released(path, by_user=by_user).config if is_released(path) else _config_of(model_folder(path))
    )


def _config_of(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    check_config(config, str(folder / "config.json"))
    return config


def model_folder(source: str | Path) -> Path:
    """Find the folder with config.json and model.safetensors: `source` itself, or its subfolder ``model``.

    Raises:
        ValueError: Neither of the two holds both files.
    """
    source = Path(source)
    for folder in (source, source / "model"):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    if not source.exists():
        raise ValueError(f"{source} is not a model: there is no such file or folder")
    files = [path.name for path in sorted(source.iterdir()) if path.suffix in _WEIGHT_SUFFIXES]
    if files:
        raise ValueError(
            f"{source} is not a model: it has no config.json beside {', '.join(files[:5])}; give such a file "
            f"itself, {source / files[0]}"
        )
    raise ValueError(
        f"{source} is not a model: it has no config.json with model.safetensors, nor has {source / 'model'}; "
        "give the folder of a finished run or of a saved model"
    )


def _fitting(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], place: str, *, strict: bool
) -> dict[str, Tensor]:
    """Select the tensors that fit a model; misfits are listed in a ValueError, or a warning unless strict."""
    problems = [f"missing {name}" for name in expected.keys() - found.keys()]
    problems += [f"unexpected {name}" for name in found.keys() - expected.keys()]
    common = expected.keys() & found.keys()
    reshaped = {name for name in common if expected[name].shape != found[name].shape}
    problems += [
        f"reshaped {name}: {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in reshaped
    ]
    if problems:
        message = f"the weights in {place} do not fit its config.json:\n  " + "\n  ".join(sorted(problems))
        if strict:
            raise ValueError(message)
        warnings.warn(message, stacklevel=3)
    return {name: found[name] for name in common - reshaped}
