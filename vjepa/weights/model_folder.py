"""A model folder: ``config.json`` and ``model.safetensors``, nothing else; and weights that others released.

model = from_pretrained("runs/quickstart")
model = from_pretrained("vitl.pt")  # a file of the authors of V-JEPA 2
model = from_pretrained("facebook/vjepa2-vitl-fpc64-256")  # a model of the Hugging Face hub
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

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
from vjepa.weights.released.told import Told

WhichEncoder = Literal["target_encoder", "encoder"]
_WEIGHT_SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".safetensors")


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
    with written_atomically(folder / "model.safetensors") as draft:
        save_file(tensors, draft, metadata={"format": "pt"})
    with written_atomically(folder / "config.json") as draft:
        draft.write_text(json.dumps(config, indent=2) + "\n")


def from_pretrained(
    source: str | Path,
    which: WhichEncoder | None = None,
    *,
    strict: bool = True,
    channels: int | None = None,
    family: Family | None = None,
    heads: Mapping[str, int] | None = None,
    levels: Sequence[int] | None = None,
) -> VideoModel:
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
        family: of weights that others released, where their names do not tell it: `vjepa` or `vjepa2`.
        heads: attention heads by network (``encoder``, ``predictor``, ``decoder``) of weights that others released. Shapes do
            not tell them: they are those of the published network of this width, and where there is none they must be given.
        levels: blocks that the norms of levels follow, of an encoder of V-JEPA 2.1 of a depth that nobody published.

    Raises:
        ValueError: where there is no model, its configuration has unknown, missing or impossible values, its tensors do not fit
            it (every missing, unexpected or reshaped name is listed) or are not finite, or what they do not tell was not given.
    """
    told = Told(family=family, heads=heads or {}, levels=levels)
    config, tensors, place = _read(source, strict=strict, told=told)
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
    model = VideoModel({**config, "which": which})
    state = _at_home(tensors, homes)
    model.load_state_dict(_fitting(model.state_dict(), state, place, strict=strict), strict=strict)
    return model.eval()


def load_classifier(
    source: str | Path,
    *,
    probe: str | Path | None = None,
    strict: bool = True,
    family: Family | None = None,
    heads: int | Mapping[str, int] | None = None,
    levels: Sequence[int] | None = None,
) -> tuple[Classifier, dict[str, Any]]:
    """A fine-tuned encoder with its head, in evaluation mode, and what its folder says of itself.

    Args:
        source: a model folder, or the folder of a run of tools/finetune.py; or released weights of a classifier, as of
            `from_pretrained`.
        probe: a file with an attentive probe of V-JEPA or V-JEPA 2, for an encoder from `source`. It stands on the target
            encoder where there is one, as in the authors' evaluations.
        strict, family: as of `from_pretrained`.
        heads: attention heads of the probe, where no published probe has its width; or those of several networks, by name:
            ``{"encoder": 4, "head": 4}``.
        levels: numbers of the blocks whose tokens the probe sees; empty for the last block's alone. Published probes of
            V-JEPA 2 are known by their number of classes; of others it must be given.

    Raises:
        ValueError: where there is no classifier, or as of `from_pretrained`.
    """
    by_network = {"head": int(heads)} if isinstance(heads, int | np.integer) else heads or {}
    told = Told(family=family, heads=by_network, probe_levels=levels)
    config, tensors, place = _read(source, strict=strict, probe=probe, told=told)
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


def load_action_model(
    source: str | Path, *, heads: Mapping[str, int] | None = None
) -> tuple[ActionModel, dict[str, Any]]:
    """A world model with actions, in evaluation mode, and what its folder says of itself.

    Args:
        source: a model folder, or the folder of a run of tools/pretrain.py with a configuration of configs/action; or the authors'
            file of V-JEPA 2-AC.
        heads: attention heads of the ``encoder`` and of the ``predictor`` of the authors' file, as of `from_pretrained`.

    Raises:
        ValueError: where there is no such model, or as of `from_pretrained`.
    """
    if Path(source).is_file():
        place = str(source)
        config, tensors = read_action_model(source, heads or {})
        _refuse_nonfinite(tensors, place)
        warn_of_licence("vjepa2_ac")
    else:
        config, tensors, place = _read(source, told=Told(heads=heads or {}))
    if "dynamics" not in config:
        raise ValueError(
            f"{place} has no predictor of what actions do: give the folder of a run with a configuration of configs/action"
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
    source: str | Path, *, strict: bool = True, probe: str | Path | None = None, told: Told = NOTHING
) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Configuration, tensors, and where they are from."""
    path = _place_of(source)
    if is_released(path):
        released = read_released(path, probe=probe, strict=strict, told=told)
        warn_of_licence(released.family)
        if released.notes:
            warnings.warn(f"{path}: " + "; ".join(released.notes), stacklevel=3)
        _refuse_nonfinite(released.tensors, str(path))
        return released.config, released.tensors, str(path)
    if probe is not None:
        raise ValueError(
            f"{path} has no need of the probe {probe}: a probe is for released weights of V-JEPA or V-JEPA 2"
        )
    folder = model_folder(path)
    if told != NOTHING:
        raise ValueError(f"{folder} says itself which family, heads and levels it has: give none")
    config, tensors = _config_of(folder), load_tensors(folder / "model.safetensors")
    _refuse_nonfinite(tensors, str(folder))
    if strict:
        _refuse_other_size(config, tensors, str(folder))
    return config, tensors, str(folder)


def _refuse_other_size(config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: str) -> None:
    """ValueError where networks are of another size than their weights: before memory is taken for them."""
    for network in ("encoder", "teacher", "predictor", "decoder"):
        found = {
            int(parts[3]): tensor.shape[0]
            for name, tensor in tensors.items()
            if (parts := name.split("."))[:3] == [network, "transformer", "blocks"]
            and parts[4:] == ["norm1", "weight"]
        }
        said = config.get(network, {}).get("depth"), config.get(network, {}).get("width")
        if found and said != (None, None) and said != (len(found), found[min(found)]):
            raise ValueError(
                f"{place}: config.json has {network}.depth {said[0]} and {network}.width {said[1]}, and the weights do not fit it: they "
                f"have {len(found)} blocks of width {found[min(found)]}"
            )


def _place_of(source: str | Path) -> Path:
    """Where a model is on the disk, fetched from the hub where it has a name of it."""
    if is_hub_name(source):
        return download(str(source))
    if isinstance(source, str) and "://" in source:
        raise ValueError(f"{source} is an address: fetch the file, and give its path")
    return Path(source)


def _refuse_nonfinite(tensors: Mapping[str, Tensor], place: str) -> None:
    """ValueError that names the tensors with NaN or infinity: all that a model says of any video would be NaN."""
    # The sum is one pass without a copy; only where it is not finite (or too large) is each number looked at.
    suspects = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor.sum()))]
    broken = {name: int((~torch.isfinite(tensors[name])).sum()) for name in sorted(suspects)}
    named = [f"{name} ({count} of {tensors[name].numel()})" for name, count in broken.items() if count]
    if named:
        rest = f" and {len(named) - 5} more" if len(named) > 5 else ""
        raise ValueError(
            f"the weights in {place} are not finite (NaN or infinity): {', '.join(named[:5])}{rest}; take a checkpoint from "
            "before they became so"
        )


def read_model_config(source: str | Path, told: Told = NOTHING) -> dict[str, Any]:
    """What a model folder, or released weights, say of themselves, with what a user says of these; ValueError where there is no model."""
    path = _place_of(source)
    return read_released(path, told=told).config if is_released(path) else _config_of(model_folder(path))


def _config_of(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    check_config(config, str(folder / "config.json"))
    return config


def model_folder(source: str | Path) -> Path:
    """Where config.json and model.safetensors are; ValueError where there is no model."""
    source = Path(source)
    for folder in (source, source / "model"):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    if not source.exists():
        raise ValueError(f"{source} is not a model: there is no such file or folder")
    files = [path.name for path in sorted(source.iterdir()) if path.suffix in _WEIGHT_SUFFIXES]
    if files:
        raise ValueError(
            f"{source} is not a model: it has no config.json beside {', '.join(files[:5])}; give such a file itself, {source / files[0]}"
        )
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
