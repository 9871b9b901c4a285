"""Settings of CPU threads. Import this module before torch.

By default, OpenMP threads wait by spinning, and take the cores that data loader workers or other threads
need: with 2 cores, a step beside one busy process took seven times longer. Sleeping instead costs nothing
measurable. OpenMP reads the variable only once, when torch loads it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def threads_per_process(local_processes: int) -> int:
    """Compute the number of threads per process that shares this machine's usable cores evenly, 1 or more.

    Without this number, `accelerate launch` would set OMP_NUM_THREADS to 1 if the user has not set it, and
    torch would leave all other cores idle.

    Args:
        local_processes: Number of the run's processes on this machine.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // local_processes)
