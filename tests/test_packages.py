"""Packages that only some uses need: the remedy works wherever the library is installed."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from vjepa.packages import need_packages

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "vjepa").rglob("*.py"))


def test_the_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    need_packages("a table", "json", "csv")
    monkeypatch.setitem(sys.modules, "csv", None)
    with pytest.raises(ModuleNotFoundError, match=r"^a table needs csv, which is not .*: pip install csv$"):
        need_packages("a table", "json", "csv")
    monkeypatch.setitem(sys.modules, "json", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs json and csv, which are .*: pip install json csv$"):
        need_packages("a table", "json", "csv")


def needed(path):
    """Names of the packages that the calls of `need_packages` in a file have."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "need_packages":
            yield from (argument.value for argument in node.args[1:])


def test_packages_that_are_asked_for_belong_to_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = {requirement.split(">")[0] for extra in extras.values() for requirement in extra}
    named = {name for path in SOURCES for name in needed(path)}
    assert {"gymnasium", "onnx", "peft"} <= named <= known


@pytest.mark.parametrize("part", ["vjepa-world", "pypi.org"])
def test_no_message_sends_to_an_index_that_lacks_the_library(part):
    assert not [path for path in SOURCES if part in path.read_text()]
