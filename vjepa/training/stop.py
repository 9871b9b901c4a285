"""Being asked to stop: SIGTERM and SIGINT are noted, and the run stops at the next step."""

from __future__ import annotations

import signal
from types import FrameType

# What a shell sees of a run that saved and left because it was asked to (EX_TEMPFAIL: try again).
EXIT_STOPPED = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818  (not an error: the run can go on)
    """The run was asked to stop, saved a checkpoint, and left."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after step {step}, checkpoint saved; the same command goes on from there")
        self.step = step


class StopRequest:
    """Context in which the signals set a flag; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


def leave_signals_to_parent(_: int) -> None:
    """For the loader's workers: a signal to the whole group must not kill them before the parent has saved."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
