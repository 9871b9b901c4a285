"""Without a configuration, a recipe that fits is chosen and named."""

from pathlib import Path

import pytest
import torch

from vjepa.commands.pretrain import main
from vjepa.config import read_config
from vjepa.config.shipped import find_config
from vjepa.recipes.pretrain import choice
from vjepa.recipes.pretrain.choice import choose, with_recipe
from vjepa.recipes.pretrain.config import PretrainConfig


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of three files that pass for videos until they are opened."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    return str(tmp_path)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("num_videos", [1, 4_999, 5_000, 50_000, 2_000_000])
def test_every_choice_is_a_recipe_that_comes_with_the_library(num_videos, device):
    name, _ = choose(num_videos, device)
    assert Path(find_config(name)).is_file()
    config = read_config(["--config", name], PretrainConfig)
    if device == "cpu":
        assert config.encoder.size == "nano"


def test_on_a_gpu_the_network_grows_with_the_videos():
    sizes = [read_config(["--config", choose(n, "cuda").name], PretrainConfig) for n in (10, 5_000, 50_000)]
    assert [config.encoder.size for config in sizes] == ["nano", "tiny", "small"]


def test_the_chosen_recipe_and_the_reason_are_said(folder, capsys, monkeypatch):
    given = ["--data.train", folder, "--train.device", "cpu", "--output_dir", "mine"]
    assert with_recipe(given) == ["--config", "pretrain/clips", *given]
    assert capsys.readouterr().out == (
        "no recipe is given: pretrain/clips is chosen for 3 videos, because there is no GPU, and it takes "
        "minutes to hours on 2 CPU cores\n"
    )
    monkeypatch.setenv("RANK", "1")  # of several processes, one speaks
    assert with_recipe(given) == ["--config", "pretrain/clips", *given]
    assert not capsys.readouterr().out


def test_the_gpu_of_the_machine_counts_unless_the_run_is_to_use_the_cpu(folder, monkeypatch):
    monkeypatch.setattr(choice, "training_sources", lambda config: type("Many", (), {"num_rows": 10_000}))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    assert with_recipe(["--data.train", folder])[1] == "pretrain/tiny"
    assert with_recipe(["--data.train", folder, "--train.device=cpu"])[1] == "pretrain/clips"


@pytest.mark.parametrize(
    "described", ["--config=debug", "--encoder.size=tiny", "--data.size=64", "--masks.tube=[]", "--help"]
)
def test_a_run_that_is_described_is_left_as_it_is(described, folder):
    given = ["--data.train", folder, described]
    assert with_recipe(given) == given


def test_without_videos_the_remedy_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--output_dir", "nothing"]) == 2
    assert "there are no videos to train on: give data.train" in capsys.readouterr().err
