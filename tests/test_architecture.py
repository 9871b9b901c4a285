"""What the architecture page (vjepa/README.md) says is so."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from tests.documents import DOCUMENTS, name_of
from tests.floors import FLOORS
from vjepa.config import read_config
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.jepa import JEPA
from vjepa.objectives.pixels import PixelReconstruction
from vjepa.objectives.regularizers import Projector
from vjepa.objectives.views import Views
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "vjepa" / "README.md").read_text()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def test_the_floors_are_drawn_as_they_are():
    drawn = re.search(r"```text\n(.*?)```", section("Floors"), re.DOTALL)[1]
    lines = [
        re.findall(r"([\w]+)(?:/|\.py)(?=\s)", line.split("  ")[0] + " " + line)
        for line in drawn.splitlines()
    ]
    order = [name for line in lines for name in dict.fromkeys(line)]
    floor = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    heights = [floor[name] for name in order if name in floor]
    assert set(floor) <= set(order), f"the page does not draw {set(floor) - set(order)}"
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("room", ["layers", "models", "masks", "objectives"])
def test_constructors_of_networks_take_plain_arguments(room):
    for path in (ROOT / "vjepa" / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            annotation = getattr(node, "annotation", None)
            if isinstance(node, ast.arg) and annotation is not None:
                assert "Config" not in ast.unparse(annotation), f"{path.name}: {node.arg}"


# A row of the table of methods, and a configuration of that method.
METHODS = {
    "V-JEPA, V-JEPA 2": "pretrain/vjepa2_vitl16.yaml",
    "V-JEPA 2.1": "pretrain/vjepa2_1_vitl16.yaml",
    "future": "pretrain/future_vits16.yaml",
    "I-JEPA": "pretrain/ijepa_vith14.yaml",
    "SALT": "pretrain/salt_vitl16.yaml",
    "SIGReg, VICReg": "pretrain/sigreg_vits16.yaml",
    "LeJEPA, LeVJEPA": "pretrain/levjepa_vitb16.yaml",
    "VideoMAE (v2)": "pretrain/videomaev2_vitl16.yaml",
    "MAE": "pretrain/mae_vitl16.yaml",
}
DISTANCES = {"l1": "L1", "smooth_l1": "smooth L1", "l2": "squared"}


def methods():
    rows = re.findall(r"^\| (.*) \|$", section("Masks, model, objective, trainer"), re.MULTILINE)[1:]
    return {cells[0]: cells for cells in (row.split(" | ") for row in rows)}


def test_the_table_of_methods_has_them_all():
    assert methods().keys() == METHODS.keys()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_a_setting_of_three_objectives(method):
    _, masks, predicted, by, distance, protection = methods()[method]
    config = read_config(["--config", str(ROOT / "configs" / METHODS[method])], PretrainConfig)
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(config))
    assert type(objective.encoder) is VideoEncoder
    kind = Projector if config.objective.predict == "views" else Predictor
    assert type(getattr(objective, by.strip("`"))) is kind
    named = re.match(r"`(\w+)`", masks)
    if named:
        assert getattr(config.masks, named[1])
    if config.objective.predict == "pixels":
        assert type(objective) is PixelReconstruction
        assert predicted.startswith("pixels")
        assert "`" not in protection
        return
    if config.objective.predict == "views":
        assert type(objective) is Views
        assert set(config.masks.by_name) <= {"masks.random[0]"}
        assert config.objective.sigreg is not None
        assert "`sigreg`" in protection
        return
    assert type(objective) is JEPA
    assert DISTANCES[config.objective.distance] == distance
    kind = config.objective.target_encoder
    assert f"`{kind}`" in protection or (f"`target_encoder: {kind}`" in protection and kind == "none")
    assert config.objective.measures_batch == (kind == "none")


def public_modules():
    return re.findall(r"^\| `(vjepa\.[\w.]+)` \|", section("What is public"), re.MULTILINE)


def test_public_modules_can_be_imported():
    assert len(public_modules()) == len(set(public_modules()))
    for name in public_modules():
        assert inspect.getdoc(importlib.import_module(name)), name


def imports_of(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vjepa."):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in public_modules() else node.module for name in whole)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vjepa."))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documents_import_public_modules_alone(path):
    """An example that needs a private module would teach what may change without notice."""
    for code in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        private = set(imports_of(code)) - set(public_modules())
        assert not private, f"list {private} under 'What is public' of vjepa/README.md, or do without"
