"""Checkpoints that stay usable when a run is killed at any moment, and that are verified when they are read.

A checkpoint is written under a temporary name, flushed to disk and then renamed: it exists completely or not
at all. Its last file lists all others with their sizes and CRC-32 checksums, so that later damage (by the
disk, a copy or an edit) is detected: a run resumes from the newest checkpoint whose files match the list.
accelerate saves what it prepared (parameters, optimiser, random states of every process); the trainer's own
state is stored beside them as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, load

_NAME = re.compile(r"step_(\d+)")
_LEFTOVER = re.compile(r"(partial|removed)_\d{7,}")
_TRAINER_STATE = "trainer.json"
_CHECKSUMS = "checksums.json"
_BLOCK = 1 << 20  # Number of bytes read at once.


class Checkpoints:
    """The checkpoints of one run.

    Anything else in the folder (other files, empty folders, links) is never deleted; a link to a checkpoint
    is read like a checkpoint.

    Args:
        folder: Folder ``checkpoints/`` of the run.
        keep: Number of checkpoints to keep; older ones are removed after a new one is complete.
        needed_by: Function of the step of a checkpoint that returns the step of an older one without which it
            could not be gone on from, or None. Those that the kept checkpoints need are kept, too.

    Raises:
        ValueError: `keep` is less than 1.
    """

    def __init__(
        self, folder: Path, keep: int, needed_by: Callable[[int], int | None] = lambda step: None
    ) -> None:
        if keep < 1:
            raise ValueError(f"train.keep_checkpoints is {keep}: give 1 or more, or nothing could be resumed")
        self.folder = folder
        self.keep = keep
        self.needed_by = needed_by
        self._damaged: set[Path] = set()

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints except links and those known to be damaged, ascending."""
        return [
            step for step, folder in _found(self.folder) if folder not in self._damaged and _is_own(folder)
        ]

    def path_of(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step; it need not exist."""
        return self.folder / f"step_{step:07d}"

    def save(self, accelerator: Accelerator, step: int, state: dict[str, Any]) -> None:
        """Save a checkpoint; every process must call this.

        Args:
            accelerator: Accelerator of the run; it saves what it prepared.
            step: Number of steps taken.
            state: State of the trainer, as JSON values.

        Raises:
            ValueError: Not all processes write to the same folder.
            OSError: The checkpoint cannot be written; torch and safetensors raise errors of their own.
        """
        final = self.path_of(step)
        partial = self.folder / f"partial_{step:07d}"
        if accelerator.is_main_process:
            self._remove_leftovers()  # First: a full disk may have no room for them beside the new one.
            _move_aside(partial)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (partial / _TRAINER_STATE).write_text(json.dumps(state))
            _write_checksums(partial, accelerator.num_processes)
            _to_disk(partial)
            if _is_own(final) or final in self._damaged:
                _remove(final)
            _move_aside(final)
            os.replace(partial, final)
            _to_disk_entry(self.folder)
            self._damaged.discard(final)
            self._prune(step)
        accelerator.wait_for_everyone()

    def load_latest(self, accelerator: Accelerator) -> dict[str, Any] | None:
        """Restore the newest whole checkpoint; every process must call this.

        Learning rates, weight decays and all other settings of the optimiser stay those of the configuration.
        Each damaged checkpoint that is passed over is printed, with its fault.

        Returns:
            The trainer's state as it was given to `save`, or None if there is no checkpoint.

        Raises:
            ValueError: There are checkpoints but none is whole, or the random state cannot be restored.
        """
        chosen: list[Any] = [None, {}]
        if accelerator.is_main_process:
            chosen = [*self._newest_whole()]
        folder, faults = broadcast_object_list(chosen)
        self._damaged = set(faults)
        if folder is None:
            if faults:
                raise ValueError(_none_whole(self.folder, faults))
            return None
        for path, fault in faults.items():
            accelerator.print(f"checkpoint {path} is passed over: {fault}")
        _load(accelerator, folder)
        state: dict[str, Any] = json.loads((folder / _TRAINER_STATE).read_text())
        return state

    def load(self, accelerator: Accelerator, step: int, remedy: str) -> None:
        """Restore the checkpoint of a step; every process must call this.

        Args:
            accelerator: Accelerator of the run.
            step: Number of steps taken when the checkpoint was saved.
            remedy: Advice if the checkpoint cannot be used, for the error message.

        Raises:
            ValueError: There is no such checkpoint, or it is damaged.
        """
        folder = self.path_of(step)
        (fault,) = broadcast_object_list([_fault(folder) if accelerator.is_main_process else None])
        if fault is not None:
            raise ValueError(f"the checkpoint {folder} cannot be used, {fault}: {remedy}")
        _load(accelerator, folder)

    def _newest_whole(self) -> tuple[Path | None, dict[Path, str]]:
        """Return the newest whole checkpoint, or None, and the faults of all newer ones."""
        faults: dict[Path, str] = {}
        for _, folder in reversed(_found(self.folder)):
            fault = _fault(folder)
            if fault is None:
                return folder, faults
            faults[folder] = fault
        return None, faults

    def _prune(self, latest: int) -> None:
        steps = self.steps()
        recent = steps[-self.keep :]
        kept = {*recent, *map(self.needed_by, recent)}
        for step in steps:
            if step not in kept:
                _remove(self.path_of(step))
        for step, folder in _found(self.folder):
            if folder in self._damaged and _is_own(folder) and step < latest:
                _remove(folder)

    def _remove_leftovers(self) -> None:
        """Delete what killed runs left of checkpoints that they were writing or removing."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if _LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)


def has_checkpoints(folder: Path) -> bool:
    """Return whether the folder ``checkpoints/`` of a run has any checkpoint, whole or damaged."""
    return bool(_found(folder))


def _found(folder: Path) -> list[tuple[int, Path]]:
    """Return all non-empty folders, and links to folders, with the name of a checkpoint; sorted by step."""
    if not folder.is_dir():
        return []
    named = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    found = [(int(match.group(1)), path) for match, path in named if match and path.is_dir()]
    return sorted((step, path) for step, path in found if any(path.iterdir()))


def _is_own(folder: Path) -> bool:
    """Return whether a checkpoint was written here, damaged or not: a folder, not a link, with checksums."""
    return not folder.is_symlink() and (folder / _CHECKSUMS).is_file()


def _load(accelerator: Accelerator, folder: Path) -> None:
    """Restore what accelerate saved, except the settings of the optimiser."""
    optimizers = accelerator._optimizers
    settings = [[_without_parameters(group) for group in one.param_groups] for one in optimizers]
    accelerator.load_state(str(folder))
    for optimizer, groups in zip(optimizers, settings, strict=True):
        for group, setting in zip(optimizer.param_groups, groups, strict=True):
            group.update(setting)
    processes = json.loads((folder / _CHECKSUMS).read_text())["processes"]
    if processes != accelerator.num_processes:
        accelerator.print(
            f"{folder} was written by {processes} processes and {accelerator.num_processes} go on: drop path "
            "draws other numbers from here on"
        )
    if accelerator.process_index < processes:
        _check_random_state(accelerator, folder)


def _without_parameters(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _check_random_state(accelerator: Accelerator, folder: Path) -> None:
    """Raise ValueError if the random state was not restored.

    accelerate only logs this (accelerate 1.15, checkpointing.py, `load_accelerator_state`).
    """
    states = load(folder / f"random_states_{accelerator.process_index}.pkl")
    if not torch.equal(states["torch_manual_seed"], torch.get_rng_state()):
        raise ValueError(
            f"the random state in {folder} cannot be restored: remove that checkpoint, so that an earlier "
            "one is taken"
        )
    if accelerator.device.type != "cuda":
        return
    saved, now = states.get("torch_cuda_manual_seed", ()), torch.cuda.get_rng_state_all()
    if len(saved) != len(now) or not all(map(torch.equal, saved, now)):
        accelerator.print(
            f"{folder} was written with {len(saved)} GPUs and {len(now)} are here: drop path draws other "
            "numbers from here on"
        )


def _write_checksums(folder: Path, processes: int) -> None:
    """Write the list of a checkpoint's files with their checksums; it must be the last file."""
    lost = [name for name in _random_states(processes) if not (folder / name).is_file()]
    if lost:
        raise ValueError(
            f"{folder} lacks {', '.join(lost)}: not all processes write to the same folder, so give an "
            "output_dir that all machines share"
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = dict(zip([str(path.relative_to(folder)) for path in paths], _checksums(paths), strict=True))
    (folder / _CHECKSUMS).write_text(json.dumps({"processes": processes, "files": listed}, indent=1) + "\n")


def _random_states(processes: int) -> list[str]:
    return [f"random_states_{number}.pkl" for number in range(processes)]


def _fault(folder: Path) -> str | None:
    """Return what keeps a folder from being a whole checkpoint, or None if it is one."""
    try:
        listed = json.loads((folder / _CHECKSUMS).read_text())
        wanted = {str(name): tuple(value) for name, value in listed["files"].items()}
        needed = {_TRAINER_STATE, *_random_states(int(listed["processes"]))}
    except FileNotFoundError:
        return f"it has no {_CHECKSUMS}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return f"its {_CHECKSUMS} is damaged"
    unlisted = sorted(needed - wanted.keys())
    if unlisted:
        return f"its {_CHECKSUMS} does not name {unlisted[0]}"
    lost = sorted(name for name in wanted if not (folder / name).is_file())
    if lost:
        return f"{lost[0]} is missing"
    names = list(wanted)
    try:
        found = _checksums([folder / name for name in names])
    except OSError as error:
        return f"it cannot be read ({error})"
    damaged = [name for name, value in zip(names, found, strict=True) if value != wanted[name]]
    return f"{damaged[0]} and {_CHECKSUMS} do not agree" if damaged else None


def _none_whole(folder: Path, faults: dict[Path, str]) -> str:
    listed = "; ".join(f"{path.name}: {fault}" for path, fault in faults.items())
    return (
        f"no checkpoint in {folder} is whole ({listed}): bring one back from a copy, or move {folder} away "
        "to start again from the first step"
    )


def _checksums(paths: Iterable[Path]) -> list[tuple[int, int]]:
    """Return the size in bytes and the CRC-32 of each file."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(_checksum, paths))


def _checksum(path: Path) -> tuple[int, int]:
    value = size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value, size = zlib.crc32(block, value), size + len(block)
    return size, value


def _move_aside(path: Path) -> None:
    """Free a path for a checkpoint: anything else with that name is renamed, not deleted."""
    if path.is_symlink() or path.exists():
        names = (path.with_name(f"{path.name}_moved_aside_{number}") for number in itertools.count())
        os.replace(path, next(name for name in names if not (name.is_symlink() or name.exists())))


def _remove(folder: Path) -> None:
    """Delete a checkpoint; it is renamed first, so that a kill meanwhile does not leave half a checkpoint."""
    hidden = folder.with_name(folder.name.replace("step_", "removed_"))
    _move_aside(hidden)
    os.replace(folder, hidden)
    shutil.rmtree(hidden)


def _to_disk(folder: Path) -> None:
    """Flush a folder with all that is in it to disk."""
    for path in (*folder.rglob("*"), folder):
        _to_disk_entry(path)


def _to_disk_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
