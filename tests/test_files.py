"""Places for results are found, and made ready before the work."""

from pathlib import Path

import pytest

from vjepa.files import ready_file, ready_folder, results_home


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_a_folder_of_a_model_holds_its_results(here):
    (here / "runs" / "mine").mkdir(parents=True)
    (here / "runs" / "tile.pt").touch()
    assert results_home("runs/mine") == Path("runs/mine")
    assert results_home("runs/tile.pt") == Path("tile")
    assert results_home("acme/model") == Path("acme-model")
    assert results_home("acme/model/large.pth@main") == Path("acme-model-large.pth-main")


def test_places_are_made_ready():
    assert ready_folder("a/b").is_dir()
    assert ready_file("out dir/videos.csv") == Path("out dir/videos.csv")
    assert Path("out dir").is_dir()
    assert ready_file("/dev/null") == Path("/dev/null")


def test_what_cannot_be_written_is_refused(monkeypatch):
    Path("file").touch()
    Path("folder").mkdir()
    with pytest.raises(
        ValueError, match=r"the folder file for results cannot be created \(File exists\): give"
    ):
        ready_folder("file")
    with pytest.raises(ValueError, match=r"the folder file/in for results cannot be created"):
        ready_file("file/in/a.csv")
    with pytest.raises(ValueError, match="folder is to be a file of results, and is a folder"):
        ready_file("folder")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(ValueError, match="the folder folder for results cannot be written to: give another"):
        ready_folder("folder")
