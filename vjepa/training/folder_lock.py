"""A lock that lets one run at a time use a run folder; two would overwrite each other's checkpoints.

The lock belongs to an open file. The operating system releases it when the process ends in any way, so that a
killed run blocks nobody. Network file systems pass the lock on to their server (NFS from version 4 on, Lustre
mounted with `flock`). On a file system without locks, the process that is named in the file counts as the
holder while it runs. A process of another machine always counts, since nobody can tell whether it runs; the
error message then gives the file to delete.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from vjepa.config import ConfigError
from vjepa.training.alone import alone

try:
    import fcntl
except ImportError:  # Windows has no module fcntl.
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class FolderInUseError(ConfigError):
    """Another run uses the folder."""


@contextmanager
def exclusive(folder: str | Path, accelerator: Accelerator) -> Iterator[None]:
    """Let the main process hold the lock of a run folder inside the block; every process must enter it.

    Raises:
        FolderInUseError: Another run uses the folder, which was not changed; raised on every process.
        ConfigError: The folder cannot be written; raised on every process.
    """
    lock = FolderLock(folder)
    alone(accelerator, lock.take)
    try:
        yield
    finally:
        lock.release()


class FolderLock:
    """The lock of a run folder; it also excludes other threads of the same process.

    Args:
        folder: Run folder; `take` creates it if it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / NAME
        self._descriptor = -1

    def take(self) -> None:
        """Take the lock.

        Raises:
            FolderInUseError: Another run uses the folder.
            ConfigError: The folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._open()
        except OSError as error:
            raise ConfigError(
                f"output_dir {self.path.parent} cannot be written ({error.strerror}): give another "
                "--output_dir"
            ) from error
        try:
            holder = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, (json.dumps(holder) + "\n").encode())
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Release the lock if it was taken, and delete its file."""
        if self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            self.forget()

    def forget(self) -> None:
        """Close the file without deleting it; for a forked process, which must not hold its parent's lock."""
        _held.discard(self)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        """Open and lock the file, and return its descriptor.

        A holder that ends deletes its file. If that happened between opening and locking, the path now names
        another file, and this one is tried again.
        """
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._lock(descriptor)
                if _is(descriptor, self.path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(self._message(_holder(descriptor))) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            holder = _holder(descriptor)
            if _lives(holder):
                raise FolderInUseError(f"{self._message(holder)}. {_ADVICE.format(self.path)}") from error

    def _message(self, holder: dict[str, Any]) -> str:
        who = (
            f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
            if {"pid", "host", "since"} <= holder.keys()
            else "another process"
        )
        remedy = "wait for it, stop it, or give another --output_dir"
        return f"{self.path.parent} is in use by a run ({who}): {remedy}"


_ADVICE = "This file system has no locks: if that run has ended, delete {}"
_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _is(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _holder(descriptor: int) -> dict[str, Any]:
    """Return the host, pid and start of the process that holds the lock; empty if they are not known."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return {}  # The holder is just writing it.
    return found if isinstance(found, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    """Return whether the process that is named in the lock file may still run."""
    if "pid" not in holder:
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
