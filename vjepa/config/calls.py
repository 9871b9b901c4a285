"""Configurations given as arguments of a Python call, as a command line gives them to a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from vjepa.config.reading import ConfigError, config_from_tree, config_tree, read_config

Kind = TypeVar("Kind")


def config_of_call(
    config: Kind | str | Path | None,
    settings: Mapping[str, Any],
    kind: type[Kind],
    short: Mapping[str, str],
) -> Kind:
    """Return the configuration that a call describes, such as ``pretrain("debug", optim={"steps": 9})``.

    Args:
        config: A whole configuration; or the name or file of a recipe; or None, for the default settings.
        settings: Settings that override those of the recipe: nested dictionaries, as in YAML. Dictionaries
            are merged with the recipe's, all other values replace them. A dataset of Python may stand where
            the name of a list of videos does.
        kind: Dataclass of the configuration.
        short: Section to the key that is meant where a section is given a value that is no dictionary:
            ``{"data": "train"}`` for ``data="FOLDER"``.

    Raises:
        ConfigError: The settings are not valid, or are given beside a whole configuration.
    """
    if config is not None and not isinstance(config, str | Path):
        if settings:
            raise ConfigError(
                f"{', '.join(settings)} is given beside a whole configuration: give one of the two"
            )
        return config
    recipe = [] if config is None else ["--config", str(config)]
    tree = config_tree(cast(Any, read_config(recipe, kind)))
    return config_from_tree(_merged(tree, sections_of(settings, short)), kind)


def sections_of(settings: Mapping[str, Any], short: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a call as plain values, with short forms written out and paths as text.

    Args:
        settings: Settings of the call.
        short: Short forms, see `config_of_call`.
    """
    return {
        name: _plain({short[name]: value} if name in short and not isinstance(value, Mapping) else value)
        for name, value in settings.items()
    }


def option_names(settings: Mapping[str, Any], prefix: str = "--") -> list[str]:
    """Return the options of a command line that stand for settings: ``--optim.steps``, ..."""
    names = []
    for name, value in settings.items():
        names.append(prefix + name)
        if isinstance(value, Mapping):
            names += option_names(value, f"{prefix}{name}.")
    return names


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 2) < 2:  # numbers of numpy or torch
        return value.tolist()
    if isinstance(value, str) or not hasattr(value, "__getitem__"):
        return value
    from vjepa.data.python_datasets import name_dataset  # brings torch, which a configuration does without

    return name_dataset(value)


def _merged(tree: Any, settings: Any) -> Any:
    if not (isinstance(tree, dict) and isinstance(settings, dict)):
        return settings
    return {**tree, **{name: _merged(tree.get(name), value) for name, value in settings.items()}}
