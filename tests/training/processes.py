"""Runs of several processes: under the launcher, and as forks that cost no imports."""

import multiprocessing
import os
import subprocess
import sys
import time

from torch.distributed import TCPStore

ENVIRONMENT = {
    **os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    "ACCELERATE_USE_CPU": "true",
}  # fmt: skip


def two_processes(*command, timeout=180):
    """What the README says for two processes on a CPU: `--cpu --num_processes 2` would start one."""
    return several_processes(2, *command, timeout=timeout)


def several_processes(number, *command, timeout=180):
    """The same for another number of processes."""
    several = ("--multi_gpu", "--num_processes", str(number), "--main_process_port", "0")
    return launched(*several, *command, timeout=timeout)


def launched(*arguments, timeout=180):
    """accelerate's launcher with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def forked_processes(work, folder, number=2, timeout=120):
    """Do the same work in several processes of one group, which are forks of this one.

    Each learns its place from the environment, as under a launcher, and inherits what is patched here.

    Args:
        work: What each process does; its exit status is what this returns or gives to `sys.exit`.
        folder: Where the processes write what they say.
        number: Number of processes.
        timeout: Seconds after which processes that have not ended are killed.

    Returns:
        Exit statuses, and what each process said, by rank.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # at any free port
    logs = [folder / f"rank_{rank}.log" for rank in range(number)]
    processes = []
    for rank, log in enumerate(logs):
        place = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True,
        }  # fmt: skip
        place = {name: str(value) for name, value in place.items()}
        processes.append(multiprocessing.get_context("fork").Process(target=_rank, args=(work, place, log)))
        processes[-1].start()
    deadline = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for process in processes:
        process.kill()
        process.join()
    return [process.exitcode for process in processes], [log.read_text() for log in logs]


def _rank(work, place, log):
    os.environ.update(ENVIRONMENT | place)
    output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o644)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, stream)
        setattr(sys, name, os.fdopen(stream, "w", buffering=1))
    sys.exit(work())
