"""The job script for Slurm, with stand-ins of its commands: a run is stopped, queued again, and goes on."""

import os
import signal
import subprocess
import time

import pytest

from tests.tiny_run import STEPS, metrics
from tests.training.processes import ENVIRONMENT

SRUN = """#!/bin/bash
shift  # --kill-on-bad-exit=1
exec env SLURM_NODEID=0 "$@"
"""
SCONTROL = """#!/bin/bash
case "$1" in
    show) echo localhost; echo another-machine ;;
    requeue) echo "$2" >> "$QUEUED" ;;
esac
"""


@pytest.fixture
def job(tiny_arguments, tmp_path):
    """Start the script as Slurm does; its run saves no checkpoint by itself, and each step takes a while."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {
        **ENVIRONMENT,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "QUEUED": str(tmp_path / "queued"),
        "SLURM_JOB_NODELIST": "localhost,another-machine",
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "4711",
        "PROCESSES_PER_MACHINE": "2",
    }

    def start(*changes):
        script = ["bash", "configs/slurm/pretrain.sbatch", *tiny_arguments("run", *changes)]
        return subprocess.Popen(script, env=environment)

    return start


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(number, job, tmp_path):
    long = ("--optim.steps=100000", "--train.checkpoint_every=100000")
    first = job(*long)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(number)
    assert first.wait(60) == 0
    assert (tmp_path / "queued").read_text() == "4711\n"
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("step_*")
    reached = int(checkpoint.name.removeprefix("step_"))
    assert reached > 0
    last = reached + STEPS
    assert job(f"--optim.steps={last}", "--train.checkpoint_every=100000").wait(120) == 0
    assert [record["step"] for record in metrics(tmp_path / "run")] == list(range(1, last + 1))
    assert (tmp_path / "queued").read_text() == "4711\n", "a finished job was queued again"
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_a_job_whose_settings_cannot_be_used_is_not_queued_again(job, tmp_path):
    assert job("--optim.stepz=3").wait(120) not in (0, None)
    assert not (tmp_path / "queued").exists()
