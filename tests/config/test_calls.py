"""Settings as arguments of a Python call mean what they mean in a YAML file."""

from pathlib import Path

import numpy as np
import pytest

from vjepa.config import ConfigError, config_tree, read_config
from vjepa.config.calls import config_of_call, option_names, sections_of
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import PretrainConfig

SHORT = {"data": "train"}


def called(config=None, **settings):
    return config_of_call(config, settings, PretrainConfig, SHORT)


def test_settings_of_a_call_are_those_of_a_file(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "seed: 3\n"
        "data: {train: videos.csv, clip: {stride: 2}}\n"
        "masks: {multiblock: [], tube: [{ratio: 0.5}]}\n"
        "objective: {vicreg: {variance: 0.5}, momentum: [0.9, 1.0]}\n"
    )
    recipe = ["--config", "quickstart", "--config", str(mine), "--data.synthetic", "null"]
    expected = read_config(recipe, PretrainConfig)
    assert expected == called(
        "quickstart",
        seed=3,
        data={"train": Path("videos.csv"), "clip": {"stride": 2}, "synthetic": None},
        masks={"multiblock": [], "tube": [{"ratio": 0.5}]},
        objective={"vicreg": {"variance": 0.5}, "momentum": (0.9, 1.0)},
    )


def test_videos_and_a_model_may_be_given_alone():
    assert called(data=Path("videos.csv")).data.train == "videos.csv"
    assert called(data=["a.csv", Path("b.csv")]).data.train == ["a.csv", "b.csv"]
    short = {"data": "train", "model": "init"}
    tuned = config_of_call(None, {"data": "a.csv", "model": "runs/mine"}, FinetuneConfig, short)
    assert (tuned.data.train, tuned.model.init) == ("a.csv", "runs/mine")


def test_numbers_of_numpy_are_numbers():
    config = called(optim={"lr": np.float64(0.25)}, data={"crop_scale": np.array([0.5, 1.0])})
    assert (config.optim.lr, config.data.crop_scale) == (0.25, (0.5, 1.0))


def test_a_whole_configuration_is_taken_as_it_is_and_alone():
    config = read_config(["--config", "debug"], PretrainConfig)
    assert called(config) is config
    with pytest.raises(ConfigError, match="seed is given beside a whole configuration: give one of the two"):
        called(config, seed=3)


def test_a_wrong_setting_is_explained():
    with pytest.raises(ConfigError, match=r"'optim\.stepz' is not a key .* did you mean 'optim\.steps'\?"):
        called(optim={"stepz": 3})
    with pytest.raises(ConfigError, match="optim"):
        called(optim={"steps": "many"})


def test_without_settings_all_are_the_defaults():
    assert config_tree(called()) == config_tree(PretrainConfig())


def test_options_of_a_command_line_stand_for_settings():
    settings = sections_of({"data": "a.csv", "encoder": {"size": "tiny"}, "seed": 1}, SHORT)
    assert option_names(settings) == [
        "--data", "--data.train", "--encoder", "--encoder.size", "--seed",
    ]  # fmt: skip
