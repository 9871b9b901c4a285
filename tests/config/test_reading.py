"""What is printed reads back, and what the parser lets pass is refused with its key."""

import pytest

from vjepa.config import ConfigError, read_config, read_settings
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import PretrainConfig


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (["--config", "pretrain/tiny", "--optim.steps=4500"], PretrainConfig),
        (["--config", "base", "--data.train", "[a.csv, b.csv]"], PretrainConfig),
        ([], PretrainConfig),
        (["--config", "quickstart_probe"], FinetuneConfig),
        (["--config", "action/two_rooms"], ActionConfig),
        (["--config", "compare/rendered"], CompareConfig),
    ],
)
def test_what_print_config_prints_reads_back(given, kind, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        read_config([*given, "--print_config"], kind)
    assert stop.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert read_config(["--config", str(printed)], kind) == read_config(given, kind)


@pytest.mark.parametrize("text", ["optim: 5", "data: 5", "optim: null", "data: {clip: null}", "seed: null"])
def test_a_section_or_value_that_is_none_is_named_with_its_file(text, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(
        ConfigError, match=r"(is (5|null)|no keys): give (keys and their values|a whole)"
    ) as error:
        read_config(["--config", str(path)], PretrainConfig)
    assert str(error.value).startswith(f"{path}: ")


def test_settings_are_read_although_the_defaults_forbid_them():
    settings = read_settings(["--data={train: a.csv, size: 96}", "--optim.steps", "500"], PretrainConfig)
    assert (settings["data"]["train"], settings["data"]["size"]) == ("a.csv", 96)
    assert settings["optim"]["steps"] == 500
    with pytest.raises(ConfigError, match=r"optim\.steps is many: give a whole number"):
        read_settings(["--optim.steps=many"], PretrainConfig)
    with pytest.raises(ConfigError, match="it is one of vjepa action"):
        read_settings(["--dynamics.depth=2"], PretrainConfig, CONFIGS)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            "--masks.random=[{}]",
            "masks.random is {}: give a list, each item keys and their values, such as ratio",
        ),
        (
            "--objective.vicreg.varianc=1",
            "'objective.vicreg.varianc' is not a key of the configuration; did you mean "
            "'objective.vicreg.variance'?",
        ),
        (
            "--encoder.dept=1",
            "'encoder.dept' is not a key of the configuration; did you mean 'encoder.depth'?",
        ),
        (
            "--data.synthetic.render.siz=8",
            "'data.synthetic.render.siz' is not a key of the configuration; did you mean "
            "'data.synthetic.render.size'?",
        ),
        (
            "--objective.sigreg.projector.hiden=1",
            "'objective.sigreg.projector.hiden' is not a key of the configuration; did you mean "
            "'objective.sigreg.projector.hidden_dim'?",
        ),
    ],
)
def test_a_key_that_is_missing_or_unknown_is_named_in_one_sentence(given, sentence):
    with pytest.raises(ConfigError) as error:
        read_config([given], PretrainConfig)
    assert str(error.value) == sentence
