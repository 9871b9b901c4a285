"""Packages that only some uses of the library need."""

from __future__ import annotations

import importlib.util


def need_packages(use: str, *packages: str) -> None:
    """Raise ModuleNotFoundError where packages are not installed that a use of the library needs.

    The remedy names them one by one: an extra of this library can be installed from a clone only.

    Args:
        use: What needs the packages, in the singular.
        packages: Names of the packages, which are also the names of their modules.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        names, verb = " and ".join(missing), "is" if len(missing) == 1 else "are"
        raise ModuleNotFoundError(
            f"{use} needs {names}, which {verb} not installed: pip install {' '.join(missing)}"
        )
