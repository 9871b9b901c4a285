"""Models of the Hugging Face hub, as folders on the disk."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"[\w.-]+/[\w.-]+(?:@[\w./-]+)?")
_FILES = ["*.json", "*.safetensors", "pytorch_model*.bin"]


def is_hub_name(source: str | Path) -> bool:
    """Whether this is ``organisation/name`` (or ``organisation/name@revision``), and no place on the disk."""
    return isinstance(source, str) and bool(_NAME.fullmatch(source)) and not Path(source).parent.exists()


def download(name: str) -> Path:
    """The folder of a model of the hub, fetched where it is not there yet.

    Raises:
        ValueError: it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"{name} is not on the disk, and cannot be had from the Hugging Face hub: {error}; give a path, or a name of the hub "
            "with a connection (HF_TOKEN for one that is not public)"
        ) from error
