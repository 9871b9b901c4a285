"""Several tasks at a time, each in a fresh process with its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")


def finishing(tasks: Sequence[Task], work: Callable[[Task], None], jobs: int) -> Iterator[Task]:
    """Tasks as they finish, `jobs` at a time; the first that fails stops the rest."""
    threads = str(max((os.cpu_count() or 1) // jobs, 1))
    os.environ["OMP_NUM_THREADS"] = threads  # read by torch in the processes that are started
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(work, task): task for task in tasks}
        try:
            for future in as_completed(running):
                future.result()
                yield running[future]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
