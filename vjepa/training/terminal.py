"""Control of the terminal, so that Ctrl-C reaches the run but not the launcher that waits for it.

A terminal sends Ctrl-C to every process of its foreground group. accelerate's launcher of a single process
(accelerate 1.15, commands/launch.py, `simple_launcher`) waits with `Popen.wait`, which gives up a quarter of
a second after a KeyboardInterrupt: the prompt would return while the run still finishes its step and saves.
Therefore the run moves to a process group of its own and makes it the foreground group. It hands the terminal
back when it ends or is suspended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress

# Variables that only accelerate's launcher (accelerate 1.15, utils/launch.py) and torchrun set.
_ACCELERATE, _TORCHRUN = "ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"


def launched() -> bool:
    """Return whether a launcher started this process and waits for it."""
    own = multiprocessing.parent_process() is None
    return own and (_ACCELERATE in os.environ or _TORCHRUN in os.environ)


class Terminal:
    """The terminal of a run that accelerate's launcher of a single process started.

    In any other run all methods do nothing. torchrun needs no such treatment: it forwards signals to its
    processes, and waits for them.

    Attributes:
        home: Process group of the launcher; -1 if there is no terminal to control.
    """

    def __init__(self) -> None:
        self.home = -1
        self._file = -1
        self._taken = False
        self._suspended = False
        if launched() and _TORCHRUN not in os.environ and hasattr(os, "tcsetpgrp"):
            with suppress(OSError):  # A batch job has no terminal.
                self._file = os.open("/dev/tty", os.O_RDWR)
                self.home = os.getpgrp()

    @property
    def known(self) -> bool:
        """Whether there is a terminal whose Ctrl-C must not reach the launcher."""
        return self._file >= 0 and self.home != os.getpid()

    def take(self) -> None:
        """Move this process to a group of its own in the foreground, if the launcher's group is there now."""
        if not self.known or self._taken or self._suspended:
            return
        with suppress(OSError):  # The terminal may have been closed.
            if os.tcgetpgrp(self._file) == self.home:
                os.setpgid(0, 0)
                self._taken = True
                self._to_front(os.getpid())

    def give_back(self) -> None:
        """Join the launcher's group again, and put it in the foreground if this process's group is there."""
        if not self._taken:
            return
        self._taken = False
        with suppress(OSError):
            if os.tcgetpgrp(self._file) == os.getpid():
                self._to_front(self.home)
        with suppress(OSError):  # The group is gone if its other processes have ended.
            os.setpgid(0, self.home)

    def suspend(self) -> None:
        """Handle Ctrl-Z: stop the launcher's group, this process included, so that the shell sees a stopped
        job.

        The call may return before or after the stop, which another thread may receive. `resume` must be
        called after SIGCONT; until then `take` does nothing.
        """
        self._suspended = True
        self.give_back()
        self._to_workers(signal.SIGSTOP)
        os.killpg(self.home, signal.SIGSTOP)

    def resume(self) -> None:
        """Handle SIGCONT: the shell has woken the launcher's group.

        Wake the workers, which are in another.
        """
        self._suspended = False
        self._to_workers(signal.SIGCONT)

    def _to_workers(self, number: int) -> None:
        """Send a signal to the group that `take` made; this process has left it, its workers have not."""
        with suppress(OSError):  # There may be no workers.
            os.killpg(os.getpid(), number)

    def close(self) -> None:
        """Hand the terminal back, and close it."""
        self.give_back()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _to_front(self, group: int) -> None:
        # tcsetpgrp stops a process of a background group, unless it blocks or ignores SIGTTOU.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(self._file, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
