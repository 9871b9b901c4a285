"""A model folder: ``config.json`` and ``model.safetensors``, nothing else; and weights that others released.

world = from_pretrained("runs/quickstart")
world = from_pretrained("vitl.pt")  # a file of the authors of V-JEPA 2
world = from_pretrained("facebook/vjepa2-vitl-fpc64-256")  # a model of the Hugging Face hub
"""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor

from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.action_model import ActionModel
from vjepa.models.channels import adapt_channels
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.world import WorldModel
from vjepa.released.action_model import read_action_model
from vjepa.released.families import warn_of_licence
from vjepa.released.hub import download, is_hub_name
from vjepa.released.reading import is_released, read_released

WhichEncoder = Literal["target_encoder", "encoder"]


def save_pretrained(folder: str | Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a model folder.

    Args:
        folder: made if it does not exist; files in it are replaced, each at once.
        state: tensors named ``encoder.*``, ``target_encoder.*``, ``teacher.*``, ``predictor.*``, ``decoder.*`` (any of
            them).
        config: arguments of the networks under ``encoder``, ``teacher``, ``predictor`` or ``decoder``, ``pixels``;
            anything else that JSON can hold is kept beside them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    partial = folder / "model.safetensors.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")
    partial = folder / "config.json.partial"
    partial.write_text(json.dumps(config, indent=2) + "\n")
    os.replace(partial, folder / "config.json")


def from_pretrained(
    source: str | Path,
    which: WhichEncoder | None = None,
    *,
    strict: bool = True,
    channels: int | None = None,
) -> WorldModel:
    """Load a trained model, in evaluation mode.

    Args:
        source: a model folder, or the folder of a run that has one in ``model/``; weights that others released: a file of
            V-JEPA (2, 2.1, 2-AC), I-JEPA, VideoMAE or MAE, or a folder of transformers' VJEPA2, VideoMAE, IJepa or ViTMAE
            classes (configs/released/README.md says what is checked); or ``organisation/name`` of the Hugging Face hub.
        which: the slowly moving `target_encoder` (the published choice for frozen use), or the `encoder` that
            the gradient trained; the target encoder is then the model's ``teacher``, so that predictions are held
            against what they were trained for. None takes the target encoder where the model has one. Recorded in
            ``config["which"]``. Weights of V-JEPA 2 on the hub have one encoder, made from the authors' `encoder`; the
            authors' own files have both.
        strict: weights that are missing, too many or of another shape are an error; else a warning, and what is missing
            stays as it is drawn at random.
        channels: of the videos, where they are others than those of training (`vjepa.models.channels`); a warning says so.

    Raises:
        ValueError: where there is no model, or its tensors do not fit its configuration; every missing,
            unexpected or reshaped name is listed.
    """
    config, tensors, place = _read(source, strict=strict)
    if channels is not None and channels != len(config["pixels"]["mean"]):
        warnings.warn(
            f"{place} knows {len(config['pixels']['mean'])} channels: its kernels are adapted to {channels}, and a decoder of "
            "pixels is left out",
            stacklevel=2,
        )
        config, tensors = adapt_channels(config, tensors, channels)
    kinds = sorted({name.split(".", 1)[0] for name in tensors})
    which = which or ("target_encoder" if "target_encoder" in kinds else "encoder")
    if which not in kinds:
        raise ValueError(f"{place} has no {which!r}: it holds {', '.join(kinds)}; choose with which=")
    homes: dict[str, str] = {which: "encoder"}  # of the file's networks in the model
    if which == "encoder" and "target_encoder" in kinds:
        homes["target_encoder"] = "teacher"
        config["teacher"] = config["encoder"]
    homes |= {kind: kind for kind in ("teacher", "predictor", "decoder") if kind in kinds}
    model = WorldModel({**config, "which": which})
    state = _at_home(tensors, homes)
    model.load_state_dict(_fitting(model.state_dict(), state, place, strict=strict), strict=strict)
    return model.eval()


def load_classifier(
    source: str | Path, *, probe: str | Path | None = None, strict: bool = True
) -> tuple[Classifier, dict[str, Any]]:
    """A fine-tuned encoder with its head, in evaluation mode, and what its folder says of itself.

    Args:
        source: a model folder, or the folder of a run of tools/finetune.py; or released weights of a classifier, as of
            `from_pretrained`.
        probe: a file with an attentive probe of V-JEPA 2, for an encoder from `source`. It stands on the target encoder
            where there is one, as in the authors' evaluations.
        strict: as of `from_pretrained`.

    Raises:
        ValueError: where there is no classifier, or its tensors do not fit its configuration.
    """
    config, tensors, place = _read(source, strict=strict, probe=probe)
    if "head" not in config:
        raise ValueError(
            f"{place} has no head that names classes: give the folder of a run of tools/finetune.py, or released weights of a "
            "classifier"
        )
    encoder = VideoEncoder(**config["encoder"])
    head = build_head(width=encoder.width, num_classes=len(config["classes"]), **config["head"])
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


def load_action_model(source: str | Path) -> tuple[ActionModel, dict[str, Any]]:
    """A world model with actions, in evaluation mode, and what its folder says of itself.

    Args:
        source: a model folder, or the folder of a run of tools/pretrain.py with a configuration of configs/world; or the authors'
            file of V-JEPA 2-AC.

    Raises:
        ValueError: where there is no such model, or its tensors do not fit its configuration.
    """
    if Path(source).is_file():
        place = str(source)
        config, tensors = read_action_model(source)
        warn_of_licence("vjepa2_ac")
    else:
        config, tensors, place = _read(source)
    if "dynamics" not in config:
        raise ValueError(
            f"{place} has no predictor of what actions do: give the folder of a run with a configuration of configs/world"
        )
    names = inspect.signature(ActionModel).parameters
    model = ActionModel(**{name: value for name, value in config.items() if name in names})
    model.load_state_dict(_fitting(model.state_dict(), tensors, place, strict=True))
    return model.eval(), config


def _at_home(tensors: Mapping[str, Tensor], homes: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of some of a file's networks, under the names that these have in a model."""
    parted = {name: name.split(".", 1) for name in tensors}
    return {f"{homes[kind]}.{rest}": tensors[name] for name, (kind, rest) in parted.items() if kind in homes}


def _read(
    source: str | Path, *, strict: bool = True, probe: str | Path | None = None
) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Configuration, tensors, and where they are from."""
    path = download(str(source)) if is_hub_name(source) else Path(source)
    if is_released(path):
        released = read_released(path, probe=probe, strict=strict)
        warn_of_licence(released.family)
        if released.notes:
            warnings.warn(f"{path}: " + "; ".join(released.notes), stacklevel=3)
        return released.config, released.tensors, str(path)
    if probe is not None:
        raise ValueError(
            f"{path} has no need of the probe {probe}: a probe is for released weights of V-JEPA 2"
        )
    folder = model_folder(path)
    return _config_of(folder), load_file(folder / "model.safetensors"), str(folder)


def read_model_config(source: str | Path) -> dict[str, Any]:
    """What a model folder, or released weights, say of themselves; ValueError where there is no model."""
    path = download(str(source)) if is_hub_name(source) else Path(source)
    return read_released(path).config if is_released(path) else _config_of(model_folder(path))


def _config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def model_folder(source: str | Path) -> Path:
    """Where config.json and model.safetensors are; ValueError where there is no model."""
    source = Path(source)
    for folder in (source, source / "model"):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    raise ValueError(
        f"{source} is not a model: it has no config.json with model.safetensors, nor has {source / 'model'}; "
        "give the folder of a finished run or of a saved model"
    )


def _fitting(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], place: str, *, strict: bool
) -> dict[str, Tensor]:
    """What fits; ValueError, or else a warning, that lists what does not."""
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
