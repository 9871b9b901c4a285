"""One run at a time in a folder, and no lock that outlives its run."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vjepa.commands.pretrain
from tests.accelerate_state import fresh_accelerate
from vjepa.training import folder_lock
from vjepa.training.folder_lock import NAME, FolderInUseError, FolderLock

HELD = """
import sys, time
from vjepa.training.folder_lock import FolderLock
FolderLock(sys.argv[1]).take()
print("held", flush=True)
time.sleep(100)
"""


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_second_start_is_refused_and_changes_nothing(tiny_arguments, tmp_path, capfd):
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        before = files(folder)
        assert vjepa.commands.pretrain.main(tiny_arguments("run", "--optim.steps=3")) == 2
        message = capfd.readouterr().err
        assert (
            f"{folder} is in use by a run (process {holder.pid} on {socket.gethostname()}, since 20"
            in message
        )
        assert "give another --output_dir" in message
        assert len(message.strip().splitlines()) == 1
        assert files(folder) == before
        holder.send_signal(signal.SIGKILL)
    assert (folder / NAME).exists()  # it was killed, and holds nobody up
    fresh_accelerate()
    assert vjepa.commands.pretrain.main(tiny_arguments("run", "--optim.steps=3")) == 0
    assert not (folder / NAME).exists()


def test_a_stage_of_a_run_holds_its_own_folder(tiny_arguments, tmp_path, capfd):
    lock = FolderLock(tmp_path / "run" / "teacher")
    lock.take()
    assert vjepa.commands.pretrain.main(tiny_arguments("run", "--objective.target_encoder=frozen")) == 2
    assert f"{lock.path.parent} is in use by a run (process {os.getpid()} " in capfd.readouterr().err
    lock.release()


def test_a_forked_process_does_not_hold_what_its_parent_held(tmp_path):
    lock = FolderLock(tmp_path)
    lock.take()
    forked, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"1")
        time.sleep(100)
        os._exit(0)
    os.read(forked, 1)
    try:
        lock.forget()  # as if this process were killed: the file stays
        again = FolderLock(tmp_path)
        again.take()
        again.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_threads_exclude_each_other(tmp_path):
    lock = FolderLock(tmp_path)
    lock.take()
    with pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"):
        FolderLock(tmp_path).take()
    lock.release()
    assert not list(tmp_path.iterdir())
    FolderLock(tmp_path).take()


DEAD = 2**22 + 1  # above what Linux gives to any process


@pytest.mark.parametrize(
    ("holder", "refused"),
    [
        ({"pid": os.getpid(), "host": socket.gethostname(), "since": "then"}, True),
        ({"pid": DEAD, "host": socket.gethostname(), "since": "then"}, False),
        ({"pid": DEAD, "host": "elsewhere", "since": "then"}, True),
        (None, False),
    ],
)
def test_where_a_file_system_has_no_locks(holder, refused, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "flock", no_locks)
    if holder is not None:
        Path(tmp_path, NAME).write_text(json.dumps(holder))
    lock = FolderLock(tmp_path)
    if not refused:
        lock.take()
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        lock.release()
        return
    with pytest.raises(FolderInUseError, match=rf"if that run has ended, delete .*{NAME}"):
        lock.take()
    assert json.loads((tmp_path / NAME).read_text()) == holder
