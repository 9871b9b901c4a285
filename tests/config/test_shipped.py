"""A configuration is found by its name, wherever the library is installed."""

from pathlib import Path

import pytest

from vjepa.config import ConfigError, read_config
from vjepa.config.shipped import find_config, shipped_folder
from vjepa.recipes.pretrain.config import PretrainConfig

QUICKSTART = Path(__file__).parents[2] / "configs" / "pretrain" / "quickstart.yaml"


@pytest.mark.parametrize(
    "name", ["quickstart", "pretrain/quickstart", "configs/pretrain/quickstart.yaml", "quickstart.yaml"]
)
def test_a_name_stands_for_a_file_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(find_config(name)) == QUICKSTART
    expected = read_config([f"--config={QUICKSTART}"], PretrainConfig)
    assert read_config(["--config", name], PretrainConfig) == expected
    assert read_config([f"--config={name}"], PretrainConfig) == expected


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("seed: 7\n")
    assert find_config("quickstart") == "quickstart"
    assert read_config(["--config", "quickstart"], PretrainConfig).seed == 7


def test_a_folder_does_not_hide_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert Path(find_config("quickstart")) == QUICKSTART


def test_a_name_of_several_is_refused_with_all_of_them():
    with pytest.raises(ConfigError, match=r"clips stands for several .*: give one of .*pretrain/clips"):
        read_config(["--config", "clips"], PretrainConfig)


def test_what_is_neither_is_reported_as_a_missing_file():
    with pytest.raises(ConfigError, match=r"nothere\.yaml"):
        read_config(["--config", "nothere.yaml"], PretrainConfig)


def test_every_shipped_name_is_unique_within_its_folder():
    names = [path.relative_to(shipped_folder()).as_posix() for path in shipped_folder().rglob("*.yaml")]
    assert all(Path(find_config(name)).is_file() for name in names)
