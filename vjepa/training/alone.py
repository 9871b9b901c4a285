"""Waiting without a time limit, while one process works alone or some processes need longer than others.

A collective operation of torch times out (after 10 minutes with NCCL, 30 with gloo). That suits a step, but
not a probe that takes an hour. A longer timeout would not help: a step that hangs would be noticed an hour
late, and a process that waits inside a collective operation does not handle signals. Here the other processes
wait in Python instead, and poll the store through which torch's processes found each other. If a process
dies, they end soon: its launcher sends SIGTERM to the others, and a store that is gone raises an error.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable
from typing import TypeVar, cast

import torch.distributed as dist
from accelerate import Accelerator

Result = TypeVar("Result")

_POLL_INTERVAL = 0.2  # Seconds.
_numbers = itertools.count()  # One for each call; equal on all processes, since each makes all calls.


def alone(accelerator: Accelerator, work: Callable[[], Result]) -> Result | None:
    """Call `work` on the main process, while the others wait; every process must call this.

    An exception in `work` is raised on all processes.

    Returns:
        The result of `work` on the main process, None on the others.
    """
    if accelerator.num_processes == 1:
        return work()
    store, key = _store(), f"vjepa/alone/{next(_numbers)}"
    result = None
    if accelerator.is_main_process:
        try:
            result = work()
        except BaseException as error:
            store.set(key, _packed(error))
            raise
        store.set(key, "")
    else:
        _wait(lambda: store.check([key]))
        if failure := store.get(key):
            raise pickle.loads(bytes.fromhex(failure.decode()))  # It comes from this run's main process.
    # The process that holds the store may end only after all have read the result.
    accelerator.wait_for_everyone()
    return result


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until every process has made this call, without a time limit."""
    if accelerator.num_processes > 1:
        store, key = _store(), f"vjepa/all/{next(_numbers)}"
        store.add(key, 1)
        _wait(lambda: store.add(key, 0) == accelerator.num_processes)
    accelerator.wait_for_everyone()


def _store() -> dist.Store:
    return cast(dist.Store, dist.distributed_c10d._get_default_store())


def _wait(done: Callable[[], bool]) -> None:
    try:
        while not done():
            time.sleep(_POLL_INTERVAL)
    except dist.DistError as error:
        raise RuntimeError("another process of the run died, see its output; this one ends, too") from error


def _packed(error: BaseException) -> str:
    """Return an exception as text; one that cannot be pickled becomes a RuntimeError with its message."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # Exceptions of other libraries may fail to pickle in any way.
        packed = pickle.dumps(RuntimeError(f"the main process ended by {type(error).__name__}: {error}"))
    return packed.hex()
