"""Runs that end in every way there is, each a real process with two workers; prints what became of each as
JSON.

    python tests/training/endings.py CASES.json

The script imports everything once, and every run is a fork of it that goes through the whole end of an
interpreter: a case costs no imports. A case is {"name": ..., "arguments": [...], "signals": [[number, "run"
or "group" or "launcher"], ...], "ready": what the run prints before they are sent}, and a run of it is a
session of processes, all of which must be gone at its end.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import psutil
import torch

import vjepa.commands.pretrain
import vjepa.models.video_model
from vjepa.objectives.jepa import JEPA

LIMIT = 10.0  # seconds from the reason to the end
calls = []


def patched(name):
    """What goes wrong in a run, by the case's name."""
    if name == "probe":
        vjepa.models.video_model.VideoModel.encode = lambda *_: wait_in_probe()
        return
    forward = JEPA.forward

    def broken(self, batch):
        calls.append(None)
        # The run describes itself with one forward pass before its first step.
        if len(calls) == 4:
            print("READY", flush=True)
            WRONG[name]()
        return forward(self, batch)

    JEPA.forward = broken


def run_out_of_memory():
    raise torch.OutOfMemoryError("out of memory")


def fill_the_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def wait_in_c():
    """As a backward pass of many minutes does: no Python runs, no signal interrupts it."""
    mutex = ctypes.create_string_buffer(128)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)


def wait_in_probe():
    print("READY", flush=True)
    time.sleep(60)


WRONG = {
    "out of memory": run_out_of_memory,
    "disk full": fill_the_disk,
    "twice in a step": lambda: time.sleep(60),
    "twice in c": wait_in_c,
    "probe": wait_in_probe,
}


def fork(case, log):
    """The process of a run, which does not return here; where asked, below a launcher."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and processes in the background SIGINT
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "launcher" in dict(map(reversed, case["signals"])):
        os.environ["ACCELERATE_DYNAMO_BACKEND"] = "NO"
        run = os.fork()
        if run:
            os.waitpid(run, 0)
            os._exit(0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if case["name"] in WRONG:
        patched(case["name"])
    sys.exit(vjepa.commands.pretrain.main(case["arguments"]))


def session(leader):
    """Living processes of a session: (pid, parent's pid)."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(pid) == leader and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append((pid, psutil.Process(pid).ppid()))
    return found


def wait_until(done, limit):
    deadline = time.monotonic() + limit
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
    return done()


def carry_out(case, log):
    leader = fork(case, log)

    def text():
        return Path(log).read_text() if os.path.exists(log) else ""

    if case["signals"]:
        ready = case["ready"]
        started = wait_until(lambda: ready in text() and len(session(leader)) >= 3, 60)
    else:
        started = wait_until(lambda: "Error" in text(), 60)
    below = [pid for pid, parent in session(leader) if parent == leader]
    launched = any(target == "launcher" for _, target in case["signals"])
    run = below[0] if launched and below else leader
    for number, target in case["signals"]:
        {"run": os.kill, "group": os.killpg, "launcher": os.kill}[target](
            leader if target != "run" else run, number
        )
        time.sleep(0.2)
    begin, status = time.monotonic(), []

    def gone():
        if not status:
            pid, raw = os.waitpid(leader, os.WNOHANG)
            status.extend([os.waitstatus_to_exitcode(raw)] if pid else [])
        return bool(status) and not session(leader)

    wait_until(gone, LIMIT + 5)
    result = {
        "name": case["name"], "started": started, "status": status, "seconds": time.monotonic() - begin,
        "left": len(session(leader)), "text": text(),
    }  # fmt: skip
    for pid, _ in session(leader):
        os.kill(pid, signal.SIGKILL)
    return result


def main():
    folder = os.path.dirname(os.path.abspath(sys.argv[1]))
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    for number, case in enumerate(cases):
        print("RESULT", json.dumps(carry_out(case, os.path.join(folder, f"{number}.log"))), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    gc.freeze()  # what is imported is not collected, or copied, again in every fork
    main()
