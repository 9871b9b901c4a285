"""Runs of several processes under the launcher."""

import os
import subprocess
import sys

ENVIRONMENT = {
    **os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    "ACCELERATE_USE_CPU": "true",
}  # fmt: skip


def two_processes(*command, timeout=180):
    """What the README says for two processes on a CPU: `--cpu --num_processes 2` would start one."""
    return several_processes(2, *command, timeout=timeout)


def several_processes(number, *command, timeout=180):
    """The same for another number of processes."""
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        str(number),
    ]
    port = ["--main_process_port", "0"]
    return subprocess.run(
        [*launch, *port, *command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
