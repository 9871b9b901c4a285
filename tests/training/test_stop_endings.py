"""Every way out of a run ends it soon, with its status, and leaves no process behind."""

import dataclasses
import errno
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from vjepa.data.manifest import read_manifest, write_manifest
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.progress import Progress
from vjepa.training.stop import Stopped, StopRequest
from vjepa.training.trainer import Trainer
from vjepa.workers import Loader, ended_after

LIMIT = 10.0  # seconds from the reason to the end


@pytest.fixture(scope="module")
def broken_manifest(manifest, tmp_path_factory):
    """Half of its videos are no videos."""
    folder = tmp_path_factory.mktemp("broken")
    videos = list(read_manifest(str(manifest)))
    for number, video in enumerate(videos[::2]):
        path = folder / f"{number}.mp4"
        path.write_bytes(b"no video")
        videos[2 * number] = dataclasses.replace(video, path=str(path))
    write_manifest(folder / "list.csv", videos)
    return folder / "list.csv"


def outcomes(cases, tmp_path):
    """What became of each case, by its name; see tests/training/endings.py."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "tests/training/endings.py", str(file)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert len(lines) == len(cases), done.stdout + done.stderr
    return {case["name"]: case for case in map(json.loads, lines)}


INT, TERM, KILL, HUP = (int(getattr(signal, f"SIG{name}")) for name in ("INT", "TERM", "KILL", "HUP"))

# What happens, the exit status, and words that are said. The cases that run always are those that differ
# most.
ALWAYS = {
    "twice in c": (130, "SIGINT: stopping after this step; a second Ctrl-C leaves without saving"),
    "without its launcher": (-KILL, "checkpoint saved; the same command goes on from there"),
}
SLOW = {
    "not finite": (1, "NonFiniteError: step"),
    "asked with its workers": (75, "checkpoint saved; the same command goes on from there"),
    "unreadable": (1, "UnreadableVideosError: "),
    "out of memory": (1, "OutOfMemoryError: out of memory"),
    "disk full": (1, "SaveError: the checkpoint of step 4 cannot be written to "),
    "twice in a step": (130, "SIGINT, the second: leaving"),
    "asked": (75, "SIGTERM: stopping after this step"),
    "killed": (-KILL, "step 2/"),
    "probe": (75, "SIGTERM: stopping\n"),
    "rendering": (75, "SIGTERM: stopping\n"),
}


@pytest.mark.parametrize(
    "expected", [ALWAYS, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["always", "slow"]
)
def test_every_way_out_ends_the_run(expected, tiny_arguments, manifest, broken_manifest, tmp_path):
    videos = read_manifest(str(manifest))
    write_manifest(tmp_path / "train.csv", videos[:6])
    write_manifest(tmp_path / "test.csv", videos[6:])
    probe = [f"--probe.train={tmp_path / 'train.csv'}", f"--probe.test={tmp_path / 'test.csv'}"]
    rendered = ["--data.train=null", f"--data.synthetic.folder={tmp_path / 'rendered'}"]
    many = [*rendered, "--data.synthetic.num_train=20000", "--data.synthetic.num_test=1"]
    changes = {
        "not finite": ["--optim.lr=1e30"],
        "unreadable": [f"--data.train={broken_manifest}", "--optim.batch_size=8"],
        "disk full": ["--train.checkpoint_every=4"],
        "probe": [*probe, "--optim.steps=3", "--optim.warmup_steps=1"],
        "rendering": many,
    }
    signals = {
        "twice in a step": [(INT, "run"), (INT, "run")],
        "twice in c": [(INT, "run"), (INT, "run")],
        "asked": [(TERM, "run")],
        "asked with its workers": [(HUP, "group")],
        "killed": [(KILL, "run")],
        "without its launcher": [(KILL, "launcher")],
        "probe": [(TERM, "run")],
        "rendering": [(TERM, "run")],
    }
    ready = {
        "rendering": "synthetic videos",
        "probe": "READY",
        "twice in c": "READY",
        "twice in a step": "READY",
    }
    same = ["--data.num_workers=2", "--optim.steps=100000", "--train.checkpoint_every=100000"]
    cases = [
        {
            "name": name,
            "arguments": tiny_arguments(name, *same, *changes.get(name, ())),
            "signals": signals.get(name, ()),
            "ready": ready.get(name, "step 2/"),
        }
        for name in expected
    ]
    for name, outcome in outcomes(cases, tmp_path).items():
        status, words = expected[name]
        assert outcome["started"], f"{name}: {outcome['text']}"
        assert outcome["left"] == 0, f"{name}: {outcome['text']}"
        assert outcome["seconds"] < LIMIT, f"{name}: {outcome['text']}"
        assert outcome["status"] == [status], f"{name}: {outcome['text']}"
        assert words in outcome["text"], f"{name}: {outcome['text']}"
        saved = len(list((tmp_path / name / "checkpoints").glob("step_*")))
        assert saved == ("checkpoint saved" in outcome["text"] or name == "probe"), name


def test_the_cleaning_up_of_a_stop_is_not_announced_as_work(capsys):
    """The second thread may announce a signal after the main thread has raised and begun to clean up."""
    request = StopRequest()
    with pytest.raises(Stopped):
        request.handle(TERM, None)
    with request.finishing("command"):
        request.notice(TERM, "SIGTERM")
    captured = capsys.readouterr()
    assert captured.out + captured.err == "SIGTERM: stopping\n"


def test_a_run_in_a_thread_and_another_of_other_precision_after_it(tiny_config, tmp_path):
    """Signals have handlers in the main thread alone; the run does without, and its workers end with it."""
    thread = threading.Thread(
        target=pretrain, args=(tiny_config("run", "--data.num_workers=2", "--optim.steps=3"),)
    )
    thread.start()
    thread.join()
    assert (tmp_path / "run" / "summary.json").exists()
    assert not multiprocessing.active_children()
    summary = pretrain(
        tiny_config("again", "--optim.steps=1", "--optim.warmup_steps=1", "--train.precision=bf16")
    )
    assert summary["precision"] == "bf16"


def test_a_loader_that_is_left_has_no_workers():
    """Something still holds the iterator, as the traceback of an exception does."""
    with ended_after():
        batches = iter(Loader(list(range(100)), num_workers=2))
        next(batches)
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_a_busy_worker_is_not_waited_for():
    batches = iter(Loader(Slow(), num_workers=2, batch_size=None))
    next(batches)
    begin = time.monotonic()
    batches.close()
    assert time.monotonic() - begin < LIMIT / 2
    assert not multiprocessing.active_children()


class Slow(torch.utils.data.Dataset):
    """Its first item comes at once, and no other in this life."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index:
            time.sleep(1000)
        return torch.zeros(1)


@pytest.mark.parametrize(
    ("before", "asked", "now", "stops"),
    [
        (None, False, 0.0, False),
        (None, True, 1.0, True),  # all were asked: this step is the last
        (None, True, 0.5, False),  # some do not know yet, and come to know it a step later
        (None, False, 0.5, False),
        (0.5, True, 1.0, True),
        (0.5, False, 0.5, True),
        (0.0, False, 0.0, False),
    ],
)
def test_processes_stop_after_the_same_step(before, asked, now, stops):
    trainer = SimpleNamespace(_check=lambda report: report.stop)
    previous = None if before is None else SimpleNamespace(stop=before)
    assert Trainer._stops(trainer, previous, SimpleNamespace(stop=now, asked=asked)) is stops


class Terminal(io.StringIO):
    """A terminal until it is hung up."""

    hung_up = False

    def isatty(self):
        return True

    def write(self, text):
        if self.hung_up:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_run_outlives_its_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    progress = Progress(3, 0, True)
    progress.say("a line")
    assert "a line" in terminal.getvalue()
    terminal.hung_up = True
    for step in (1, 2, 3):
        progress.advance()
        progress.show({"step": step, "kind": "videos", "loss": 1.0})
        progress.say("another")
    progress.close()
