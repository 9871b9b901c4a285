"""Runs under accelerate's launchers: in a terminal, and when the launcher dies or a process works alone."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest

from tests.training.endings import session, wait_until
from tests.training.processes import ENVIRONMENT, two_processes
from vjepa.training.folder_lock import FolderLock

pytestmark = pytest.mark.slow

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
LONG = (
    "--data.num_workers=2",
    "--optim.steps=100000",
    "--train.checkpoint_every=100000",
    "--train.log_every=5",
)


class Shell:
    """An interactive bash in a terminal of its own."""

    def __init__(self):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "PS1": "PROMPT> ", "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        termios.tcsetwinsize(self.file, (40, 120))
        self.read_until("PROMPT> ")

    def type(self, text):
        os.write(self.file, text.encode())

    def read_until(self, words, limit=60):
        seen, deadline = "", time.monotonic() + limit
        while words not in seen and time.monotonic() < deadline:
            if select.select([self.file], [], [], 0.1)[0]:
                seen += os.read(self.file, 1 << 16).decode(errors="replace")
        assert words in seen, seen
        return seen

    def others(self):
        """Processes of the terminal beside the shell: (pid, parent's pid)."""
        return [pair for pair in session(self.pid) if pair[0] != self.pid]

    def states(self):
        return {psutil.Process(pid).status() for pid, _ in self.others()}

    def close(self):
        for pid, _ in session(self.pid):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def shell():
    one = Shell()
    yield one
    one.close()


def test_one_ctrl_c_saves_and_nothing_goes_on_behind_the_prompt(shell, tiny_arguments):
    words = [*LAUNCH, "tools/pretrain.py", *tiny_arguments("run", *LONG)]
    shell.type(" ".join(f"'{word}'" for word in words) + "; echo ENDED $?\n")
    shell.read_until("step/s")
    assert wait_until(lambda: len(shell.others()) == 4, 10)  # launcher, run, two workers
    shell.type("\x03")
    said = shell.read_until("ENDED 1")
    assert "SIGINT: stopping after this step" in said
    assert "checkpoint saved; the same command goes on from there" in said
    assert "Traceback" not in said
    assert not shell.others()
    shell.type("echo the $((1 + 1))nd\n")  # the terminal is the shell's again
    shell.read_until("the 2nd")


def test_a_run_can_be_suspended_and_brought_back(shell, tiny_arguments):
    words = [*LAUNCH, "tools/pretrain.py", *tiny_arguments("run", *LONG)]
    shell.type(" ".join(f"'{word}'" for word in words) + "\n")
    shell.read_until("step/s")
    assert wait_until(lambda: len(shell.others()) == 4, 10)
    for again in ("fg\n", "bg\n"):
        shell.type("\x1a")
        shell.read_until("PROMPT> ")
        assert wait_until(lambda: shell.states() == {"stopped"}, 10), shell.states()
        shell.type(again)
        shell.read_until("step/s")
    shell.type("fg\n")
    time.sleep(2)  # the run looks at the terminal twice a second
    shell.type("\x03")
    assert "checkpoint saved" in shell.read_until("PROMPT> ")
    assert not shell.others()


@pytest.mark.parametrize(
    ("processes", "number"), [(1, signal.SIGTERM), (1, signal.SIGKILL), (2, signal.SIGKILL)]
)
def test_a_run_stops_when_its_launcher_ends(processes, number, tiny_arguments, tmp_path):
    several = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"] if processes == 2 else []
    log = tmp_path / "log"
    with log.open("w") as file:
        launcher = subprocess.Popen(
            [*LAUNCH, *several, "tools/pretrain.py", *tiny_arguments("run", *LONG)],
            env=ENVIRONMENT, stdout=file, stderr=file,
        )  # fmt: skip
    assert wait_until(lambda: "step 5/" in log.read_text(), 120), log.read_text()
    family = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(number)
    launcher.wait()
    assert wait_until(lambda: not any(map(_lives, family)), 10), log.read_text()
    assert "the process that started this one has died: stopping after this step" in log.read_text()
    assert len(list((tmp_path / "run" / "checkpoints").glob("step_*"))) == 1


def _lives(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


ALONE = """
import datetime, os, sys, time
from accelerate import Accelerator, PartialState
from vjepa.training.alone import alone, wait_for_all
PartialState(cpu=True, timeout=datetime.timedelta(seconds=4))
accelerator = Accelerator(cpu=True)
what = sys.argv[1]
def work():
    time.sleep(8)
    if what == "fails":
        raise ValueError("the work cannot be done")
    if what == "dies":
        os._exit(9)
    return "done"
if what == "late":
    time.sleep(8 * accelerator.process_index)
    wait_for_all(accelerator)
    print(f"together {accelerator.process_index};\\n", end="", flush=True)
else:
    print(f"result {accelerator.process_index} {alone(accelerator, work)};\\n", end="", flush=True)
accelerator.wait_for_everyone()
PartialState().destroy_process_group()
"""


@pytest.mark.parametrize("what", ["works", "fails", "dies", "late"])
def test_others_wait_longer_than_a_collective_would(what, tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    begin = time.monotonic()
    run = two_processes(str(script), what)
    text = run.stdout + run.stderr
    assert time.monotonic() - begin < 60
    if what == "works":
        assert run.returncode == 0, text
        assert {"result 0 done;", "result 1 None;"} <= set(text.splitlines())
    elif what == "late":
        assert run.returncode == 0, text
        assert {"together 0;", "together 1;"} <= set(text.splitlines())
    else:
        assert run.returncode != 0
        assert (text.count("ValueError: the work cannot be done") >= 2) == (what == "fails"), text


def test_a_second_start_of_two_processes_is_refused(tiny_arguments, tmp_path):
    lock = FolderLock(tmp_path / "run")
    lock.take()
    run = two_processes("tools/pretrain.py", *tiny_arguments("run"))
    lock.release()
    assert run.returncode != 0
    # The launcher may end the other process before it has said so, too.
    assert f"is in use by a run (process {os.getpid()} on" in run.stderr
    assert 'Traceback (most recent call last):\n  File "tools/pretrain.py"' not in run.stderr
