"""What all tests share: threads, times, accelerate's state, and a saved classifier.

Their tensors are so small that a second thread costs more than it gives: each core runs tests of its own
instead (pytest-xdist). How long an example takes says nothing on a busy machine, so hypothesis has no
deadline.
"""

import os

import hypothesis
import pytest

import vjepa.cpu_threads  # noqa: F401  (before torch)
from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import manifest, tiny_arguments, tiny_config  # noqa: F401  (fixtures)

os.environ.setdefault("OMP_NUM_THREADS", "1")
hypothesis.settings.register_profile("vjepa", deadline=None)
hypothesis.settings.load_profile("vjepa")


@pytest.fixture(autouse=True)
def _fresh_accelerate():
    fresh_accelerate()
    yield
    fresh_accelerate()


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory):
    """A classifier of three classes, saved; see `tests.inference.classifier_folder`."""
    from tests.inference.classifier_folder import save_classifier

    return save_classifier(tmp_path_factory.mktemp("classifier"))
