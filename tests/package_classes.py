"""The public classes of a package, so that a contract test finds what is new."""

import importlib
import inspect
import pkgutil


def public_classes(package, without=()):
    """Return the classes that the modules of a package define, but for those of the modules in `without`."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name not in without]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return [
        kind
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and not name.startswith("_")
    ]
