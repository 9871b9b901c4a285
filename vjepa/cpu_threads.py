"""Threads on a CPU. Import this before torch.

OpenMP threads that wait by spinning take the very cores that the loader's workers, or the other threads, need:
on 2 cores a step beside one busy process became seven times slower. Sleeping instead costs nothing
measurable. The library reads the variable once, when torch loads it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def threads_per_process(local_processes: int) -> int:
    """Fair share of this machine's usable cores.

    `accelerate launch` sets OMP_NUM_THREADS to 1 where nobody has set it, so that torch would leave all other
    cores idle.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // local_processes)
