"""The Dockerfile names what there is; it is built where there is Docker."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from tests.documents import ROOT

FOLDER = ROOT / ".devcontainer"
LINES = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name):
    return [line.removeprefix(name).split() for line in LINES if line.startswith(f"{name} ")]


def test_all_that_is_copied_is_there():
    copied = [source for *sources, _ in instructions("COPY") for source in sources]
    assert {"vjepa", "configs", "tests", "pyproject.toml"} <= set(copied)
    assert not [source for source in copied if not (ROOT / source).exists()]


def test_the_package_finds_what_its_metadata_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = {source for *sources, _ in instructions("COPY") for source in sources}
    assert {project["readme"], *project["license-files"]} <= copied
    (extra,) = re.findall(r'"\.\[(\w+)\]"', "\n".join(LINES))
    assert extra in project["optional-dependencies"]


def test_arguments_are_declared_before_they_are_used():
    declared = set()
    for line in LINES:
        used = set(re.findall(r"\$\{(\w+)\}", line)) if not line.startswith("#") else set()
        assert used <= declared, line
        if line.startswith("ARG "):
            declared.add(line.split()[1].partition("=")[0])


def test_the_container_of_an_editor_is_that_of_the_file():
    described = json.loads((FOLDER / "devcontainer.json").read_text())
    assert (FOLDER / described["build"]["dockerfile"]).is_file()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker")
def test_the_image_is_built_and_trains():
    build = ["docker", "build", "-f", ".devcontainer/Dockerfile", "-t", "vjepa-test", "."]
    subprocess.run(build, cwd=ROOT, check=True)
    run = ["docker", "run", "--rm", "vjepa-test", "vjepa", "pretrain", "--config", "debug"]
    subprocess.run(run, check=True)
