"""What one process of a run does alone, or some do longer than others, while the rest waits: for as long as
it takes.

A collective of torch gives up after a time (10 minutes with NCCL, 30 with gloo), which is right for a step
and wrong for a probe of an hour. Raising that limit would be wrong, too: a step that hangs would be noticed
an hour late, and a process that waits inside a collective hears no signal. So the others wait in Python here,
and look into the store through which torch's processes found each other. They leave soon where what they wait
for cannot come: the launcher that sees a process die sends the others SIGTERM, and a store that has gone with
its process is an error.
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

_LOOK = 0.2  # seconds between two looks into the store
_numbers = itertools.count()  # of the meetings; the same on every process, as all take part in each


def alone(accelerator: Accelerator, work: Callable[[], Result]) -> Result | None:
    """What `work` returns on the main process, and None on the others, which wait for it; each must call
    this.

    An exception of `work` is raised on all processes.
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
            raise pickle.loads(bytes.fromhex(failure.decode()))  # of our own main process
    # All have read it before the process that may hold the store goes on, and perhaps ends.
    accelerator.wait_for_everyone()
    return result


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until every process has come here, however long some take."""
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
            time.sleep(_LOOK)
    except dist.DistError as error:
        raise RuntimeError(
            "another process of the run has died, see its output; this one ends, too"
        ) from error


def _packed(error: BaseException) -> str:
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # whatever an exception of somebody's own may do
        packed = pickle.dumps(RuntimeError(f"the main process ended by {type(error).__name__}: {error}"))
    return packed.hex()
