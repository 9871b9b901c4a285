"""Threads for tests: their tensors are so small that a second thread costs more than it gives."""

import os

import vjepa.cpu_threads  # noqa: F401  (before torch)

os.environ.setdefault("OMP_NUM_THREADS", "1")
