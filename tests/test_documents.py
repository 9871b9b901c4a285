"""What the documents say is so: their Python runs, their files exist, their steps lead where they say.

The blocks of a file share one namespace and run in a folder that has what a reader would have by then:
``configs/``, videos in ``videos/`` (and their manifest ``videos.csv``), one of them as ``video.mp4``, and a
short run in ``runs/debug`` and ``runs/quickstart``. Blocks that are no Python to run are fenced as ``text``.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vjepa
from tests.accelerate_state import fresh_accelerate
from tests.documents import DOCUMENTS, name_of
from vjepa.config import read_config, read_settings
from vjepa.data.manifest import read_manifest, write_manifest
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.action.run import train_action_model
from vjepa.recipes.compare.cells import all_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.choice import choose
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "vjepa" / "README.md"

SHORT_RUN = [
    *("--config", "configs/debug.yaml", "--output_dir=runs/debug"),
    *("--optim.steps=2", "--optim.warmup_steps=1", "--data.num_workers=0"),
    *("--data.synthetic.num_train=16", "--data.synthetic.num_test=16"),
    *("--train.trackers=[]", "--train.device=cpu", "--train.threads=1"),
]


SHORT_WORLD = [
    *("--config", "configs/action/two_rooms.yaml"),
    *("--optim.steps=2", "--optim.warmup_steps=1", "--optim.batch_size=4", "--data.num_workers=0"),
    *("--data.collect.episodes=2", "--data.collect.test_episodes=0"),
    *("--train.trackers=[]", "--train.device=cpu", "--train.threads=1"),
]


def blocks_of(path, language):
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """A folder in which the documents' blocks find what they name."""
    folder = tmp_path_factory.mktemp("reader")
    before = Path.cwd()
    os.chdir(folder)
    try:
        shutil.copytree(ROOT / "configs", folder / "configs")
        manifest = write_videos("videos", RenderSettings(size=32, frames=16), num_videos=8, seed=0)
        videos = read_manifest(manifest)
        write_manifest("videos.csv", videos)
        shutil.copy(videos[0].path, "video.mp4")
        fresh_accelerate()
        pretrain(read_config(SHORT_RUN, PretrainConfig))
        shutil.copytree("runs/debug", "runs/quickstart")
        shutil.rmtree("runs/debug/videos")  # made with other settings than the documents'
        fresh_accelerate()
        train_action_model(read_config(SHORT_WORLD, ActionConfig))
        fresh_accelerate()
    finally:
        os.chdir(before)
    return folder


def run_blocks(path):
    namespace = {"__name__": "document"}
    text = path.read_text()
    for block in blocks_of(path, "python"):
        line = text[: text.index(block)].count("\n")
        # Empty lines in front, so that an error shows the line of the document.
        exec(compile("\n" * line + block, str(path), "exec"), namespace)
    return namespace


IN_PYTHON = [path for path in DOCUMENTS if path != HOUSE and blocks_of(path, "python")]
IN_SHELL = [path for path in DOCUMENTS if blocks_of(path, "bash")]


@pytest.mark.parametrize("path", IN_PYTHON, ids=name_of)
def test_the_python_of_a_document_runs(path, furnished, monkeypatch):
    monkeypatch.chdir(furnished)
    run_blocks(path)


@pytest.mark.slow  # half a minute
def test_the_four_steps_are_a_plain_script(furnished, monkeypatch):
    """As a reader runs them.

    A file without ``if __name__ == "__main__"``, while workers render and decode.
    """
    monkeypatch.chdir(furnished)
    Path("steps.py").write_text("\n".join(blocks_of(HOUSE, "python")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "steps.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    folder = RunFolder("runs/mean_colour")
    records, summary = folder.read_metrics(), json.loads(folder.summary.read_text())
    assert [record["step"] for record in records] == list(range(1, 21))
    assert records[-1]["loss"] < 0.95 * records[0]["loss"]
    assert "context/rank" in records[-1]
    assert set(summary["probe"]["linear"]) == {"trained", "random", "chance"}
    assert vjepa.from_pretrained(folder.path).predictor is None


def tree_entries(block):
    """Paths of a drawn tree: what is further to the right is inside what stands above it."""
    entries, above = [], []
    for line in block.splitlines():
        name = re.match(r"^[\s│├└─|`+-]*([\w.][\w./-]*)", line)
        if name is None:
            continue
        column = name.start(1)
        above = [(where, entry) for where, entry in above if where < column]
        path = (above[-1][1] if above else Path()) / name.group(1)
        if name.group(1).endswith("/"):
            above.append((column, path))
        entries.append(path)
    return entries


def is_tree(block):
    """A drawing that has the three folders at its left edge."""
    folders = ("vjepa", "configs", "tools")
    return all(re.search(rf"^[│├└─ ]*{name}/", block, re.MULTILINE) for name in folders)


def test_every_path_of_the_file_tree_exists():
    readme = ROOT / "README.md"
    trees = [block for block in blocks_of(readme, "text") if is_tree(block)]
    assert trees, "README.md draws no file tree: fence it as `text`, with vjepa/, configs/, tools/"
    missing = [str(entry) for tree in trees for entry in tree_entries(tree) if not (ROOT / entry).exists()]
    assert not missing


def test_a_tree_is_read_as_it_is_drawn():
    drawn = "vjepa/    the library\n├── data/\n│   └── clips.py\n└── tokens.py   order\nREADME.md"
    assert [str(entry) for entry in tree_entries(drawn)] == [
        "vjepa", "vjepa/data", "vjepa/data/clips.py", "vjepa/tokens.py", "README.md",
    ]  # fmt: skip


def test_documents_say_how_long_the_recipe_for_a_cpu_takes_in_the_words_of_the_program():
    said = re.search(r"it takes (.+) on 2 CPU cores", choose(1, "cpu").reason)[1]
    for path in (ROOT / "README.md", ROOT / "docs" / "pages" / "faq.md"):
        sentence = re.search(r"[^.]*`pretrain/clips`[^.]*", path.read_text())[0]
        assert said in sentence, sentence


def test_no_document_trains_the_decoder_of_a_reconstruction_on_what_it_shows():
    """The command refuses it."""
    for path in DOCUMENTS:
        found = re.findall(
            r"vjepa reconstruct[^`\n]*--videos (\S+)[^`\n]*--train ([^\s`]+)", path.read_text()
        )
        assert not [pair for pair in found if pair[0] == pair[1]], path


def test_the_changelog_has_this_version():
    assert f"## [{vjepa.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_module_that_the_house_names_exists():
    """Paths in back quotes in vjepa/README.md, from the repository's root or from the package's."""
    named = re.findall(r"`((?:[\w]+/)*[\w]+(?:\.py|/))`", HOUSE.read_text())
    planned = {"vjepa/objectives/colour.py"}
    there = {name for name in named for top in (ROOT, ROOT / "vjepa") if (top / name).exists()}
    assert len(named) > 10
    assert not set(named) - there - planned


def commands_of(path):
    """Command lines of a document's shell blocks, joined where they are broken, split at ``&&``."""
    for block in blocks_of(path, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (shlex.split(part) for part in line.split("&&"))


@pytest.mark.parametrize("path", IN_SHELL, ids=name_of)
def test_the_commands_of_a_document_are_understood(path, furnished, monkeypatch):
    """Programs exist and take these arguments; what they then do is tested elsewhere."""
    monkeypatch.chdir(furnished)
    Path("mine.yaml").write_text("optim: {lr: 1.0e-3}\n")
    for command in commands_of(path):
        if command[0] == "vjepa":
            command = [f"tools/{command[1]}.py", *command[2:]]
        program = next((word for word in command if word.startswith("tools/")), None)
        if program is None:
            assert command[0] in ("pip", "pytest", "ray"), command
            continue
        assert (ROOT / program).is_file(), command
        arguments = command[command.index(program) + 1 :]
        kinds = {
            "tools/pretrain.py": PretrainConfig,
            "tools/action.py": ActionConfig,
            "tools/finetune.py": FinetuneConfig,
        }
        if program in kinds:
            read_config([word for word in arguments if word != "--print_config"], kinds[program])
        if program == "tools/compare.py":
            assert all_cells(read_config(arguments, CompareConfig))


def test_a_command_within_a_sentence_has_settings_that_there_are():
    kinds = {**CONFIGS, "vjepa compare": CompareConfig}
    found = [
        shlex.split(command)
        for path in DOCUMENTS
        for command in re.findall(rf"`((?:{'|'.join(kinds)}) --(?!help)[^`]+)`", path.read_text())
    ]
    assert found
    for _, tool, *arguments in found:
        read_settings(arguments, kinds[f"vjepa {tool}"])
