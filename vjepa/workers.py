"""Worker processes: every data loader and every pool is made here, and ends with the process that made it.

A signal to a run usually goes to its whole group of processes (Ctrl-C in a terminal, SLURM, torchrun), but a run needs its
workers until it has saved, so workers ignore those signals. They leave when they are dismissed, and by themselves
when the process that made them has died. What `ended_after` contains leaves no worker behind, whichever way it ends.
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
_REPLACED = 0.2  # seconds in which a pool has replaced a process that ended; it must not be shut down in them
_GRACE = 2.0  # seconds that a worker has to leave before it is dismissed, and then before it is killed


class Workers(BaseContext):
    """A multiprocessing context that knows the processes it started, and can end them.

    Args:
        method: how processes are started ("fork", "spawn", "forkserver"); None takes the default.
        obedient: leave the processes their signal handlers, so that `stop` reaches them; they then also go on
            when this process has died, and must look after that themselves.
        apart: spawned processes know nothing of the script that is being run; nothing that they are given may be
            defined in it.
    """

    def __init__(self, method: str | None = None, obedient: bool = False, apart: bool = False) -> None:
        # torch and concurrent.futures accept any BaseContext, whose locks and queues ask for this name.
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
        """A process that is not started yet, as of multiprocessing."""
        dismissal, dismiss = self._base.Pipe(duplex=False)
        process: BaseProcess = (_Apart if self._apart else cast(Any, self._base).Process)(
            group, _work, name, (target, dismissal, self._obedient, multiprocessing.get_start_method(), *args),
            dict(kwargs or {}), daemon=daemon,
        )  # fmt: skip
        self._started = [pair for pair in self._started if not _ended(pair[0])]
        self._started.append((process, dismiss))
        return process

    def alive(self) -> list[BaseProcess]:
        """The processes that were started and have not ended."""
        return [process for process, _ in self._started if process.pid is not None and process.is_alive()]

    def stop(self) -> None:
        """Send SIGTERM to all, and wait until they have stopped."""
        asked = self.alive()
        for process in asked:
            process.terminate()
        for process in asked:
            process.join()

    def dismiss(self) -> None:
        """Tell all to leave at once, whatever they are doing."""
        for process, connection in self._started:
            with suppress(OSError):  # it has ended already
                if process.pid is not None:
                    connection.send_bytes(b"")

    def end(self) -> None:
        """Dismiss all and wait until they have ended; kill those that do not."""
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
    """A spawned process that does not run the user's script again."""

    def start(self) -> None:
        """Start, while there seems to be no script: multiprocessing hands on what `__main__` says of itself."""
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
    """What a worker process runs."""
    _made.clear()  # a forked worker must not end its siblings
    signal.set_wakeup_fd(-1)  # nor wake the process that made it when it gets a signal
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    if not obedient:
        ignore_stop_signals()
    # A spawned process would spawn its own workers, each of which imports everything, where this one forks them.
    multiprocessing.set_start_method(method, force=True)
    threading.Thread(target=_leave, args=(dismissal, obedient), daemon=True).start()
    target(*args, **kwargs)


def _leave(dismissal: Connection, obedient: bool) -> None:
    """End this worker when it is dismissed, or when the process that made it has died."""
    maker = multiprocessing.parent_process()
    assert maker is not None
    wait([dismissal] if obedient else [dismissal, maker.sentinel])
    os._exit(0)  # to torch any other status is a failure, which it raises wherever the maker is just then


def ignore_stop_signals(_: int = 0) -> None:
    """Ignore the signals that ask a run to stop; to be called by a worker."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Loader(DataLoader[Item]):
    """torch's DataLoader, whose workers end with each iteration over it.

    Args:
        dataset: as of torch's DataLoader.
        workers: processes that make batches; 0 makes them in this process.
        options: further arguments of torch's DataLoader.
    """

    def __init__(self, dataset: Any, *, workers: int, **options: Any) -> None:
        self._workers = Workers() if workers else None
        super().__init__(
            dataset,
            num_workers=workers,
            multiprocessing_context=self._workers,
            # torch gives its workers handlers of its own after they have begun.
            worker_init_fn=ignore_stop_signals if workers else None,
            generator=torch.Generator(),  # its own: the run's random state must not depend on workers
            **options,
        )

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]
        """Batches; closing the iterator ends the workers."""
        batches = super().__iter__()
        try:
            yield from batches
        finally:
            if self._workers is not None and not self.persistent_workers:
                late = threading.Timer(_GRACE, self._workers.dismiss)
                late.daemon = True
                late.start()
                del batches  # torch tells its workers to end after the batch that they are at, and waits
                late.cancel()
                self._workers.end()


@contextmanager
def pool(
    count: int, *, obedient: bool = False, tasks_each: int | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes; an exception ends them in the middle of what they do.

    Spawned, not forked: a child must not inherit decoders' threads half alive. A spawned process runs the user's script
    again, as a module, unless that says ``if __name__ == "__main__"``; these do not, so no script needs to.

    Args:
        count: processes at a time.
        obedient: as of `Workers`; an exception then waits for them, until they have stopped as they were asked to.
        tasks_each: tasks after which a process is replaced by a fresh one; None for no limit.
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
    """End every worker that this thread started inside, on any way out."""
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
    """torch raises an error, wherever the main thread is, when a worker of a loader is killed."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@atexit.register  # after multiprocessing's own, hence run before it: that one waits for workers without a limit
def end_all() -> None:
    """End every worker of this process."""
    _end(list(_made))
