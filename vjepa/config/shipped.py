"""The configurations that come with the library, found by their names.

``--config quickstart`` is configs/pretrain/quickstart.yaml of a clone. An installed package has the same
files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_folder() -> Path:
    """Return the folder of the configurations: that of the installed package, or that of the clone."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments in which each ``--config NAME`` has the path of its file."""
    found = list(arguments)
    for number, argument in enumerate(found):
        if argument == "--config" and number + 1 < len(found):
            found[number + 1] = find_config(found[number + 1])
        elif argument.startswith("--config="):
            found[number] = "--config=" + find_config(argument.removeprefix("--config="))
    return found


def find_config(name: str) -> str:
    """Return the path of a configuration file.

    Args:
        name: Path of a file, which is returned as it is; or the name of a configuration that comes with the
            library: ``quickstart``, ``pretrain/quickstart`` or ``configs/pretrain/quickstart.yaml``. A name
            that is neither is returned as it is.

    Raises:
        ValueError: Several configurations have this name.
    """
    if Path(name).is_file():
        return name
    wanted = Path(name.removesuffix(".yaml")).parts
    if wanted[:1] == ("configs",):
        wanted = wanted[1:]
    folder = shipped_folder()
    names = {path: path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.yaml"))}
    found = [path for path, parts in names.items() if wanted and parts[-len(wanted) :] == wanted]
    if len(found) > 1:
        listed = ", ".join("/".join(names[path]) for path in found)
        raise ValueError(f"--config {name} stands for several configurations: give one of {listed}")
    return str(found[0]) if found else name
