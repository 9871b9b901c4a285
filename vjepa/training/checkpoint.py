"""Checkpoints that a kill at any instant leaves usable.

A checkpoint is written under a name that nothing reads, brought to disk, and then renamed: it exists whole
or not at all. accelerate saves what it prepared (parameters, optimiser, random states of every process);
the trainer's own few numbers go beside them as JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

_NAME = re.compile(r"step_(\d+)")
_TRAINER_STATE = "trainer.json"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: ``checkpoints/`` of the run.
        keep: how many whole ones stay; older ones are removed after a new one stands.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"train.keep_checkpoints is {keep}: give 1 or more, or nothing could be resumed")
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    def save(self, accelerator: Accelerator, step: int, state: dict[str, Any]) -> None:
        """Save everything after `step` steps; every process must call this."""
        final = self.folder / f"step_{step:07d}"
        partial = self.folder / f"partial_{step:07d}"
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (partial / _TRAINER_STATE).write_text(json.dumps(state))
            _to_disk(partial)
            if final.exists():
                _remove(final)
            os.replace(partial, final)
            _to_disk_entry(self.folder)
            self._prune()
        accelerator.wait_for_everyone()

    def load_latest(self, accelerator: Accelerator) -> dict[str, Any] | None:
        """Restore the latest whole checkpoint; the trainer's state, or None where there is none."""
        steps = self.steps()
        if not steps:
            return None
        folder = self.folder / f"step_{steps[-1]:07d}"
        accelerator.load_state(str(folder))
        state: dict[str, Any] = json.loads((folder / _TRAINER_STATE).read_text())
        return state

    def _prune(self) -> None:
        for step in self.steps()[: -self.keep]:
            _remove(self.folder / f"step_{step:07d}")
        for leftover in (*self.folder.glob("partial_*"), *self.folder.glob("removed_*")):
            shutil.rmtree(leftover)


def _remove(folder: Path) -> None:
    """Take a checkpoint out of sight first: a kill while its files go must not leave half of one."""
    hidden = folder.with_name(folder.name.replace("step_", "removed_"))
    shutil.rmtree(hidden, ignore_errors=True)
    os.replace(folder, hidden)
    shutil.rmtree(hidden)


def _to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        _to_disk_entry(path)
    _to_disk_entry(folder)


def _to_disk_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
