"""Reading a configuration from YAML files and the command line, and writing it.

    --config quickstart --config my_changes.yaml --optim.lr 5e-4

A YAML file overrides the defaults, later files override earlier ones, and ``--section.key value`` overrides
them all. Unknown keys and wrong types are errors. ``--print_config`` prints the resulting configuration as
YAML, which ``--config`` reads back.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import itertools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import yaml
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from vjepa.config.shipped import with_paths
from vjepa.foreign_text import one_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind")
Result = TypeVar("Result")

_PRINT = "--print_config"


class ConfigError(ValueError):
    """A configuration that cannot be read; the message names the key, its value and the remedy."""


def _files(arguments: Sequence[str]) -> Iterator[str]:
    """Iterate over the configuration files named in the arguments."""
    for first, second in itertools.pairwise([*arguments, ""]):
        if first.split("=", 1)[0] == "--config":
            yield first.removeprefix("--config=") if "=" in first else second


def files_alone(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that name configuration files, without the settings given beside them."""
    return [f"--config={file}" for file in _files(arguments)]


def read_config(
    arguments: Sequence[str],
    kind: type[Kind],
    description: str | None = None,
    others: Mapping[str, type] = MappingProxyType({}),
) -> Kind:
    """Read a configuration from command-line arguments.

    Args:
        arguments: Command-line arguments, without the program's name.
        kind: Dataclass of the configuration.
        description: Text that opens ``--help``.
        others: Classes of other configurations by the tool that reads them; the message on an unknown key
            names the tool that has this key.

    Raises:
        ConfigError: The arguments, or the files that they name, are not a valid configuration.
        SystemExit: The arguments ask for help, or, by ``--print_config``, for the configuration alone.
    """
    config = _read(lambda given: _parse(given, kind, description), arguments, kind, others)
    if _PRINT in arguments:
        print(_yaml(config), end="")
        raise SystemExit(0)
    return config


def read_settings(
    arguments: Sequence[str], kind: type, others: Mapping[str, type] = MappingProxyType({})
) -> dict[str, Any]:
    """Read nested settings from command-line arguments, without a check of the rules between settings.

    For arguments, defaults and errors see `read_config`.
    """
    return _read(lambda given: _values(given, kind, _parser(kind)).as_dict(), arguments, kind, others)


def _read(
    read: Callable[[Sequence[str]], Result], arguments: Sequence[str], kind: type, others: Mapping[str, type]
) -> Result:
    _refuse_bytes(arguments)
    try:
        arguments = with_paths(arguments)
        return read(arguments)
    except READING_ERRORS as error:
        explained = _explain(str(error), kind, others)
        raise ConfigError(_faulty_file(arguments, str(error), kind) + explained) from error


READING_ERRORS = (ArgumentError, ValueError, TypeError, yaml.YAMLError)


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Raise ConfigError where an argument is not UTF-8: a config.yaml with it could not be written."""
    for argument in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise ConfigError(
                f"the argument '{one_line(argument)}' has bytes that are no UTF-8: rename the file, or give "
                "it by a link"
            )


def config_from_tree(tree: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """Build a configuration from nested dictionaries, such as `config_tree` returns.

    Raises:
        ConfigError: The dictionaries are not a valid configuration.
    """
    return _read_tree(lambda parser: kind(**_sections(parser, parser.parse_object(dict(tree)))), tree, kind)


def settings_from_tree(tree: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return nested dictionaries as `read_settings` does, with the rules between settings unchecked.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type.
    """
    return _read_tree(lambda parser: parser.parse_object(dict(tree)).as_dict(), tree, kind)


def _read_tree(read: Callable[[ArgumentParser], Result], tree: Mapping[str, Any], kind: type) -> Result:
    try:
        _check_sections(tree, kind)
        return read(_parser(kind))
    except READING_ERRORS as error:
        raise ConfigError(_explain(str(error), kind, {})) from error


MOST_VALUES = 100_000  # limit for one configuration file, with aliases expanded


def refuse_bombs(arguments: Sequence[str]) -> None:
    """Raise ValueError where a file's aliases expand to more than `MOST_VALUES` values, or without end."""
    for file in _files(arguments):
        try:
            root = yaml.compose(Path(file).read_text(), Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError):
            continue  # the parser, which reads it next, reports the cause
        if root is not None and _count_values(root, {}) > MOST_VALUES:
            raise ValueError(
                f"{file} stands for more than {MOST_VALUES} values once its aliases (*name) are written out: "
                "write the values that are meant"
            )


def _count_values(node: yaml.Node, known: dict[int, float]) -> float:
    """Count the values below a node with all aliases expanded; infinite where a node contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # while it is being counted: a cycle comes back here
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        below = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_count_values(part, known) for part in below)
    return known[id(node)]


def _parse(arguments: Sequence[str], kind: type[Kind], description: str | None = None) -> Kind:
    parser = _parser(kind, description)
    return kind(**_sections(parser, _values(arguments, kind, parser)))


def _values(arguments: Sequence[str], kind: type, parser: ArgumentParser) -> Namespace:
    refuse_bombs(arguments)
    values = parser.parse_args(list(arguments))
    _check_sections(values.as_dict(), kind)
    return values


def _check_sections(tree: Mapping[str, Any], kind: type, within: str = "") -> None:
    """Raise ValueError where a section has no keys, or null is no value; the parser lets both pass."""
    for name, annotation in typing.get_type_hints(kind).items():
        value = tree.get(name)
        if dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
            _check_sections(value, cast(type, annotation), f"{within}{name}.")
        elif name in tree and (
            dataclasses.is_dataclass(annotation) or (value is None and not _may_be_null(annotation))
        ):
            shown = "null" if value is None else value
            raise ValueError(f"{within}{name} is {shown}: give {_values_of(annotation)}")


def _may_be_null(annotation: Any) -> bool:
    return annotation is Any or types.NoneType in typing.get_args(annotation)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Help formatter that keeps the line breaks of a tool's description, which has example commands.

    It says what the file of a section holds, and that a key with a default need not be given.
    """

    def _get_help_string(self, action: argparse.Action) -> str:
        text = super()._get_help_string(action)
        if action.default not in (None, argparse.SUPPRESS):
            text = text.replace("(required, ", "(")
        return text.replace(
            "Path to a configuration file.", "YAML file with the settings of this section alone."
        )


class _Parser(ArgumentParser):
    """Parser, also of sections within sections, that takes no beginning of a key for the key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})


def _parser(kind: type, description: str | None = None) -> ArgumentParser:
    parser = _Parser(
        usage="%(prog)s [--config FILE ...] [--section.key VALUE ...]",
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        default_env=False,
        print_config=None,  # jsonargparse's own cannot write masks
    )
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file of settings, or the name of a recipe of this command that comes with the library, "
        "such as `pretrain/clips`, `finetune/quickstart_probe`, `action/two_rooms` or `compare/rendered`; "
        "may be given several times: later files override earlier ones.",
    )
    parser.add_argument(
        _PRINT, action=_Flag, help="Print the resulting configuration as YAML, and do nothing else."
    )
    parser.add_class_arguments(kind, as_group=False)
    return parser


class _Flag(argparse.Action):
    """An option without a value, which is no setting."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_: Any) -> None:
        """Store nothing."""


def _faulty_file(arguments: Sequence[str], message: str, kind: type) -> str:
    """Return ``FILE: `` for the first file that alone causes the same error, or an empty string."""
    for number, argument in enumerate(arguments):
        if argument.split("=", 1)[0] != "--config":
            continue
        alone = arguments[number : number + (1 if "=" in argument else 2)]
        try:
            _parse(alone, kind)
        except READING_ERRORS as error:
            if str(error) == message:
                return f"{alone[-1].removeprefix('--config=')}: "
    return ""


def _sections(parser: ArgumentParser, tree: Any) -> dict[str, Any]:
    values = parser.instantiate(tree).as_dict()
    values.pop("config", None)
    return values


def write_config(config: DataclassInstance, path: Path) -> None:
    """Write the resolved configuration as YAML that `read_config` can read."""
    path.write_text(_yaml(config))


def _yaml(config: Any) -> str:
    return yaml.safe_dump(config_tree(config), sort_keys=False)


def config_tree(config: DataclassInstance) -> dict[str, Any]:
    """Convert a configuration to nested plain dictionaries and lists."""
    return cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _explain(message: str, kind: type, others: Mapping[str, type]) -> str:
    """Rewrite the parser's message for the user.

    Of a broken rule, the rule alone is kept; of an unknown key, the nearest known one is said; of a value of
    the wrong type, the key, the value and what it may be.
    """
    rule = re.search(r"^\s*- (\S+ is .*: give .*)$", message, re.MULTILINE)
    if rule is not None:  # for a section that may be null, the parser also lists every type it tried
        return rule.group(1)
    unknown = re.search(r"(?:accept option '|arguments: --|Option ')([\w.]+)", message)
    if unknown is None:
        return _explain_value(message, kind)
    within = re.findall(r"(?:Group '|Parser key \")([\w.]+)", message[: unknown.start()])
    name = ".".join([*within, unknown.group(1)])
    return f"'{name}' is not a key of the configuration; {_hint(name, kind, others)}"


def _explain_value(message: str, kind: type) -> str:
    """Rewrite the parser's message on a value of the wrong type; other messages stay as they are."""
    missing = re.search(r"arguments are required: ([\w.]+)\.\w+$", message)
    if missing is not None:
        return f"{missing.group(1)}, or a section that it is in, has no keys: give keys and their values"
    names = re.findall(r'Parser key "([\w.]+)"', message)
    annotation = dict(_keys(kind)).get(".".join(names))
    given = re.search(r"Given value: (.*)", message) if len(names) == 1 else None
    given = given or re.search(r"Got value: (.*)", message)
    if annotation is None or given is None:
        return message
    shown = "null" if given.group(1) == "None" else given.group(1)
    return f"{'.'.join(names)} is {shown}: give {_values_of(annotation)}"


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}


def _values_of(annotation: Any) -> str:
    """Return in words what values a type has in a configuration."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(map(_values_of, parts))
    if origin in (list, tuple) and (origin is list or ... in parts):
        return f"a list, each item {_values_of(parts[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_values_of, parts))}]"
    if dataclasses.is_dataclass(annotation):
        names = {field.name: field for field in dataclasses.fields(annotation)}
        required = [name for name, field in names.items() if _is_required(field)]
        least = ", at least " + " and ".join(required) if required else f", such as {next(iter(names))}"
        return f"keys and their values{least}"
    return _WORDS.get(annotation, "keys and their values")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _hint(name: str, kind: type, others: Mapping[str, type]) -> str:
    """Suggest the nearest key, the tool that has this key, or the keys of the section."""
    keys = [key for key, _ in _keys(kind)]
    section, _, last = name.rpartition(".")
    while section and section not in keys:
        section = section.rpartition(".")[0]
    within = f"{section}." if section else ""
    below = [
        key.removeprefix(within)
        for key in keys
        if key.startswith(within) and "." not in key.removeprefix(within)
    ]
    near = [within + key for key in difflib.get_close_matches(last, below, n=1, cutoff=0.6)]
    near += difflib.get_close_matches(name, [key for key in keys if "." in key], n=1, cutoff=0.8)
    if near:
        return f"did you mean '{near[0]}'?"
    for tool, other in others.items():
        if other is not kind and name in dict(_keys(other)):
            return f"it is one of {tool}, which has other settings"
    return f"there are {', '.join(within + key for key in below)}"


def _keys(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the dotted names of all keys below a dataclass, and their types."""
    for name, annotation in typing.get_type_hints(section).items():
        yield prefix + name, annotation
        for part in (annotation, *typing.get_args(annotation)):
            if dataclasses.is_dataclass(part):
                yield from _keys(cast(type, part), f"{prefix}{name}.")
