"""Without a configuration, a recipe that fits is chosen and named."""

from pathlib import Path

import pytest
import torch
import yaml

from vjepa.commands.pretrain import main
from vjepa.config import ConfigError, read_config
from vjepa.config.shipped import find_config
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.pretrain import choice
from vjepa.recipes.pretrain.choice import choose, with_recipe
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import _configuration


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
    assert capsys.readouterr().err == (
        "no recipe is given: pretrain/clips is chosen for 3 videos, because there is no GPU, and it takes "
        "minutes to hours on 2 CPU cores\n"
    )
    monkeypatch.setenv("RANK", "1")  # of several processes, one speaks
    assert with_recipe(given) == ["--config", "pretrain/clips", *given]
    assert not capsys.readouterr().err


def test_the_gpu_of_the_machine_counts_unless_the_run_is_to_use_the_cpu(folder, monkeypatch):
    monkeypatch.setattr(choice, "read_sources", lambda *_, **__: type("Many", (), {"num_rows": 10_000}))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    assert with_recipe(["--data.train", folder])[1] == "pretrain/tiny"
    assert with_recipe(["--data.train", folder, "--train.device=cpu"])[1] == "pretrain/clips"


@pytest.mark.parametrize("given", ["--config=debug", "--help", "-h"])
def test_where_a_recipe_is_given_or_only_help_is_asked_for_none_is_chosen(given, folder):
    assert with_recipe(["--data.train", folder, given]) == ["--data.train", folder, given]


CPU = "--train.device=cpu"


@pytest.mark.parametrize(
    "setting",
    [
        "--data.size=96",
        "--data.clip.clips_per_video=2",
        "--encoder.size=tiny",
        "--masks.tube=[{ratio: 0.9}]",
        "--predictor.depth=3",
        "--objective.target_blocks=1",
        "--optim.steps=500",
    ],
)
def test_a_setting_stands_on_top_of_the_chosen_recipe(setting, folder):
    given = ["--data.train", folder, CPU, setting]
    expected = read_config(["--config", "pretrain/clips", *given], PretrainConfig)
    assert read_config(with_recipe(given), PretrainConfig) == expected
    key, value = setting.removeprefix("--").split("=")
    tree = {}
    section = tree
    *sections, last = key.split(".")
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = yaml.safe_load(value)
    tree = {**tree, "train": {"device": "cpu"}, "data": {"train": folder, **tree.get("data", {})}}
    assert _configuration(None, tree) == expected


def test_a_warm_up_that_is_too_long_names_the_option_to_add(folder, monkeypatch):
    monkeypatch.setattr(choice, "choose", lambda *_: choice.Choice("pretrain/tiny", "of the test"))
    given = ["--data.train", folder, "--optim.steps=500"]
    with pytest.raises(ConfigError, match=r"warmup_steps is 4000, .* give optim\.warmup_steps 50,"):
        read_config(with_recipe(given), PretrainConfig)
    config = read_config(with_recipe([*given, "--optim.warmup_steps=50"]), PretrainConfig)
    assert (config.encoder.size, config.optim.steps) == ("tiny", 500)


@pytest.mark.parametrize("given", [[], ["--config=pretrain/tiny"], ["--optim.steps=500"]])
def test_the_configuration_that_is_printed_is_the_one_that_would_be_trained(given, folder, capsys, tmp_path):
    given = ["--data.train", folder, CPU, *given]
    with pytest.raises(SystemExit) as stop:
        main([*given, "--print_config"])
    assert stop.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert read_config([f"--config={printed}"], PretrainConfig) == read_config(
        with_recipe(given), PretrainConfig
    )


@pytest.mark.parametrize("option", ["--dynamics.depth=2", "--optim.stepz=2", "--train.device=gpu"])
def test_what_cannot_be_read_is_explained_as_with_a_recipe(option, folder):
    errors = []
    for given in ([option], ["--config=pretrain/clips", option]):
        with pytest.raises(ConfigError) as error:
            read_config(with_recipe(["--data.train", folder, *given]), PretrainConfig, others=CONFIGS)
        errors.append(str(error.value))
    assert errors[0] == errors[1]


def test_of_an_empty_list_no_recipe_is_chosen(capsys):
    assert main(["--data.train=[]"]) == 2
    assert capsys.readouterr().err == "error: data.train is []: give one source or more, or null\n"


def test_without_videos_the_remedy_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--output_dir", "nothing"]) == 2
    assert "there are no videos to train on: give data.train" in capsys.readouterr().err
