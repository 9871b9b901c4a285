"""Stop requests: SIGTERM, SIGINT (Ctrl-C), SIGHUP (a closed terminal) and the death of the launcher.

A run in training finishes the current step, saves a checkpoint and ends. At other times there is nothing to
save, and it ends at once. A second Ctrl-C ends it without saving. `answering_signals` handles the signals
from a command's first line to its last, and leaves no worker process behind.

Python runs signal handlers in the main thread, between two bytecodes, and a single one may take minutes in a
backward pass. Therefore a second thread, which the signal wakes, prints at once what will happen, and ends
the process if the main thread does not.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tqdm import tqdm

from vjepa.training.terminal import Terminal, launched
from vjepa.workers import STOP_SIGNALS, end_all, ended_after

EXIT_STOPPED = 75  # Exit status after a stop request; EX_TEMPFAIL means: try again.
EXIT_INTERRUPTED = 130  # Exit status after a second Ctrl-C; shells use it for processes ended by SIGINT.

_GRACE = 5.0  # Seconds in which the main thread must end if there is no step to finish.
_PATROL = 0.5  # Seconds between two checks of the launcher and the terminal.
_STARTED_BY = (os.getpid(), os.getppid())  # Read early: a launcher may die while libraries are imported.


class Stopped(BaseException):
    """A command ended because it was asked to stop; a run in training has saved a checkpoint.

    Attributes:
        step: Number of steps in the saved checkpoint; None if the run was not in training.
    """

    def __init__(self, step: int | None = None) -> None:
        super().__init__(
            "stopped"
            if step is None
            else f"stopped after step {step}, checkpoint saved; the same command goes on from there"
        )
        self.step = step

    def __reduce__(self) -> tuple[type[Stopped], tuple[int | None]]:
        return Stopped, (self.step,)  # Worker processes pickle it.


class StopRequest:
    """State of the stop requests to this process.

    Attributes:
        requested: Whether the process was asked to stop. Code inside `finishing` must read it and end.
    """

    def __init__(self) -> None:
        self.requested = False
        self._finishing: str | None = None
        self._raised = False  # Whether `Stopped` was raised; what then runs is the cleaning up.
        self._announced = False
        self._limit: tuple[float, int] | None = None  # Deadline of the process, and its exit status then.

    @contextmanager
    def finishing(self, what: str | None) -> Iterator[None]:
        """Let a first signal inside the block only set `requested`, instead of raising `Stopped`.

        Args:
            what: Name of what is finished before the process ends, for the message; None raises `Stopped`
                at once.
        """
        before, self._finishing = self._finishing, what
        try:
            yield
        finally:
            self._finishing = before

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handle a signal, in the main thread."""
        if self.requested:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return  # Schedulers send several signals.
        self.requested = True
        if self._finishing is None:
            self._raised = True
            raise Stopped

    def notice(self, number: int, cause: str) -> None:
        """Print what will happen; the second thread calls this before or after the main thread's handler.

        Args:
            number: Number of the signal, 0 for none.
            cause: What asked the process to stop, for the message.
        """
        if not self._announced and self._finishes_first():
            _say(f"{cause}: stopping after this {self._finishing}; a second Ctrl-C leaves without saving")
        elif not self._announced:
            _say(f"{cause}: stopping")
            self._limit = (time.monotonic() + _GRACE, EXIT_STOPPED)
        elif number == signal.SIGINT:
            _say(f"{cause}, the second: leaving")
            self._limit = (time.monotonic() + _GRACE, EXIT_INTERRUPTED)
        self._announced = True

    def _finishes_first(self) -> bool:
        return self._finishing is not None and not self._raised

    def leave_if_late(self) -> None:
        """End the process if its main thread has not done so by the deadline."""
        if self._limit is None or time.monotonic() < self._limit[0]:
            return
        status = self._limit[1]
        if status == EXIT_STOPPED and self._finishes_first():
            self._limit = None  # Meanwhile it has begun a step, which it finishes.
            return
        with suppress(Exception):
            end_all()
        os._exit(status)


class _Watch:
    """The second thread: signals wake it, and it regularly checks the launcher and the terminal.

    Args:
        request: Stop requests of this process, which the thread announces.
        owns_signals: Whether handlers of the signals are installed, which only the main thread can do.
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
        with suppress(OSError):  # If the socket is full of signals, the thread wakes up anyway.
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
    """Handle the signals until the end of the block, and end all workers that were started in it.

    A block inside another one shares its stop requests. Signals reach the main thread only: in another
    thread, a run is stopped by nothing but the death of its launcher.

    Yields:
        The stop requests of this process.

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
                # A signal must not interrupt the cleaning up.
                request._finishing = "command"
    finally:
        watch.close()
        _owners.request = None


@contextmanager
def _handlers(request: StopRequest, watch: _Watch) -> Iterator[None]:
    if not watch.owns_signals:
        yield
        return
    # A command that nohup started ignores SIGHUP, and must go on doing so.
    numbers = [n for n in STOP_SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    before_wakeup = signal.set_wakeup_fd(watch.wake.fileno(), warn_on_full_buffer=False)
    if watch.terminal is not None and watch.terminal.known:
        for job_control in (signal.SIGTSTP, signal.SIGCONT):
            before[job_control] = signal.signal(job_control, lambda *_: None)  # The second thread handles it.
    try:
        for number in numbers:
            signal.signal(number, request.handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_wakeup)


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Wrap the `main` of a command, so that signals and errors end it with a message and an exit status.

    The exit status is what `main` returns, 75 after a stop request, or 130 after a second Ctrl-C. An error
    that the user can fix prints a sentence on stderr and gives 2, or 1 if it showed in training
    (`vjepa.training.users_error`); all other errors keep their traceback. With ``--debug`` among its
    arguments, which `main` then does not see, every error does.
    """

    @functools.wraps(main)
    def owning(arguments: Sequence[str] | None = None) -> int:
        given = list(sys.argv[1:] if arguments is None else arguments)
        debug = "--debug" in given
        given = [argument for argument in given if argument != "--debug"]
        if isinstance(sys.stdout, io.TextIOWrapper):  # For paths that are not UTF-8; stderr does the same.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with answering_signals():
                return main(given)
        except Stopped as stopped:
            _say(str(stopped))
            return EXIT_STOPPED
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except Exception as error:
            if debug:
                raise
            # Not at the top of the file: it imports the trainer, which imports this module.
            from vjepa.training import users_error

            status = users_error.exit_status(error, main.__code__.co_filename)
            if status is None:
                raise
            users_error.print_error(error)
            return status

    return owning


def _say(message: str) -> None:
    """Print a line on stderr, on the main process only; a closed terminal is no error."""
    if os.environ.get("RANK", "0") == "0":
        with suppress(OSError):
            tqdm.write(message, file=sys.stderr)
            sys.stderr.flush()
