"""Parallel runs, each in a fresh process with an equal share of the CPU cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from typing import TypeVar

from vjepa.config import ConfigError
from vjepa.cpu_threads import threads_per_process
from vjepa.training.stop import Stopped, answering_signals
from vjepa.training.users_error import EXIT_UNUSABLE, exit_status
from vjepa.workers import pool

Task = TypeVar("Task")

_CHECK_SECONDS = 0.5  # Time between two checks whether a stop was requested.


def run_tasks(tasks: Sequence[Task], work: Callable[[Task], None], jobs: int) -> Iterator[Task]:
    """Run tasks in fresh processes, and yield each task when it has finished.

    An error in a task, or a signal, stops all others: runs finish their current step and save a checkpoint.

    Args:
        tasks: Tasks, which must be picklable, as `work` must.
        work: Function that carries out a task.
        jobs: Number of tasks that run at the same time.

    Raises:
        Stopped: The process was asked to stop.
        ConfigError: A task found settings, files or folders that cannot be used.
        Exception: A task failed with any other error, which is raised unchanged.
    """
    with (
        _threads(threads_per_process(jobs)),
        answering_signals() as request,
        request.finishing("step of every run"),
        pool(jobs, obedient=True, tasks_each=1) as executor,
    ):
        running = {executor.submit(_run, work, task): task for task in tasks}
        left = set(running)
        while left:
            done, left = wait(left, _CHECK_SECONDS, FIRST_COMPLETED)
            if request.requested:
                raise Stopped
            for future in done:
                future.result()
                yield running[future]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let processes that are started meanwhile compute with this number of threads; torch reads it there."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(number)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _run(work: Callable[[Task], None], task: Task) -> None:
    try:
        with answering_signals():
            work(task)
    except Exception as error:
        # Whether an error is a bug depends on where it was raised, which the parent process, which prints the
        # error, does not know. It is therefore decided here.
        if exit_status(error) == EXIT_UNUSABLE:
            raise ConfigError(str(error)) from error
        raise
