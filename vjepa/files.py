"""Writing files so that nobody ever reads half of one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
