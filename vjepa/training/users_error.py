"""Errors that a user can mend end a command with a sentence; all others keep their traceback, since they are
bugs.

What the library says to its users are errors that its own code raises on purpose, by a `raise` statement. A
ValueError that comes out of torch, numpy or an operator was not written for a user, and where it came from
matters.
"""

from __future__ import annotations

import opcode
import os
import sys
from pathlib import Path

from vjepa.config import ConfigError
from vjepa.data.dataset import NothingReadableError
from vjepa.training.trainer import NonFiniteError, SaveError
from vjepa.training.unreadable import UnreadableVideosError

EXIT_UNUSABLE = 2  # settings, files or folders that cannot be used as they are
_RAISE = opcode.opmap["RAISE_VARARGS"]
_LIBRARY = Path(__file__).resolve().parents[1]


def exit_status(error: BaseException, command: str | None = None) -> int | None:
    """The exit status of a command that ended by an error that its user can mend, or None where it ended by a
    bug.

    Args:
        error: What ended it.
        command: Path of the file with the command's `main`, whose own errors are written for its users, too;
            None if there is none.

    Returns:
        2 for arguments, settings and files that cannot be used, 1 for what showed while a run was training.
    """
    if isinstance(error, NonFiniteError | SaveError | UnreadableVideosError | NothingReadableError):
        return 1
    if isinstance(error, ConfigError):
        return EXIT_UNUSABLE
    # Python's own words for a file that cannot be opened or written name it, and say why.
    names_a_file = isinstance(error, OSError) and error.filename is not None
    worded = isinstance(error, ValueError | OSError | ImportError) and _was_raised_here(error, command)
    return EXIT_UNUSABLE if names_a_file or worded else None


def print_error(error: BaseException) -> None:
    """The error's own words on stderr; what all processes know, the first of them says."""
    if isinstance(error, ConfigError) and os.environ.get("RANK", "0") != "0":
        return
    name = type(error).__name__ if isinstance(error, RuntimeError) else "error"
    # A worker's error comes behind its traceback.
    words = str(error).rpartition(f"{NothingReadableError.__name__}: ")[2]
    print(f"{name}: {words.strip()}", file=sys.stderr)


def _was_raised_here(error: BaseException, command: str | None) -> bool:
    """Whether a `raise` statement of this library, or of the command, made it."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    ours = code.co_filename == command or _LIBRARY in Path(code.co_filename).resolve().parents
    return ours and code.co_code[trace.tb_lasti] == _RAISE
