"""Upload of model folders to the Hugging Face hub, with a model card.

    url = push_to_hub("runs/quickstart", "someone/quickstart", licence="apache-2.0")

The repository holds config.json and model.safetensors, which `from_pretrained` reads strictly.
huggingface_hub's PyTorchModelHubMixin is not used because its loader leaves missing weights at random values.
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

from vjepa.files import name_of_model
from vjepa.foreign_text import in_table
from vjepa.result_tables import probe_rows
from vjepa.weights.model_folder import model_folder, read_model_config


def push_to_hub(
    source: str | Path, repo_id: str, *, licence: str, private: bool = False, token: str | None = None
) -> str:
    """Upload a model with its card.

    Args:
        source: A model folder, or a run folder.
        repo_id: Repository on the hub, ``owner/name``; created if it does not exist.
        licence: Licence of the weights as the hub names it (``apache-2.0``, ``cc-by-nc-4.0``, ...). There is
            no default, since only the owner of the weights knows it.
        private: Whether a newly created repository is private.
        token: Access token of the hub; None takes the one stored by ``hf auth login``.

    Returns:
        URL of the commit.

    Raises:
        ValueError: `source` is not a model.
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
    """The model card, as Markdown: network, clips, names of the training data, metrics and configuration.

    Args:
        source: A model folder, or a run folder.
        licence: Licence of the weights as the hub names it, such as ``apache-2.0``.
    """
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
    acts = "dynamics" in config
    use = "vjepa.load_action_model" if acts else "vjepa.from_pretrained"
    use = "vjepa.VideoClassifier.from_pretrained" if classifies else use
    return (
        f"---\n{_yaml(head)}---\n\n# {in_table(name_of_model(source))}\n\n"
        f"A model of vjepa: `{use}(FOLDER)`.\n\n"
        f"| | |\n|---|---|\n{rows}\n\n"
        f"```json\n{json.dumps(config, indent=1)}\n```\n"
    )


def _shared_config(source: str | Path) -> dict[str, Any]:
    """The configuration, with every path in its training settings shortened to the last component.

    Where data lies on its owner's machine is private.
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
    """Shorten a path, and paths in its query: ``/data/clips/?split=train`` becomes ``clips?split=train``."""
    path, mark, query = source.partition("?")
    return path.rstrip("/").rsplit("/", 1)[-1] + mark + re.sub(r"=[^&]*/", "=", query)


def _facts(config: dict[str, Any], summary: dict[str, Any]) -> dict[str, str]:
    """Rows of the card's table by name; a row whose value is not stored is left out."""
    encoder, clip = config["encoder"], config.get("clip")
    facts = {
        "encoder": f"ViT, width {encoder['embed_dim']}, {encoder['depth']} blocks, "
        f"tubelet {tuple(encoder['tubelet'])}"
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
    facts |= probe_rows(summary.get("probe", {}))
    for name in ("top1", "mean_class"):
        if "test" in summary:
            value, low, high = summary["test"][name]
            facts[f"test {name}"] = f"{value:.1%} ({low:.1%} to {high:.1%})"
    return facts


def _summary(source: Path) -> dict[str, Any]:
    """Final metrics from the summary.json of a run folder; empty where there is none."""
    path = source / "summary.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _yaml(head: dict[str, Any]) -> str:
    return str(yaml.safe_dump(head, sort_keys=False))
