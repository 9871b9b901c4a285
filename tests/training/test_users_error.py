"""A command ends by a sentence and status 2 where its user can mend what is wrong.

A bug keeps its traceback.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vjepa.commands.pretrain
from vjepa.commands.compare import main as compare
from vjepa.commands.finetune import main as finetune
from vjepa.commands.pretrain import main as pretrain
from vjepa.training.errors import NonFiniteError

CPU = ["--train.device=cpu", "--train.trackers=[]"]


@pytest.mark.parametrize(
    ("main", "arguments", "words"),
    [
        (pretrain, [*CPU], "give data.train (a manifest"),
        (pretrain, [*CPU, "--data.train=nothere.csv"], "there is no manifest "),
        (
            pretrain,
            ["--config=configs/debug.yaml", "--train.micro_batch=0"],
            "train.micro_batch is 0: give 1 or more, or null",
        ),
        (
            pretrain,
            ["--config=configs/debug.yaml", "--optim.clip_grad=0"],
            "optim.clip_grad is 0.0: give a number above 0, or null",
        ),
        (finetune, [*CPU, "--data.train=nothere.csv"], "there is no manifest "),
        (finetune, ["--seed=-1"], "seed is -1: give a whole number"),
        (compare, ["--config=nothere.yaml"], "nothere.yaml"),
    ],
)
def test_what_a_user_can_mend_is_said_in_a_sentence(main, arguments, words, tmp_path, capsys):
    where = [] if main is compare else [f"--output_dir={tmp_path / 'run'}"]
    assert main([*arguments, *where]) == 2
    printed = capsys.readouterr().err.strip()
    assert printed.startswith("error: ")
    assert words in printed
    assert "Traceback" not in printed
    assert main is compare or "\n" not in printed


def test_debug_shows_the_traceback(tmp_path):
    arguments = ["--data.train=nothere.csv", f"--output_dir={tmp_path / 'run'}"]
    assert pretrain([*arguments, "--train.device=cpu"]) == 2
    with pytest.raises(FileNotFoundError, match=r"there is no manifest .*nothere\.csv"):
        pretrain(["--debug", *arguments])


TOOLS = sorted(path.stem for path in Path("tools").glob("*.py"))
MORE = {
    "anticipate": ["--train=a.csv", "--test=b.csv"],
    "classify": ["--videos=a.mp4"],
    "embeddings": ["--videos=a.mp4"],
    "export": ["--what=encoder", "--output=a.onnx"],
    "predict": ["--videos=a.mp4"],
    "reconstruct": ["--videos=a.mp4"],
    "violations": ["--synthetic"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_ends_by_a_sentence_where_its_model_or_list_is_missing(tool, tmp_path, capsys):
    nothing = str(tmp_path / "nothing")
    arguments = {
        "benchmark": ["nothing"],
        "action": [f"--data.train={nothing}", "--objective.sigreg={}"],
        "compare": [f"--config={nothing}"],
        "convert": [nothing, "--to=ours", f"--output={tmp_path / 'out'}"],
        "estimate": [f"--config={nothing}"],
        "few_labels": [f"--arm=a={nothing}", f"--data.train={nothing}", f"--data.test={nothing}"],
        "finetune": [f"--data.train={nothing}"],
        "gpu_check": ["nothing", "--device=cpu"],
        "make_manifest": ["kinetics", f"--annotations={nothing}", f"--videos={nothing}", "--output=a.csv"],
        "pack_shards": [f"--videos={nothing}", f"--output={tmp_path / 'out'}"],
        "pretrain": [f"--data.train={nothing}"],
        "results": ["tables", nothing],
        "validate": [nothing],
    }
    main = importlib.import_module(f"tools.{tool}").main
    given = arguments[tool] if tool in arguments else [f"--model={nothing}", *MORE.get(tool, [])]
    assert main(given) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "nothing" in printed
    assert "Traceback" not in printed


def of_torch(_):
    torch.zeros(2).view(3, 3)


def of_an_operator(_):
    int("x")


def of_unpacking(_):
    _first, _second = [1]


@pytest.mark.parametrize("bug", [of_torch, of_an_operator, of_unpacking])
def test_a_bug_keeps_its_traceback(bug, monkeypatch):
    monkeypatch.setattr(vjepa.commands.pretrain, "pretrain", bug)
    with pytest.raises((ValueError, RuntimeError)):
        pretrain([])


def test_what_shows_in_training_has_status_1(monkeypatch, capsys):
    def not_finite(_):
        raise NonFiniteError("step 3: loss is nan. Lower optim.lr")

    monkeypatch.setattr(vjepa.commands.pretrain, "pretrain", not_finite)
    assert pretrain([]) == 1
    assert capsys.readouterr().err == "NonFiniteError: step 3: loss is nan. Lower optim.lr\n"


@pytest.mark.slow  # the launcher imports for seconds
def test_a_launched_command_prints_one_sentence_of_its_own(tmp_path):
    """The launcher adds its own report of a process that failed.

    Of ours there is no traceback, and one sentence.
    """
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=1", "tools/pretrain.py"]
    done = subprocess.run(
        [*launch, "--config=configs/debug.yaml", "--train.log_every=0", f"--output_dir={tmp_path}"],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ours, _, launcher = done.stderr.partition("Traceback")
    assert ours.count("error: train.log_every is 0: give 1 or more\n") == 1
    assert "tools/pretrain.py', '--config=configs/debug.yaml'" in launcher
    assert "returned non-zero exit status 2" in launcher
    assert "/vjepa/training/" not in done.stderr
