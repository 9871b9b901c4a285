"""Every tool's --help opens with what the tool does, an example and the exit statuses, and each option has
a text.
"""

import importlib
import re
from pathlib import Path

import pytest

TOOLS = sorted(path.stem for path in Path("vjepa/commands").glob("[a-z]*.py"))


def help_of(tool, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"vjepa.commands.{tool}").main(["--help"])
    assert not ended.value.code
    return capsys.readouterr().out


def options_of(text):
    """Options and arguments with their texts.

    A line of two spaces begins one, further lines are indented more.
    """
    _, _, listed = text.partition("\npositional arguments:")
    if not listed:
        _, _, listed = text.partition("\noptions:")
    entries = re.split(r"\n  (?=[^\s])", listed)[1:]
    for entry in entries:
        block = re.split(r"\n(?=\S)|\n\n", entry)[0]
        name, words = [*re.split(r"\s{2,}", block, maxsplit=1), ""][:2]
        yield name.strip(), re.sub(r"\s*\((type|required|default): .*", "", words, flags=re.DOTALL).strip()


@pytest.mark.parametrize("tool", TOOLS)
def test_help_tells_what_the_tool_does_and_what_each_option_is(tool, capsys, monkeypatch):
    text = help_of(tool, capsys, monkeypatch)
    _, _, opening = text.partition("\n\n")
    first = opening.split("\n")[0]
    assert re.fullmatch(r"[A-Z].{15,}[.:?]", first), f"the first line is {first!r}"
    assert f"vjepa {tool}" in opening
    assert "Exit status" in opening
    assert "<class" not in text
    assert "Path to a configuration file" not in text  # jsonargparse's words for the file of one section
    assert not re.search(r"\(required,[^)]*default:", text)
    options = dict(options_of(text))
    assert len(options) > 1
    assert not [name for name, words in options.items() if len(words) < 8], "options without a text"
