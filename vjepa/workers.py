"""Worker processes: every data loader and every process pool of the library is made here.

A stop signal usually goes to a run's whole process group (Ctrl-C in a terminal, SLURM, torchrun), but a run
needs its workers until it has saved, so workers ignore these signals. They exit when they are dismissed, or
when their parent process has died. `ended_after` ends all workers started in its block, however the block is
left.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch.utils.data import DataLoader

Item = TypeVar("Item", covariant=True)

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_REPLACED = 0.2  # seconds within which a pool replaces a process that ended; it must not be shut down before
_GRACE = 2.0  # seconds that a worker gets to exit before it is dismissed, and again before it is killed


class Workers(BaseContext):
    """A multiprocessing context that keeps track of the processes it started and can end them.

    Args:
        method: Start method of the processes ("fork", "spawn" or "forkserver"). None takes the default.
        obedient: Leave the signal handlers of the processes unchanged, so that `stop` reaches them. Then they
            also survive the death of this process, and must handle that themselves.
        apart: Start spawned processes without importing the script that is running. Nothing that is passed to
            them may then be defined in that script.
    """

    def __init__(self, method: str | None = None, obedient: bool = False, apart: bool = False) -> None:
        # torch and concurrent.futures accept any BaseContext, whose locks and queues need this attribute.
        self._name = method or multiprocessing.get_start_method()
        self._base = multiprocessing.get_context(self._name)
        self._obedient = obedient
        self._apart = apart
        self._started: list[tuple[BaseProcess, Connection]] = []
        self._thread = threading.get_ident()
        _made.add(self)

    def Process(  # type: ignore[override]
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> BaseProcess:
        """Make a process that is not started yet; arguments as in multiprocessing."""
        dismissal, dismiss = self._base.Pipe(duplex=False)
        made = _Apart if self._apart else cast(Any, self._base).Process
        arguments = (target, dismissal, self._obedient, multiprocessing.get_start_method(), *args)
        process: BaseProcess = made(group, _work, name, arguments, dict(kwargs or {}), daemon=daemon)
        self._started = [pair for pair in self._started if not _ended(pair[0])]
        self._started.append((process, dismiss))
        return process

    def alive(self) -> list[BaseProcess]:
        """List the processes that were started and have not ended."""
        return [process for process, _ in self._started if process.pid is not None and process.is_alive()]

    def stop(self) -> None:
        """Send SIGTERM to all processes, and wait until they have ended."""
        asked = self.alive()
        for process in asked:
            process.terminate()
        for process in asked:
            process.join()

    def dismiss(self) -> None:
        """Make all processes exit at once, whatever they are doing, without waiting for them."""
        for process, connection in self._started:
            with suppress(OSError):  # the process has already ended
                if process.pid is not None:
                    connection.send_bytes(b"")

    def end(self) -> None:
        """Dismiss all processes, wait until they have ended, and kill those that do not end."""
        self.dismiss()
        try:
            limit = time.monotonic() + _GRACE
            for process in self.alive():
                process.join(max(0.0, limit - time.monotonic()))
        finally:
            for process in self.alive():
                process.kill()
                process.join(_GRACE)


class _Apart(SpawnProcess):
    """A spawned process that does not import the user's script."""

    def start(self) -> None:
        """Start, with an empty `__main__`, where multiprocessing looks up the script to import."""
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


_made: weakref.WeakSet[Workers] = weakref.WeakSet()


def _ended(process: BaseProcess) -> bool:
    return process.pid is not None and not process.is_alive()


def _work(
    target: Callable[..., Any], dismissal: Connection, obedient: bool, method: str, *args: Any, **kwargs: Any
) -> None:
    """Entry point of a worker process."""
    _made.clear()  # a forked worker must not end its siblings
    signal.set_wakeup_fd(-1)  # nor wake its parent when it gets a signal
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    if not obedient:
        ignore_stop_signals()
    # By default a spawned process would spawn its own workers, each of which imports everything, even where
    # the parent forks its workers.
    multiprocessing.set_start_method(method, force=True)
    threading.Thread(target=_leave, args=(dismissal, obedient), daemon=True).start()
    target(*args, **kwargs)


def _leave(dismissal: Connection, obedient: bool) -> None:
    """End this worker when it is dismissed or, unless it is obedient, when its parent has died."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([dismissal] if obedient else [dismissal, parent.sentinel])
    os._exit(0)  # torch raises an error at an arbitrary place in the parent on any other exit status


def ignore_stop_signals(_: int = 0) -> None:
    """Ignore the signals that ask a run to stop; to be called in a worker."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Loader(DataLoader[Item]):
    """torch's DataLoader, but its workers end with each iteration over it.

    Args:
        dataset: Dataset, as in torch's DataLoader. Its attribute `start_method`, if it has one that is not
            None, is the way in which its workers are started.
        num_workers: Number of processes that make batches. 0 makes batches in this process.
        options: Further arguments of torch's DataLoader.
    """

    def __init__(self, dataset: Any, *, num_workers: int, **options: Any) -> None:
        self._workers = Workers(getattr(dataset, "start_method", None)) if num_workers else None
        super().__init__(
            dataset,
            num_workers=num_workers,
            multiprocessing_context=self._workers,
            # torch installs its own signal handlers in a worker after `_work` has begun.
            worker_init_fn=ignore_stop_signals if num_workers else None,
            # Not the global generator: the run's random state must not depend on workers.
            generator=torch.Generator(),
            **options,
        )

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]
        """Yield batches; closing the iterator ends the workers."""
        batches = super().__iter__()
        try:
            yield from batches
        finally:
            if self._workers is not None and not self.persistent_workers:
                late = threading.Timer(_GRACE, self._workers.dismiss)
                late.daemon = True
                late.start()
                del batches  # torch asks its workers to end after their current batch, and waits for them
                late.cancel()
                self._workers.end()


@contextmanager
def pool(
    count: int, *, obedient: bool = False, tasks_each: int | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Make a pool of spawned processes. An exception in the block ends them, even in the middle of a task.

    Processes are spawned, not forked, because a child must not inherit half-alive decoder threads. Python
    lets a spawned process import the user's script, which runs it again unless it checks
    ``if __name__ == "__main__"``; the processes of this pool do not import it, so scripts need no check.

    Args:
        count: Number of processes at a time.
        obedient: Leave the signal handlers of the processes unchanged (see `Workers`). An exception then
            sends them SIGTERM and waits until they have ended.
        tasks_each: Number of tasks after which a process is replaced by a fresh one. None never replaces it.
    """
    workers = Workers("spawn", obedient, apart=True)
    executor = ProcessPoolExecutor(count, mp_context=workers, max_tasks_per_child=tasks_each)
    try:
        yield executor
    except BaseException:
        try:
            if obedient:
                workers.stop()
                time.sleep(_REPLACED)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            workers.end()
        raise
    executor.shutdown()


@contextmanager
def ended_after() -> Iterator[None]:
    """End every worker that this thread started in the block, however the block is left."""
    before = list(_made)
    try:
        yield
    finally:
        mine = [workers for workers in _made if workers._thread == threading.get_ident()]
        _end([workers for workers in mine if workers not in before])


def _end(made: Iterable[Workers]) -> None:
    living = [workers for workers in made if workers.alive()]
    if not living:
        return
    with _without_torch_s_alarm():
        for workers in living:
            workers.dismiss()
        for workers in living:
            workers.end()


@contextmanager
def _without_torch_s_alarm() -> Iterator[None]:
    """Switch off torch's handler that raises an error in the main thread when a loader's worker is killed."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


# Registered after multiprocessing's own handler, so it runs before it: that one would wait for workers
# forever.
@atexit.register
def end_all() -> None:
    """End every worker of this process."""
    _end(list(_made))
