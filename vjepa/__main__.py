"""The command ``vjepa``, also ``python -m vjepa``: it runs a command of `vjepa.commands` by its name.

With several processes, ``accelerate launch -m vjepa pretrain --config quickstart`` starts each of them.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from vjepa import __version__, commands

_USAGE = """usage: vjepa COMMAND [arguments]

{commands}

`vjepa COMMAND --help` describes a command with its arguments; `vjepa --version` prints the version. An error
that can be mended is said in a sentence; with `--debug`, any command shows its traceback, too. Several
processes are started with `accelerate launch -m vjepa COMMAND [arguments]`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named command with the remaining arguments, and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_USAGE.format(commands=_listed()))
        return 0 if given else 2
    if given[0] == "--version":
        print(f"vjepa {__version__}")
        return 0
    name = given[0].replace("-", "_")
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names())}"
        print(f"error: '{given[0]}' is no command of vjepa: {remedy}", file=sys.stderr)
        return 2
    sys.argv[0] = f"vjepa {name}"  # what usage messages name
    status: int = importlib.import_module(f"vjepa.commands.{name}").main(given[1:])
    return status


def names() -> list[str]:
    """Return the names of all commands."""
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def _listed() -> str:
    """Return a line for each command: its name and what it does, read without importing torch."""
    folder = Path(commands.__path__[0])
    texts = {name: ast.parse((folder / f"{name}.py").read_text("utf-8")) for name in names()}
    width = max(map(len, texts))
    return "\n".join(
        f"  {name:{width}}  {(ast.get_docstring(text) or '').splitlines()[0].rstrip('.')}"
        for name, text in texts.items()
    )


if __name__ == "__main__":
    sys.exit(main())
