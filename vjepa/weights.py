"""A model folder: ``config.json`` and ``model.safetensors``, nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor

from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.world import WorldModel

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


def from_pretrained(source: str | Path, which: WhichEncoder | None = None) -> WorldModel:
    """Load a trained model, in evaluation mode.

    Args:
        source: a model folder, or the folder of a run that has one in ``model/``.
        which: the slowly moving `target_encoder` (the published choice for frozen use), or the `encoder` that
            the gradient trained; the target encoder is then the model's ``teacher``, so that predictions are held
            against what they were trained for. None takes the target encoder where the model has one. Recorded in
            ``config["which"]``.

    Raises:
        ValueError: where there is no model, or its tensors do not fit its configuration; every missing,
            unexpected or reshaped name is listed.
    """
    folder = model_folder(source)
    config = read_model_config(folder)
    tensors = load_file(folder / "model.safetensors")
    kinds = sorted({name.split(".", 1)[0] for name in tensors})
    which = which or ("target_encoder" if "target_encoder" in kinds else "encoder")
    if which not in kinds:
        raise ValueError(f"{folder} has no {which!r}: it holds {', '.join(kinds)}; choose with which=")
    homes: dict[str, str] = {which: "encoder"}  # of the file's networks in the model
    if which == "encoder" and "target_encoder" in kinds:
        homes["target_encoder"] = "teacher"
        config["teacher"] = config["encoder"]
    homes |= {kind: kind for kind in ("teacher", "predictor", "decoder") if kind in kinds}
    model = WorldModel({**config, "which": which})
    state = {
        f"{homes[kind]}.{rest}": tensor
        for (kind, rest), tensor in ((name.split(".", 1), tensor) for name, tensor in tensors.items())
        if kind in homes
    }
    _check(model.state_dict(), state, folder)
    model.load_state_dict(state)
    return model.eval()


def load_classifier(source: str | Path) -> tuple[Classifier, dict[str, Any]]:
    """A fine-tuned encoder with its head, in evaluation mode, and what its folder says of itself.

    Args:
        source: a model folder, or the folder of a run of tools/finetune.py.

    Raises:
        ValueError: where there is no classifier, or its tensors do not fit its configuration.
    """
    folder = model_folder(source)
    config = read_model_config(folder)
    if "head" not in config:
        raise ValueError(
            f"{folder} has no head that names classes: give the folder of a run of tools/finetune.py"
        )
    encoder = VideoEncoder(**config["encoder"])
    head = build_head(width=encoder.width, num_classes=len(config["classes"]), **config["head"])
    classifier = Classifier(
        encoder, head, PixelNormalizer(**config["pixels"]), config["levels"], config["token_norm"]
    )
    tensors = load_file(folder / "model.safetensors")
    _check(classifier.state_dict(), tensors, folder)
    classifier.load_state_dict(tensors)
    return classifier.eval(), config


def read_model_config(source: str | Path) -> dict[str, Any]:
    """What a model folder says of itself; ValueError where there is no model."""
    config: dict[str, Any] = json.loads((model_folder(source) / "config.json").read_text())
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


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], folder: Path) -> None:
    problems = [f"missing {name}" for name in expected.keys() - found.keys()]
    problems += [f"unexpected {name}" for name in found.keys() - expected.keys()]
    problems += [
        f"reshaped {name}: {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected.keys() & found.keys()
        if expected[name].shape != found[name].shape
    ]
    if problems:
        raise ValueError(
            f"the weights in {folder} do not fit its config.json:\n  " + "\n  ".join(sorted(problems))
        )
