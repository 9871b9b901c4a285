"""Threads and times of tests.

Their tensors are so small that a second thread costs more than it gives: each core runs tests of its own instead
(pytest-xdist). How long an example takes says nothing on a busy machine, so hypothesis has no deadline.
"""

import os

import hypothesis

import vjepa.cpu_threads  # noqa: F401  (before torch)

os.environ.setdefault("OMP_NUM_THREADS", "1")
hypothesis.settings.register_profile("vjepa", deadline=None)
hypothesis.settings.load_profile("vjepa")
