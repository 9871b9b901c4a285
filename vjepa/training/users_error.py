"""Which errors end a command with a message for its user; all others are bugs and keep their traceback.

Messages for users are those of errors that the library's own code raises by a `raise` statement. A ValueError
from torch, numpy or an operator was not written for users, and its traceback tells where it came from.
"""

from __future__ import annotations

import opcode
import os
import sys
from pathlib import Path

from vjepa.config import ConfigError
from vjepa.data.dataset import NothingReadableError
from vjepa.data.remote import RemoteError
from vjepa.training.errors import NonFiniteError, SaveError
from vjepa.training.unreadable import UnreadableVideosError

EXIT_UNUSABLE = 2  # Exit status if settings, files or folders cannot be used as they are.
_IN_TRAINING = (NonFiniteError, SaveError, UnreadableVideosError, NothingReadableError, RemoteError)
_RAISE = opcode.opmap["RAISE_VARARGS"]
_LIBRARY = Path(__file__).resolve().parents[1]


def exit_status(error: BaseException, command: str | None = None) -> int | None:
    """Return the exit status of a command that ended by an error.

    Args:
        error: Error that ended the command.
        command: Path of the file with the command's `main`, whose own `raise` statements count as the
            library's; None if there is no such file.

    Returns:
        2 if arguments, settings or files cannot be used, 1 if the error showed in training, None for a bug.
    """
    if isinstance(error, _IN_TRAINING):
        return 1
    if isinstance(error, ConfigError):
        return EXIT_UNUSABLE
    # Python's message for a file that cannot be opened or written names the file and the reason.
    names_a_file = isinstance(error, OSError) and error.filename is not None
    worded = isinstance(error, ValueError | OSError | ImportError) and _was_raised_here(error, command)
    return EXIT_UNUSABLE if names_a_file or worded else None


def print_error(error: BaseException) -> None:
    """Print the message of an error on stderr; one that all processes raise is printed by the first."""
    if isinstance(error, ConfigError) and os.environ.get("RANK", "0") != "0":
        return
    name = type(error).__name__ if isinstance(error, RuntimeError) else "error"
    # The message of a worker's error follows the traceback of the worker.
    words = str(error)
    for worker_error in (NothingReadableError, RemoteError):
        words = words.rpartition(f"{worker_error.__name__}: ")[2]
    print(f"{name}: {words.strip()}", file=sys.stderr)


def _was_raised_here(error: BaseException, command: str | None) -> bool:
    """Return whether a `raise` statement of this library, or of the command, raised an error."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    ours = code.co_filename == command or _LIBRARY in Path(code.co_filename).resolve().parents
    return ours and code.co_code[trace.tb_lasti] == _RAISE
