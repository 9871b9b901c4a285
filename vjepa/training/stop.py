"""Being asked to stop: by SIGTERM, SIGINT (Ctrl-C), SIGHUP (the terminal was closed), or the death of the
launcher.

A run that takes steps ends after the step that is running, and saves; anywhere else there is nothing to save,
and it ends at once. A second Ctrl-C ends it without saving. `answering_signals` is the one owner of signals,
from a command's first line to its last, and leaves no worker process behind.

Python runs a signal handler in the main thread between two bytecodes, and a backward pass may be minutes of a
single one. So a thread, which the signal itself wakes, says at once what will happen, and ends the process
where the main thread does not.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tqdm import tqdm

from vjepa.training.terminal import Terminal, launched
from vjepa.workers import STOP_SIGNALS, end_all, ended_after

# What a shell sees of a run that saved and left because it was asked to (EX_TEMPFAIL: try again).
EXIT_STOPPED = 75
EXIT_INTERRUPTED = 130  # as shells have it for a process that SIGINT ended

_GRACE = 5.0  # seconds that the main thread has to leave where there is no step to finish
_PATROL = 0.5  # seconds between two looks at the launcher and the terminal
_STARTED_BY = (os.getpid(), os.getppid())  # early: a launcher may die while libraries are imported


class Stopped(BaseException):
    """A command was asked to stop and left; a run that was training has saved a checkpoint.

    Attributes:
        step: After which the checkpoint was saved; None where no step was running.
    """

    def __init__(self, step: int | None = None) -> None:
        super().__init__(
            "stopped"
            if step is None
            else f"stopped after step {step}, checkpoint saved; the same command goes on from there"
        )
        self.step = step

    def __reduce__(self) -> tuple[type[Stopped], tuple[int | None]]:
        return Stopped, (self.step,)  # it travels between processes


class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        requested: Read by whoever finishes something first, inside `finishing`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._finishing: str | None = None
        self._told = False
        self._limit: tuple[float, int] | None = None  # when the process must have ended, and its status then

    @contextmanager
    def finishing(self, what: str | None) -> Iterator[None]:
        """Inside, a first signal only sets `requested`, and the message says that `what` is finished
        first.
        """
        before, self._finishing = self._finishing, what
        try:
            yield
        finally:
            self._finishing = before

    def handle(self, number: int, _: FrameType | None) -> None:
        """The signals' handler, in the main thread."""
        if self.requested:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return  # schedulers send several
        self.requested = True
        if self._finishing is None:
            raise Stopped

    def notice(self, number: int, cause: str) -> None:
        """Say what will happen.

        Called by the thread, before the main thread comes to its handler or after.
        """
        if not self._told and self._finishing is not None:
            _say(f"{cause}: stopping after this {self._finishing}; a second Ctrl-C leaves without saving")
        elif not self._told:
            _say(f"{cause}: stopping")
            self._limit = (time.monotonic() + _GRACE, EXIT_STOPPED)
        elif number == signal.SIGINT:
            _say(f"{cause}, the second: leaving")
            self._limit = (time.monotonic() + _GRACE, EXIT_INTERRUPTED)
        self._told = True

    def leave_if_late(self) -> None:
        """End the process where its main thread should have ended it by now."""
        if self._limit is None or time.monotonic() < self._limit[0]:
            return
        status = self._limit[1]
        if status == EXIT_STOPPED and self._finishing is not None:
            self._limit = None  # it has come to a step meanwhile, and finishes it
            return
        with suppress(Exception):
            end_all()
        os._exit(status)


class _Watch:
    """The thread: woken by signals, it also looks at the launcher and the terminal now and then.

    Args:
        request: What it tells.
        owns_signals: Whether the signals have handlers, as they can have in the main thread alone.
    """

    def __init__(self, request: StopRequest, owns_signals: bool) -> None:
        self.request = request
        self.owns_signals = owns_signals
        self.terminal = Terminal() if owns_signals else None
        self.wake, self._woken = socket.socketpair()
        self.wake.setblocking(False)
        self._woken.setblocking(False)
        self._parent = _STARTED_BY[1] if _STARTED_BY[0] == os.getpid() else os.getppid()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        with suppress(OSError):  # full of signals, it wakes up anyway
            self.wake.send(b"\0")
        self._thread.join()
        self.wake.close()
        self._woken.close()
        if self.terminal is not None:
            self.terminal.close()

    def _run(self) -> None:
        orphaned = False
        while not self._ended:
            if self.terminal is not None:
                self.terminal.take()
            if not orphaned and self._parent_died():
                orphaned = True
                self._stop_orphan()
            if select.select([self._woken], [], [], _PATROL)[0]:
                for number in self._woken.recv(64):
                    self._on(number)
            self.request.leave_if_late()

    def _on(self, number: int) -> None:
        if number in STOP_SIGNALS:
            self.request.notice(number, signal.Signals(number).name)
        elif self.terminal is not None and number == signal.SIGTSTP:
            self.terminal.suspend()
        elif self.terminal is not None and number == signal.SIGCONT:
            self.terminal.resume()

    def _parent_died(self) -> bool:
        maker = multiprocessing.parent_process()
        if maker is not None:
            return not maker.is_alive()
        return launched() and os.getppid() != self._parent

    def _stop_orphan(self) -> None:
        self.request.notice(0, "the process that started this one has died")
        if self.owns_signals:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.request.requested = True


_owners = threading.local()


@contextmanager
def answering_signals() -> Iterator[StopRequest]:
    """Own the signals until the end of the block, and end all workers that were started in it.

    Inside another such block, it is that one's. Signals reach the main thread alone: in another thread, a run
    is stopped by the death of what launched it, and by nothing else.

    Raises:
        Stopped: Inside the block, at the first signal, outside `StopRequest.finishing`.
        KeyboardInterrupt: Inside the block, at a SIGINT after the first signal.
    """
    outer: StopRequest | None = getattr(_owners, "request", None)
    if outer is not None:
        yield outer
        return
    _owners.request = request = StopRequest()
    watch = _Watch(request, threading.current_thread() is threading.main_thread())
    try:
        with _handlers(request, watch), ended_after():
            try:
                yield request
            finally:
                # From here on nothing may interrupt what is cleared away.
                request._finishing = "command"
    finally:
        watch.close()
        _owners.request = None


@contextmanager
def _handlers(request: StopRequest, watch: _Watch) -> Iterator[None]:
    if not watch.owns_signals:
        yield
        return
    # SIGHUP is ignored by those whom nohup started.
    numbers = [n for n in STOP_SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    before_wakeup = signal.set_wakeup_fd(watch.wake.fileno(), warn_on_full_buffer=False)
    if watch.terminal is not None and watch.terminal.known:
        for job_control in (signal.SIGTSTP, signal.SIGCONT):
            before[job_control] = signal.signal(job_control, lambda *_: None)  # the thread does it
    try:
        for number in numbers:
            signal.signal(number, request.handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_wakeup)


def command(main: Callable[..., int]) -> Callable[..., int]:
    """A command's `main`, which owns the signals, and whose exit status says how it ended.

    That is what `main` returns; 75 where it was asked to stop; 130 where it was interrupted; where its user
    can mend what is wrong, a sentence on stderr and 2, or 1 where it showed in training
    (`vjepa.training.users_error`).
    """

    @functools.wraps(main)
    def owning(*args: Any, **kwargs: Any) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):  # paths need not be UTF-8; as stderr does
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with answering_signals():
                return main(*args, **kwargs)
        except Stopped as stopped:
            _say(str(stopped))
            return EXIT_STOPPED
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except Exception as error:
            from vjepa.training import (
                users_error,  # it knows the trainer, which asks this module whether to stop
            )

            status = users_error.exit_status(error, main.__code__.co_filename)
            if status is None:
                raise
            users_error.print_error(error)
            return status

    return owning


def _say(message: str) -> None:
    """Print a line on stderr, from the first of several processes; a terminal that has gone hears nothing."""
    if os.environ.get("RANK", "0") == "0":
        with suppress(OSError):
            tqdm.write(message, file=sys.stderr)
            sys.stderr.flush()
