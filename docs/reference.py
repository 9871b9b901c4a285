"""Pages of the documentation that are made of the library itself: settings, commands, recipes, notebooks.

docs/conf.py writes them to docs/pages/made before the site is built.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import docstring_parser
import yaml

from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.configs import CONFIGS
from vjepa.result_tables import markdown_table

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {**{name.split()[-1]: config for name, config in CONFIGS.items()}, "compare": CompareConfig}


def write_pages(folder: Path) -> None:
    """Write all pages to a folder; a page that has not changed is left alone, so that it is not built anew.

    Args:
        folder: Folder of the pages; what else it holds is removed.
    """
    made = dict(pages())
    for path in folder.rglob("*.md"):
        if str(path.relative_to(folder)) not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the Markdown of every page."""
    yield "commands.md", commands_page()
    for name, config in SETTINGS.items():
        yield f"settings_{name}.md", settings_page(name, config)
    recipes = [Recipe(path) for path in sorted((ROOT / "configs").rglob("*.yaml"))]
    yield "recipes.md", recipes_page(recipes)
    for recipe in recipes:
        yield f"recipes/{recipe.name}.md", recipe.page()
    notebooks = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
    yield "notebooks.md", notebooks_page(notebooks)
    for path in notebooks:
        yield f"notebooks/{path.stem}.md", notebook_page(path)


# Commands


def commands_page() -> str:
    """Return a page with what every command prints with --help, but for the settings of recipes."""
    parts = [
        "# Commands",
        "`vjepa COMMAND --help` prints the options of a command, and `--debug` shows the traceback of an "
        "error. In a clone, `tools/COMMAND.py` is the same.",
    ]
    for path in sorted((ROOT / "vjepa" / "commands").glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        parts += [f"## {path.stem}", *blocks(text)]
        if path.stem in SETTINGS:
            parts.append(f"Its options are the [settings of {path.stem}](settings_{path.stem}.md).")
    return "\n\n".join(parts) + "\n"


def blocks(text: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring as Markdown; what is indented becomes a block of code."""
    for lines in re.split(r"\n\s*\n", text):
        for indented, group in _runs(lines.splitlines()):
            body = "\n".join(group)
            yield f"```text\n{textwrap.dedent(body)}\n```" if indented else body


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield runs of lines that are code, or not: code is indented, and no item of a list goes on there."""
    run: list[str] = []
    code = listed = False
    for line in lines:
        listed = line.startswith("- ") or (listed and line.startswith(" "))
        if run and code != (line.startswith("  ") and not listed):
            yield code, run
            run = []
        code = line.startswith("  ") and not listed
        run.append(line)
    if run:
        yield code, run


# Settings


class Setting(NamedTuple):
    """A key of a configuration."""

    key: str
    type: str
    default: str
    text: str


class Section(NamedTuple):
    """A section of a configuration: its key, what it is, and its settings."""

    key: str
    text: str
    settings: list[Setting]


def settings_page(name: str, config: type) -> str:
    """Return a page with every key of a configuration: its type, default and meaning."""
    parts = [
        f"# Settings of {name}",
        f"Every key can be set in a YAML file or on the command line (`vjepa {name} --seed 3`). `null` "
        "stands for no value; a section whose default is `null` is off, and `{}` turns it on with its own "
        "defaults.",
    ]
    for section in sections(config):
        parts += [f"## {section.key}" if section.key else "## At the top", section.text]
        parts += [f"- **`{s.key}`** ({s.type}; default {s.default}): {s.text}" for s in section.settings]
    return "\n\n".join(parts) + "\n"


def sections(config: type, prefix: str = "", text: str = "") -> Iterator[Section]:
    """Yield a configuration's section, then those that are inside it."""
    described = [docstring_parser.parse(one.__doc__ or "") for one in reversed(config.__mro__)]
    texts = {
        item.arg_name: " ".join((item.description or "").split()) for one in described for item in one.params
    }
    hints = typing.get_type_hints(config)
    settings, inner = [], []
    for field in dataclasses.fields(config):
        key = f"{prefix}.{field.name}" if prefix else field.name
        held = dataclass_in(hints[field.name])
        if held is not None:
            inner.append((held, key, texts.get(field.name, "")))
        if held is None or default_of(field) in (None, (), []):
            kind = f"section [{key}](#{anchor(key)})" if held else words(hints[field.name])
            settings.append(Setting(key, kind, _shown(default_of(field)), texts[field.name]))
    yield Section(prefix, text or (described[-1].short_description or ""), settings)
    for held, key, about in inner:
        yield from sections(held, key, about)


def anchor(key: str) -> str:
    """Return the anchor that a heading gets."""
    return key.replace(".", "").lower()


def dataclass_in(hint: Any) -> type | None:
    """Return the section that a type holds, be it optional or a list of sections."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(type, hint)
    return next(filter(None, map(dataclass_in, typing.get_args(hint))), None)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


NAMES = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "`true`, `false`",
    type(None): "`null`",
    Any: "any",
}


def words(hint: Any) -> str:
    """Return what values a setting takes, in words."""
    if hint in NAMES:
        return NAMES[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(part) for part in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"{len(inner)} {_plural(inner[0])}"
    if origin in (tuple, list):
        return f"list of {_plural(inner[0])}"
    if origin in (dict, Mapping) or hint is dict:
        return "mapping"
    return f"`{getattr(hint, '__name__', hint)}`"


def _plural(hint: Any) -> str:
    """Return what several values of a type are called."""
    name = words(hint)
    return {"integer": "integers", "number": "numbers", "text": "texts"}.get(name, name)


def _shown(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return "section"
    dumped = yaml.safe_dump(value if not isinstance(value, tuple) else list(value), default_flow_style=True)
    return f"`{dumped.removesuffix(chr(10)).removesuffix('...').strip()}`"


def _cell(text: str) -> str:
    """Return a text that may stand in a cell of a table."""
    return text.replace("|", "\\|")


# Recipes


# In the opening of a recipe, lines such as "Hardware: ..." begin a paragraph without an empty line before.
_NEW_PARAGRAPH = re.compile(r"\n(?=(?:[A-Z][a-z]+(?: [a-z]+)?: |Needs |Not run |Takes ))")


class Recipe:
    """A YAML file of configs/, with the text that it opens with.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path.relative_to(ROOT / "configs").with_suffix(""))
        source = path.read_text(encoding="utf-8")
        opening = re.match(r"(#[^\n]*\n)+", source)
        assert opening is not None, f"{path} says nothing"
        self.settings = source[opening.end() :].lstrip()
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in opening[0].splitlines())
        self.text = _NEW_PARAGRAPH.sub("\n\n", text)

    @property
    def summary(self) -> str:
        """The first sentence."""
        return re.split(r"(?<=[.:])\s", " ".join(self.text.split()), maxsplit=1)[0].rstrip(".:")

    def page(self) -> str:
        """Return the page of this recipe."""
        parts = [f"# {self.name}", *blocks(self.text)]
        if self.name in sizes():
            parts += ["## Size", size_table(sizes()[self.name])]
        for title, table, source in measured(self.name):
            parts += [f"## {title}", table, source]
        parts += ["## Settings", f"```yaml\n{self.settings}```"]
        return "\n\n".join(parts) + "\n"


def recipes_page(recipes: list[Recipe]) -> str:
    """Return the list of all recipes."""
    rows = [f"| [{recipe.name}](recipes/{recipe.name}.md) | {_cell(recipe.summary)} |" for recipe in recipes]
    return "\n".join(
        (
            "# Recipes",
            "",
            "A recipe is a YAML file of settings, which `--config NAME` finds in any folder. Each page has "
            "the recipe's command, what it needs, its size, its measured results, and its settings.",
            "",
            "| recipe | contents |",
            "|---|---|",
            *rows,
            "",
            toctree(f"recipes/{recipe.name}" for recipe in recipes),
        )
    )


def toctree(names: Iterable[str]) -> str:
    """Return the block by which Sphinx finds the pages below a page."""
    return "\n".join(("```{toctree}", ":hidden:", "", *names, "```", ""))


@cache
def sizes() -> dict[str, dict[str, Any]]:
    """Return the size of each recipe of pre-training, as docs/recipe_sizes.py counted it."""
    rows = json.loads((ROOT / ".results" / "recipe_sizes.json").read_text(encoding="utf-8"))["rows"]
    return {row["label"]: row["metrics"] for row in rows}


def size_table(size: Mapping[str, Any]) -> str:
    """Return the size of a recipe, a line for each number."""
    rows = [
        ("clip, frames x height x width", " x ".join(map(str, size["clip"]))),
        ("tokens of a clip", f"{size['tokens']:,}"),
        ("parameters, trained / all", f"{size['trained'] / 1e6:,.1f} M / {size['parameters'] / 1e6:,.1f} M"),
        ("operations for a clip, forward and backward", f"{size['gigaflops']:,.2f} GFLOP"),
        ("steps x clips of a step", f"{size['steps']:,} x {size['clips']:,}"),
        ("operations in all", f"{size['petaflops']:,.2f} PFLOP"),
        (f"tensors of one process, {size['part']:,} clips at once, float32", f"{size['gigabytes']:,.2f} GB"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def measured(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield title, table and source of every result that a recipe made."""
    for path in sorted((ROOT / ".results").glob("*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        if not re.search(rf"(configs/|--config ){re.escape(name)}(\.yaml|\s|;|$)", results["command"]):
            continue
        for table in results["tables"].values():
            made = f"Made by `{results['command']}`"
            machine = f" on {results['machine']}" if results.get("machine") else ""
            title = table.get("title", "Results")
            yield title, markdown_table(results["rows"], table["columns"]), f"{made}{machine}."


# Notebooks


def notebooks_page(paths: list[Path]) -> str:
    """Return the list of the notebooks."""
    rows = []
    for path in paths:
        title, about = notebook_cells(path)[0].split("\n\n")[:2]
        rows.append(f"- [{title.removeprefix('# ')}](notebooks/{path.stem}.md): {about}")
    text = (
        "Each notebook is a Python file in `docs/notebooks` with cells for Jupyter, so that changes can be "
        "read. The slow tests run them."
    )
    return "\n".join(
        ("# Notebooks", "", text, "", *rows, "", toctree(f"notebooks/{path.stem}" for path in paths))
    )


def notebook_page(path: Path) -> str:
    """Return a notebook as a page, and say how it is opened."""
    title, *cells = notebook_cells(path)
    opened = f"`jupytext --to notebook docs/notebooks/{path.name}`"
    return "\n\n".join([title, f"This page is a notebook: {opened} writes it for Jupyter.", *cells]) + "\n"


def notebook_cells(path: Path) -> list[str]:
    """Return the cells of a notebook as Markdown."""
    import jupytext  # only the site needs it, and tests of other pages do without

    cells = []
    for cell in jupytext.read(path).cells:
        source = cell.source.strip()
        cells.append(source if cell.cell_type == "markdown" else f"```python\n{source}\n```")
    return cells
