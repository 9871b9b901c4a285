"""How fast steps are taken, which process waits for its data, and where a step hangs."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

import torch
from accelerate import Accelerator

from vjepa.profiling.timing import resident_bytes

T = TypeVar("T")

_REARM = 1.0  # Seconds between two postponements, so that fast steps do not pay for them.


class Pace:
    """Measures the speed of a run between two logged steps.

    Args:
        accelerator: Accelerator of the run.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._clips = 0
        self._waited = 0.0
        self._clock = time.perf_counter()

    def start(self) -> None:
        """Begin to measure."""
        self._clips, self._waited, self._clock = 0, 0.0, time.perf_counter()

    def next_of(self, batches: Iterator[T]) -> T:
        """Return the next batch, and count the time for which this process waits for it."""
        began = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - began
        return batch

    def count(self, clips: int) -> None:
        """Count the clips of this process's part of a step."""
        self._clips += clips * self.accelerator.num_processes

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside the block out of the measure."""
        began = time.perf_counter()
        yield
        self._clock += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        """Return the measures since the last call; every process must call this.

        Returns:
            ``clips_per_second`` of all processes together, and ``data_wait``, the share of the time in which
            a process waited for its next batch, mean over the processes. With several processes also
            ``data_wait_most``, the share of the process that waited most, and ``data_wait_process``, its
            number: the others wait for it in every step. ``memory_gb`` is the most memory that this process
            has taken so far: of its GPU, or resident in the machine, where that is reported.
        """
        passed = max(time.perf_counter() - self._clock, 1e-9)
        measures = {"clips_per_second": self._clips / passed}
        share = torch.tensor([self._waited / passed], device=self.accelerator.device)
        shares = share.tolist()
        if self.accelerator.num_processes > 1:
            shares = self.accelerator.gather(share).tolist()
        measures["data_wait"] = sum(shares) / len(shares)
        if len(shares) > 1:
            most = max(range(len(shares)), key=shares.__getitem__)
            measures |= {"data_wait_most": shares[most], "data_wait_process": most}
        memory = _most_memory(self.accelerator.device)
        if memory is not None:
            measures["memory_gb"] = memory / 1e9
        self.start()
        return measures


def _most_memory(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resident_bytes("VmHWM") if device.type == "cpu" else None


class HangWatch:
    """Prints the stacks of all threads of this process while no step ends, as a context manager.

    The stacks are printed by a thread of the interpreter's own, `faulthandler`, so that they appear even if
    Python's threads stand still, as in a collective operation that another process never enters.

    Args:
        minutes: Minutes without the end of a step after which stacks are printed, again and again. None
            prints none.
        file: File to print to; it must be one of the operating system. None takes the process's stderr.
    """

    def __init__(self, minutes: float | None, file: TextIO | None = None) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.file = file or sys.__stderr__
        self._armed = 0.0

    def __enter__(self) -> HangWatch:
        self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        if self.seconds is not None:
            faulthandler.cancel_dump_traceback_later()

    def step_ended(self) -> None:
        """Begin to wait for the next step."""
        if self.seconds is not None and time.monotonic() - self._armed > min(_REARM, self.seconds / 4):
            self._arm()

    def _arm(self) -> None:
        if self.seconds is not None and self.file is not None:
            faulthandler.dump_traceback_later(self.seconds, repeat=True, file=self.file)
            self._armed = time.monotonic()
