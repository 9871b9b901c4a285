"""The documentation site: it has everything that is public, and is built without a warning."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import typing

import pytest

import vjepa
from docs.recipe_sizes import recipes, size_of
from docs.reference import SETTINGS, Recipe, commands_page, dataclass_in, recipes_page, settings_page, sizes
from tests.documents import PAGES, ROOT
from vjepa.__main__ import names

RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))


def results_of(thing):
    """Classes of the library that a function returns, or the methods and properties of a class."""
    parts = vars(thing).items() if inspect.isclass(thing) else [("", thing)]
    for name, part in parts:
        part = getattr(part, "__func__", getattr(part, "fget", part))
        if name.startswith("_") or not inspect.isfunction(part):
            continue
        returned = typing.get_type_hints(part).get("return")
        for kind in (returned, *typing.get_args(returned)):
            if inspect.isclass(kind) and kind.__module__.startswith("vjepa."):
                yield kind


def all_results(things):
    """What these return, what the methods of that return, and so on."""
    found, ahead = set(things), list(things)
    while ahead:
        new = set(results_of(ahead.pop())) - found
        found |= new
        ahead += new
    return found - set(things)


def test_the_python_page_has_every_public_name_and_module():
    page = (PAGES / "reference" / "python.md").read_text()
    described = re.findall(r"^\.\. auto\w+:: (\S+)$", page, re.MULTILINE)
    house = (ROOT / "vjepa" / "README.md").read_text()
    modules = re.findall(r"^\| `(vjepa\.[\w.]+)` \|", house, re.MULTILINE)
    classes_of_settings = {f"{config.__name__}" for config in SETTINGS.values()}
    wanted = {f"vjepa.{name}" for name in set(vjepa.__all__) - classes_of_settings - {"__version__"}}
    results = all_results([getattr(vjepa, name) for name in set(vjepa.__all__) - {"__version__"}])
    wanted |= {f"{kind.__module__}.{kind.__name__}" for kind in results if kind.__module__ not in modules}
    assert sorted(described) == sorted(wanted | set(modules))


def keys_of(config, prefix=""):
    """Keys of a configuration, sections that hold further keys included."""
    for field in dataclasses.fields(config):
        held = dataclass_in(typing.get_type_hints(config)[field.name])
        yield prefix + field.name
        if held is not None:
            yield from keys_of(held, f"{prefix}{field.name}.")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_key_is_described(name):
    page = settings_page(name, SETTINGS[name])
    described = dict(re.findall(r"^- \*\*`([\w.]+)`\*\* (.+)$", page, re.MULTILINE))
    headings = re.findall(r"^## (\S+)$", page, re.MULTILINE)
    keys = set(keys_of(SETTINGS[name]))
    assert len(keys) > 20
    assert keys == described.keys() | (set(headings) & keys)
    assert all(re.search(r"; default .+\): .{10}", text) for text in described.values())
    for target in re.findall(r"\]\(#([\w-]+)\)", page):
        assert target in {heading.replace(".", "") for heading in headings}


def test_a_setting_shows_its_values_and_its_default():
    page = settings_page("pretrain", SETTINGS["pretrain"])
    assert "- **`optim.steps`** (integer; default `90000`): " in page
    assert "- **`data.crop_scale`** (2 numbers; default `[0.3, 1.0]`): " in page
    assert "- **`train.precision`** (`no`, `bf16`, `fp16` or `null`; default `null`): " in page


def test_every_command_has_its_text():
    page = commands_page()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == names()
    assert "```text\nvjepa predict --model runs/quickstart --videos video.mp4\n" in page


def test_every_recipe_has_a_page_with_its_settings_and_results():
    pages = {path: Recipe(path) for path in RECIPES}
    listed = recipes_page(list(pages.values()))
    for path, recipe in pages.items():
        assert f"[{recipe.name}](recipes/{recipe.name}.md)" in listed
        assert path.read_text().rstrip().endswith(recipe.settings.rstrip())
        assert recipe.settings in recipe.page()
    quickstart = pages[ROOT / "configs/pretrain/quickstart.yaml"].page()
    rows = json.loads((ROOT / ".results/quickstart.json").read_text())["rows"]
    assert f"| {rows[0]['metrics']['probe']['linear']['trained']:.1%}".replace("%", " %") in quickstart


def test_the_recipes_whose_sizes_are_shown_are_those_that_there_are():
    assert [name for name, _ in recipes()] == list(sizes())


@pytest.mark.slow  # two minutes
def test_the_sizes_of_recipes_are_what_they_were():
    for name, config in recipes():
        found, expected = json.loads(json.dumps(size_of(config))), dict(sizes()[name])
        assert found.pop("clip") == expected.pop("clip"), name  # pytest.approx takes no lists within
        assert found == pytest.approx(expected), name


@pytest.mark.slow  # half a minute
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the site needs the extra `docs`")
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "docs/pages", str(tmp_path)]
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Why it does not collapse" in (tmp_path / "concepts.html").read_text()
