"""Model folders on the Hugging Face hub, with a card that says what they are.

    url = push_to_hub("runs/quickstart", "someone/quickstart")

A folder is uploaded as it is: config.json and model.safetensors are what `from_pretrained` reads, strictly. That is why
huggingface_hub's PyTorchModelHubMixin is not used: what it saves it also loads, with missing weights left at random.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi

from vjepa.foreign_text import in_table
from vjepa.weights.model_folder import model_folder, read_model_config


def push_to_hub(
    source: str | Path, repo_id: str, *, licence: str, private: bool = False, token: str | None = None
) -> str:
    """Upload a model with its card; the address of the commit.

    Args:
        source: a model folder, or the folder of a run.
        repo_id: ``owner/name``; made if it does not exist.
        licence: of the weights, as the hub names it (``apache-2.0``, ``cc-by-nc-4.0``, ...): nobody but you can know it.
        private: of a new repository.
        token: of the hub; None takes that of ``hf auth login``.
    """
    card = model_card(source, licence)
    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "README.md").write_text(card, encoding="utf-8")
        (Path(folder) / "config.json").write_text(json.dumps(_shared_config(source), indent=2) + "\n")
        shutil.copy(model_folder(source) / "model.safetensors", folder)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload a vjepa model")
    return str(commit)


def model_card(source: str | Path, licence: str) -> str:
    """What a model is, as the README of its repository: networks, clips, training data's name, metrics."""
    config, summary = _shared_config(source), _summary(Path(source))
    classifies = "head" in config
    head = {
        "library_name": "vjepa",
        "license": licence,
        "pipeline_tag": "video-classification" if classifies else "feature-extraction",
        "tags": ["video", "vjepa", "self-supervised"],
    }
    rows = "\n".join(
        f"| {in_table(name)} | {in_table(value)} |" for name, value in _facts(config, summary).items()
    )
    use = "vjepa.VideoClassifier.from_pretrained" if classifies else "vjepa.from_pretrained"
    return (
        f"---\n{_yaml(head)}---\n\n# {in_table(Path(source).resolve().name)}\n\n"
        f"A model of [vjepa](https://pypi.org/project/vjepa-world): `{use}(FOLDER)`.\n\n| | |\n|---|---|\n{rows}\n\n"
        f"```json\n{json.dumps(config, indent=1)}\n```\n"
    )


def _shared_config(source: str | Path) -> dict[str, Any]:
    """The configuration with the last part of every path of the training run alone.

    Where data lies on its owner's machine is nobody's business.
    """
    config = read_model_config(source)
    return {**config, "training": _names_alone(config["training"])} if "training" in config else config


def _names_alone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _names_alone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_names_alone(item) for item in value]
    return _name_alone(value) if isinstance(value, str) else value


def _name_alone(source: str) -> str:
    """``/data/clips/?split=train`` to ``clips?split=train``."""
    path, mark, query = source.partition("?")
    return path.rstrip("/").rsplit("/", 1)[-1] + mark + re.sub(r"=[^&]*/", "=", query)


def _facts(config: dict[str, Any], summary: dict[str, Any]) -> dict[str, str]:
    """Rows of the card; what is not known is left out."""
    encoder, clip = config["encoder"], config.get("clip")
    facts = {
        "encoder": f"ViT, width {encoder['width']}, {encoder['depth']} blocks, tubelet {tuple(encoder['tubelet'])}"
    }
    if clip is not None:
        facts["clips"] = f"{clip['num_frames']} frames of {clip['size'][0]} x {clip['size'][1]} pixels"
    data = config.get("training", {}).get("data", {})
    sources = data.get("train") if isinstance(data.get("train"), list) else [data.get("train")]
    names = [source for source in sources if source]
    if names or data.get("synthetic"):
        facts["training data"] = ", ".join(names) or "rendered by the library"
    if "classes" in config:
        facts["classes"] = str(len(config["classes"]))
    for name, probe in summary.get("probe", {}).items():
        facts[f"{name} probe, frozen"] = ", ".join(f"{key} {value:.1%}" for key, value in probe.items())
    for name in ("top1", "mean_class"):
        if "test" in summary:
            value, low, high = summary["test"][name]
            facts[f"test {name}"] = f"{value:.1%} ({low:.1%} to {high:.1%})"
    return facts


def _summary(source: Path) -> dict[str, Any]:
    """Final metrics of the run, where the source is one."""
    path = source / "summary.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _yaml(head: dict[str, Any]) -> str:
    return str(yaml.safe_dump(head, sort_keys=False))
