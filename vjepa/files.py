"""Places for results, and writing files so that nobody ever reads half of one."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def results_home(model: str | Path) -> Path:
    """Return the folder for what is computed of a model: its own folder, where it has one.

    A file of weights and a name on the Hugging Face hub have none. Their folder lies below the current one
    and is called after them in one word: a folder `organisation/name` would be taken for the model itself.

    Args:
        model: Folder, file or name of a model, as `vjepa.from_pretrained` takes it.
    """
    path = Path(model)
    if path.is_dir():
        return path
    return Path(path.stem if path.is_file() else re.sub(r"[^\w.-]+", "-", str(model)))


def name_of_model(model: str | Path) -> str:
    """Return the name of a model for titles: that of its folder, also where that is given as ``.``."""
    return Path(model).resolve().name


def ready_folder(path: str | Path) -> Path:
    """Create a folder to which results will be written; called before the work that they take.

    Raises:
        ValueError: The folder cannot be created, or nothing can be written to it.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"the folder {path} for results cannot be created ({error.strerror}): give another place"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"the folder {path} for results cannot be written to: give another place")
    return path


def ready_file(path: str | Path) -> Path:
    """Create the folder of a file that will be written; called before the work that its content takes.

    Raises:
        ValueError: The folder cannot be created, or the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is to be a file of results, and is a folder: give the name of a file")
    if path.exists() and not path.is_file() and os.access(path, os.W_OK):  # a pipe or a device
        return path
    ready_folder(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise ValueError(f"the file {path} for results cannot be written: give another place")
    return path


@contextmanager
def written_atomically(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """A draft to write to inside the block, which takes the name `path` at the end of the block.

    A reader finds the whole file or none, whenever the process is killed. After an exception the draft is
    gone, and the file that was there before is unchanged. The draft lies in the same folder under a name of
    its own, so that several processes, of several machines, may write the same file.

    Args:
        path: File to write; its folder must exist.
        durable: Wait until the content is on the disk before the name is, so that a power cut leaves no empty
            file.
    """
    path = Path(path)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield draft
        if durable:
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
