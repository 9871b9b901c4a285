"""The house keeps its floors: imports point down only, and what is built stays small."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.floors import FLOOR_OF

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("vjepa", "tools") for path in (ROOT / folder).rglob("*.py"))


def room_of(module):
    """``vjepa.data.readers.open`` is in the room `data`, ``tools.results`` in `tools`."""
    parts = module.split(".")
    return "tools" if parts[0] == "tools" else parts[1]


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path):
    return ast.parse(path.read_text())


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path):
    """Modules of this project that a file imports, wherever in it."""
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: write the whole name"
            # `from vjepa.config import checks` imports a module, `from vjepa.tokens import x` a name of one.
            names = [
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            ]
        yield from (name for name in names if name.split(".")[0] in ("vjepa", "tools"))


def test_every_module_has_a_floor():
    rooms = {room_of(module_of(path)) for path in SOURCES if module_of(path) != "vjepa"}
    new = rooms - FLOOR_OF.keys()
    assert not new, f"give {new} a floor in this test and in vjepa/README.md"


def test_imports_point_down():
    upward = [
        f"{module_of(path)} imports {name}, which is not below it"
        for path in SOURCES
        for name in imports_of(path)
        if module_of(path) != "vjepa" and name != "vjepa" and not may_import(path, name)
    ]
    assert not upward


def may_import(path, name):
    here, there = room_of(module_of(path)), room_of(name)
    return there == here or FLOOR_OF[there] < FLOOR_OF[here]


def test_no_modules_import_each_other_in_a_circle():
    imports = {module_of(path): set(imports_of(path)) for path in SOURCES}
    done = set()

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done or module not in imports:
            return
        for other in sorted(imports[module] - {module}):
            visit(other, [*trail, module])
        done.add(module)

    for module in sorted(imports):
        visit(module, [])


def test_importing_the_package_is_cheap():
    """Nothing heavy comes with it, neither torch nor what torch's friends bring."""
    heavy = {"torch", "timm", "accelerate", "torchvision", "jsonargparse", "matplotlib", "numpy", "av"}
    code = "import sys, vjepa; dir(vjepa); print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not heavy & set(run.stdout.split())


def test_a_configuration_is_read_without_torch():
    """The configurations of all recipes load no network and nothing heavy, in less than a second."""
    code = (
        "import sys, time; begun = time.process_time(); "
        "import vjepa.config, vjepa.recipes.configs, vjepa.recipes.compare.config; "
        "print(time.process_time() - begun); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    seconds, modules = run.stdout.splitlines()
    heavy = {"torch", "timm", "accelerate", "torchvision", "matplotlib", "av", "einops", "scipy"}
    assert not heavy & {name.split(".")[0] for name in modules.split()}
    assert float(seconds) < 1


def test_the_public_names_are_there():
    import vjepa

    for name in vjepa.__all__:
        assert getattr(vjepa, name) is not None
        assert name in dir(vjepa)
    with pytest.raises(AttributeError, match=r"no attribute 'from_pretraind'; it has .*from_pretrained"):
        vjepa.from_pretraind  # noqa: B018


def test_the_version_is_the_distribution_s():
    import vjepa

    assert f'version = "{vjepa.__version__}"' in (ROOT / "pyproject.toml").read_text()


def functions_of(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)


def depth_of(node):
    """Blocks inside one another below a function; `elif` is no deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue  # counted by itself
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth_of(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def test_functions_are_small():
    functions = [(path, function) for path in SOURCES for function in functions_of(path)]
    for path, function in functions:
        lines = function.end_lineno - function.lineno + 1
        assert lines <= 60, f"{module_of(path)}.{function.name} has {lines} lines"
        depth = depth_of(function)
        assert depth <= 3, f"{module_of(path)}.{function.name} is nested {depth} deep"


OWNED = {
    "DataLoader": {"vjepa.workers"},
    "ProcessPoolExecutor": {"vjepa.workers"},
    "get_context": {"vjepa.workers"},
    "signal": {"vjepa.workers", "vjepa.training.stop"},
    "set_wakeup_fd": {"vjepa.workers", "vjepa.training.stop"},
}


def calls_of(path):
    """Names of the functions that a file calls."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", None))


def test_processes_and_signals_have_their_owners():
    """Whoever else makes workers, or handles signals, makes runs that do not end."""
    taken = [
        f"{module_of(path)} calls {name}, which belongs to {OWNED[name]}"
        for path in SOURCES
        for name in calls_of(path)
        if module_of(path) not in OWNED.get(name, {module_of(path)})
    ]
    assert not taken


def test_lines_have_the_declared_length():
    """Ruff checks Python alone, and lets its own marks pass; configurations are read as often."""
    most = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    tops = ["vjepa", "configs", "tools", "tests", ".github"]
    files = [
        path for top in tops for path in (ROOT / top).rglob("*") if path.suffix in (".py", ".yaml", ".yml")
    ]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*files, ROOT / "pyproject.toml"]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > most
    ]
    assert not long


def test_files_are_named_by_their_content():
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [path for path in SOURCES if vague & set(path.relative_to(ROOT).with_suffix("").parts)]


def shape_letters():
    """The letters of the table in `vjepa.tokens`."""
    import vjepa.tokens

    table = vjepa.tokens.__doc__.partition("whole library:")[2].partition("A token's place")[0]
    letters = re.findall(r"(?:^|  )((?:[A-Za-z] )+) ", table, re.MULTILINE)
    return {letter for entry in letters for letter in entry.split()}


def axes_of(name):
    """The axes that a tensor's name ends in; empty where it has none."""
    match = re.fullmatch(r"[a-z]\w*?_([A-Za-z0-9]+)", name)
    return match[1] if match and re.search("[A-Z]", match[1]) else ""


def names_of(path):
    """Variables and arguments of a file."""
    nodes = list(ast.walk(tree_of(path)))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)
    }


def test_shape_letters_are_those_of_the_table():
    letters = shape_letters()
    unknown = {
        f"{name} in {module_of(path)}: give its axes letters in vjepa/tokens.py, or take theirs"
        for path in SOURCES
        for name in names_of(path)
        if {axis for axis in axes_of(name) if not axis.isdigit()} - letters
    }
    assert not unknown


def test_one_file_has_the_table_of_shape_letters():
    """A letter means one axis everywhere: no other module says what letters mean."""
    legends = [
        module_of(path)
        for path in SOURCES
        if re.search(r"Shape letters[^.]*;|Shape letters:", ast.get_docstring(tree_of(path)) or "")
    ]
    assert set(legends) <= {"vjepa.tokens"}


TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_no_test_imports_another():
    """What tests share has a file of its own."""
    importing = [
        path.relative_to(ROOT)
        for path in TESTS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and re.search(r"(^|\.)test_", node.module or "")
    ]
    assert not importing


@cache
def modules_of(folder):
    return {module.stem for module in folder.iterdir() if module.suffix == ".py" or module.is_dir()}


def test_tests_mirror_the_library():
    """A test lies where its module does and begins with its name; tests of the whole lie at the top."""
    strays = []
    for path in TESTS:
        room = path.parent.relative_to(ROOT / "tests")
        words = path.stem.removeprefix("test_").split("_")
        begun = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        home = ROOT / room if room.parts[:1] == ("tools",) else ROOT / "vjepa" / room
        if room != Path() and not begun & modules_of(home):
            strays.append(f"{path.relative_to(ROOT)} begins with no module of {home.relative_to(ROOT)}")
    assert not strays
