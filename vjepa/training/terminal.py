"""Ctrl-C goes to the run, not to the launcher that waits for it.

A terminal sends Ctrl-C to every process of its foreground group. accelerate's launcher of a single process
(accelerate 1.15, commands/launch.py, `simple_launcher`) waits with `Popen.wait`, which gives up a quarter of
a second after a KeyboardInterrupt: the prompt returns while the run, which wants to finish its step and save,
goes on behind it. So the run makes a group of its own the foreground group, and hands the terminal back when
it ends or is suspended. The launcher then waits, as it should.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress

# What only accelerate's launcher sets (accelerate 1.15, utils/launch.py), and what torchrun sets.
_ACCELERATE, _TORCHRUN = "ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"


def launched() -> bool:
    """Whether a launcher started this process and waits for it."""
    own = multiprocessing.parent_process() is None
    return own and (_ACCELERATE in os.environ or _TORCHRUN in os.environ)


class Terminal:
    """The terminal of a run that accelerate's launcher of a single process started; None elsewhere does
    nothing.

    torchrun, which starts several, is no case: it hands signals on to its processes, and waits for them.
    """

    def __init__(self) -> None:
        self.home = -1  # the group of processes to which the launcher belongs
        self._file = -1
        self._taken = False
        self._suspended = False
        if launched() and _TORCHRUN not in os.environ and hasattr(os, "tcsetpgrp"):
            # There is no terminal in a batch job.
            with suppress(OSError):
                self._file = os.open("/dev/tty", os.O_RDWR)
                self.home = os.getpgrp()

    @property
    def known(self) -> bool:
        """Whether there is a terminal that a launcher must not be told of Ctrl-C by."""
        return self._file >= 0 and self.home != os.getpid()

    def take(self) -> None:
        """Move to the foreground in a group of our own, if the launcher's group is there.

        In the background, nothing.
        """
        if not self.known or self._taken or self._suspended:
            return
        with suppress(OSError):  # it was closed
            if os.tcgetpgrp(self._file) == self.home:
                os.setpgid(0, 0)
                self._taken = True
                self._to_front(os.getpid())

    def give_back(self) -> None:
        """Join the launcher's group again, and make it the foreground group if ours is."""
        if not self._taken:
            return
        self._taken = False
        with suppress(OSError):
            if os.tcgetpgrp(self._file) == os.getpid():
                self._to_front(self.home)
        with suppress(OSError):  # all others of that group may have ended
            os.setpgid(0, self.home)

    def suspend(self) -> None:
        """Ctrl-Z: stop the launcher's group with this process in it, so that the shell sees its job stopped.

        It returns before or after the stop: another thread may be the one that receives it. `resume` must
        follow SIGCONT, and `take` nothing before.
        """
        self._suspended = True
        self.give_back()
        self._to_workers(signal.SIGSTOP)
        os.killpg(self.home, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT came: the shell woke the launcher's group; wake our workers, which are in another."""
        self._suspended = False
        self._to_workers(signal.SIGCONT)

    def _to_workers(self, number: int) -> None:
        """To the group of our own, which this process has left."""
        with suppress(OSError):  # there are none
            os.killpg(os.getpid(), number)

    def close(self) -> None:
        """Hand the terminal back for good."""
        self.give_back()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _to_front(self, group: int) -> None:
        # A process of a background group that does this is stopped, unless it blocks or ignores this signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(self._file, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
