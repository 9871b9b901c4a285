"""Tools read and write the same videos as the tests of `vjepa.data`."""

from pathlib import Path

import pytest

from tests.data.conftest import burnt, read_numbers, real_data, write_video  # noqa: F401  (fixtures)


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """Put a model on the hub, go to an empty folder, and return its name on the hub."""

    def put(folder):
        monkeypatch.setattr("vjepa.weights.model_folder.download", lambda name: Path(folder))
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        return "acme/model"

    return put
