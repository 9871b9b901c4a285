"""Configurations given as arguments of a Python call, as a command line gives them to a command."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from vjepa.config.reading import (
    ConfigError,
    config_from_tree,
    config_tree,
    read_config,
    settings_from_tree,
)

Kind = TypeVar("Kind")


class CallForms(NamedTuple):
    """What a call may give in place of plain settings.

    Attributes:
        short: Section to the key that is meant where a section is given a value without keys:
            ``{"data": "train"}`` for ``data="FOLDER"``.
        videos: Keys whose value is a list of videos, in place of which a dataset of Python may be given.
    """

    short: Mapping[str, str]
    videos: Collection[str] = ()


def config_of_call(
    config: Kind | str | Path | None, settings: Mapping[str, Any], kind: type[Kind], forms: CallForms
) -> Kind:
    """Return the configuration that a call describes, such as ``pretrain("debug", optim={"steps": 9})``.

    Args:
        config: A whole configuration; or the name or file of a recipe; or None, for the default settings.
        settings: Settings that override those of the recipe: nested dictionaries, as in YAML, or sections as
            objects. Dictionaries are merged with the recipe's, all other values replace them.
        kind: Dataclass of the configuration.
        forms: What else the call may give.

    Raises:
        ConfigError: The settings are not valid, or are given beside a whole configuration.
        TypeError: What is given as videos is no dataset.
    """
    if isinstance(config, kind):
        if settings:
            raise ConfigError(
                f"{', '.join(settings)} is given beside a whole configuration: give one of the two"
            )
        return config
    if config is not None and not isinstance(config, str | Path):
        raise ConfigError(
            f"the configuration is of type {type(config).__name__}: give the name or the file of a recipe, a "
            f"{kind.__name__}, or settings by their names, such as seed=1"
        )
    recipe = [] if config is None else ["--config", str(config)]
    tree = config_tree(cast(Any, read_config(recipe, kind)))
    return config_from_tree(_merged(tree, sections_of(settings, forms)), kind)


def settings_of_call(settings: Mapping[str, Any], kind: type, forms: CallForms) -> dict[str, Any]:
    """Return the settings of a call on top of the defaults, without a check of the rules between settings.

    For arguments and errors see `config_of_call`.
    """
    tree = config_tree(cast(Any, read_config([], kind)))
    return settings_from_tree(_merged(tree, sections_of(settings, forms)), kind)


def sections_of(settings: Mapping[str, Any], forms: CallForms) -> dict[str, Any]:
    """Return the settings of a call as plain values, with short forms written out and paths as text.

    Args:
        settings: Settings of the call.
        forms: What the call may give in place of plain settings.
    """
    names: dict[int, str] = {}  # of the datasets of this call, by their identity
    sections = {}
    for name, value in settings.items():
        if name in forms.short and not _is_section(value):
            value = {forms.short[name]: value}
        sections[name] = _plain(value, name, forms.videos, names)
    return sections


def _is_section(value: Any) -> bool:
    is_object = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return isinstance(value, Mapping) or (is_object and not hasattr(value, "__getitem__"))  # as a dataset has


def _plain(value: Any, key: str, videos: Collection[str], names: dict[int, str]) -> Any:
    if dataclasses.is_dataclass(value) and _is_section(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(part, f"{key}.{name}", videos, names) for name, part in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 2) < 2:  # numbers of numpy or torch
        return value.tolist()
    if key in videos and value is not None and not _is_text(value):
        return _named(value, key, names)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(part, key, (), names) for part in value]
    return value


def _is_text(value: Any) -> bool:
    """Return whether a value is a text, or a list of texts and paths: it names lists of videos."""
    if isinstance(value, list | tuple):
        return all(isinstance(part, str | os.PathLike) for part in value)
    return isinstance(value, str)


def _named(dataset: Any, key: str, names: dict[int, str]) -> str:
    """Return the name of a dataset, which is the same for all keys of a call that have it."""
    from vjepa.data.python_datasets import name_dataset  # brings torch, which a configuration does without

    if id(dataset) not in names:
        names[id(dataset)] = name_dataset(dataset, key)
    return names[id(dataset)]


def _merged(tree: Any, settings: Any) -> Any:
    if not (isinstance(tree, dict) and isinstance(settings, dict)):
        return settings
    return {**tree, **{name: _merged(tree.get(name), value) for name, value in settings.items()}}
