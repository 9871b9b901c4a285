"""Download of models from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

# organisation/name, then optionally a file in that repository, then optionally a revision.
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w./-]+\.(?:pt|pth|tar|bin|safetensors)))?(?:@([\w./-]+))?")
_WEIGHTS = (".pt", ".pth", ".tar", ".bin", ".safetensors")  # a name that ends so is a path, no repository
_FILES = ["*.json", "*.safetensors", "pytorch_model*.bin"]


def is_hub_name(source: str | Path) -> bool:
    """Whether this names a model of the hub.

    Such names are ``organisation/name``, ``organisation/name@revision`` and
    ``organisation/name/folder/file.pth``. A name whose first folder exists on the disk is a path.
    """
    name = _NAME.fullmatch(source) if isinstance(source, str) else None
    if name is None or name[1].endswith(_WEIGHTS):
        return False
    return not Path(name[0]).parents[-2].exists()


def download(name: str) -> Path:
    """Download a model of the hub into the local cache, unless it is there already.

    Args:
        name: Name of the model, in a form that `is_hub_name` accepts.

    Returns:
        Path of the model's folder, or of the file where `name` includes one.

    Raises:
        ValueError: The hub cannot be reached, or does not provide the model.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} is not a name on the hub"
    repository, file, revision = match.groups()
    try:
        if file is not None:
            return Path(hf_hub_download(repository, file, revision=revision))
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"there is no file or folder {name}, and the Hugging Face hub does not provide it ({error}): "
            "correct the path, or give the name of a public model, or set HF_TOKEN for a private or gated one"
        ) from error
