"""Settings as arguments of a Python call mean what they mean in a YAML file."""

from pathlib import Path

import numpy as np
import pytest

from vjepa.config import ConfigError, config_tree, read_config
from vjepa.config.calls import CallForms, config_of_call, settings_of_call
from vjepa.config.sections import OptimConfig, TrainConfig
from vjepa.data.clips import ClipSampling
from vjepa.data.python_datasets import dataset_of
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import DataConfig, PretrainConfig

FORMS = CallForms({"data": "train"}, ("data.train", "data.images", "probe.train", "probe.test"))


def called(config=None, **settings):
    return config_of_call(config, settings, PretrainConfig, FORMS)


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
    forms = CallForms({"data": "train", "model": "init"})
    tuned = config_of_call(None, {"data": "a.csv", "model": "runs/mine"}, FinetuneConfig, forms)
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


def test_a_list_of_clips_is_one_dataset_and_a_list_of_texts_is_several_sources():
    clips = [np.zeros((8, 3, 32, 32), np.uint8)] * 6
    for given in (clips, {"train": clips}, tuple(clips), ["a.mp4", clips[0]]):
        name = called(data=given).data.train
        assert name in ("python:builtins:list:data.train", "python:builtins:tuple:data.train")
        assert dataset_of(name) is (given["train"] if isinstance(given, dict) else given)
    assert called(data=("a.mov", "a.mov")).data.train == ["a.mov", "a.mov"]


def test_datasets_of_one_call_are_told_apart_and_each_has_one_name():
    one, two = [np.zeros(3)], [np.ones(3)]
    config = called(probe={"train": two, "test": one}, data={"train": one, "images": two})
    names = [config.data.train, config.data.images, config.probe.train, config.probe.test]
    assert [dataset_of(name)[0].sum() for name in names] == [0, 3, 3, 0]
    assert names[0] == names[3] != names[1] == names[2]


def test_sections_may_be_objects_of_their_classes():
    optim = OptimConfig(steps=9, warmup_steps=1)
    clip = ClipSampling(num_frames=8, stride=2)
    config = called("debug", optim=optim, data={"clip": clip})
    assert (config.optim, config.data.clip) == (optim, clip)
    config = called("debug", data=DataConfig(train=[np.zeros(3)]))
    assert config.data == DataConfig(train="python:builtins:list:data.train")
    with pytest.raises(ConfigError, match=r"'optim\.micro_batch' is not a key of the configuration"):
        called("debug", optim=TrainConfig())


def test_a_range_is_a_list_where_no_videos_are_taken():
    assert called(encoder={"levels": range(5, 7)}).encoder.levels == (5, 6)


class Stream:
    """Items in their order alone, as of an iterable dataset."""

    def __getitem__(self, number):
        raise NotImplementedError


@pytest.mark.parametrize("videos", [Stream(), 5, {1, 2}, iter("ab")])
def test_what_is_no_list_of_videos_is_refused_by_its_key(videos):
    with pytest.raises(TypeError, match=r"probe\.train is of type .* which has no length and no items by"):
        called(probe={"train": videos, "test": "test.csv"})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"output_dir": None}, "output_dir is null: give text"),
        ({"output_dir": b"x"}, "output_dir is b'x': give text"),
        ({"optim": 5}, "optim is 5: give keys and their values, such as steps"),
        ({"optim": None}, "optim is null: give keys and their values, such as steps"),
        ({"data": {"clip": 3}}, "data.clip is 3: give keys and their values, at least num_frames"),
        ({"seed": Stream}, f"seed is {Stream}: give a whole number"),
        ({"optim": {"betas": [0.9]}}, "optim.betas is [0.9]: give [a number, a number]"),
        ({"data": {"synthetic": {"seed": "x"}}}, "data.synthetic.seed is x: give a whole number"),
        ({"masks": {"tube": [{"ratio": "x"}]}}, "masks.tube.ratio is x: give a number"),
        ({"train": {"device": "gpu"}}, "train.device is gpu: give auto or cpu"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_named_with_what_to_give(settings, sentence):
    with pytest.raises(ConfigError) as error:
        called("debug", **settings)
    assert str(error.value) == sentence


def test_one_list_is_asked_for_where_one_is_taken():
    with pytest.raises(ConfigError) as error:
        config_of_call(None, {"data": ["a.csv", "b.csv"]}, FinetuneConfig, FORMS)
    assert str(error.value) == "data.train is ['a.csv', 'b.csv']: give text, or null"


@pytest.mark.parametrize("config", [{"optim": {"steps": 9}}, FinetuneConfig(), 5])
def test_what_is_no_configuration_of_the_run_is_refused(config):
    with pytest.raises(ConfigError, match="give the name or the file of a recipe, a PretrainConfig, or"):
        called(config)


def test_settings_are_read_although_the_defaults_forbid_them():
    settings = settings_of_call({"data": "a.csv", "optim": {"steps": 500}}, PretrainConfig, FORMS)
    assert (settings["data"]["train"], settings["optim"]["steps"]) == ("a.csv", 500)
    with pytest.raises(ConfigError, match=r"optim\.steps is many: give a whole number"):
        settings_of_call({"optim": {"steps": "many"}}, PretrainConfig, FORMS)
