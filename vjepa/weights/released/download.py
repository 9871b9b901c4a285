"""Models of the Hugging Face hub, as folders or files on the disk."""

from __future__ import annotations

import re
from pathlib import Path

# organisation/name, a file in that repository or none, a revision or none
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w./-]+\.(?:pt|pth|tar|bin|safetensors)))?(?:@([\w./-]+))?")
_WEIGHTS = (".pt", ".pth", ".tar", ".bin", ".safetensors")  # of files: no repository has such a name
_FILES = ["*.json", "*.safetensors", "pytorch_model*.bin"]


def is_hub_name(source: str | Path) -> bool:
    """Whether this is ``organisation/name``, ``organisation/name@revision`` or ``organisation/name/folder/file.pth``, and no
    place on the disk."""
    name = _NAME.fullmatch(source) if isinstance(source, str) else None
    if name is None or name[1].endswith(_WEIGHTS):
        return False
    return not Path(name[0]).parents[-2].exists()


def download(name: str) -> Path:
    """A model of the hub on the disk, fetched where it is not there yet: its folder, or the file that is named.

    Raises:
        ValueError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} is no name of the hub"
    repository, file, revision = match.groups()
    try:
        if file is not None:
            return Path(hf_hub_download(repository, file, revision=revision))
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"there is no file or folder {name}, and the Hugging Face hub does not give it ({error}): correct the path, or give "
            "the name of a public model, or set HF_TOKEN for another one"
        ) from error
