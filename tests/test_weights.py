import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import vjepa
from vjepa.models.world import WorldModel
from vjepa.weights import save_pretrained

CONFIG = {
    "encoder": {"width": 24, "depth": 1, "heads": 2, "tubelet": [2, 8, 8]},
    "predictor": {"in_width": 24, "out_width": 24, "width": 12, "depth": 1, "heads": 1},
    "pixels": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture
def folder(tmp_path):
    """A model folder whose two encoders differ."""
    torch.manual_seed(0)
    online, slow = WorldModel(CONFIG), WorldModel(CONFIG)
    state = dict(online.state_dict())
    state |= {
        f"target_{name}": value for name, value in slow.state_dict().items() if name.startswith("encoder.")
    }
    save_pretrained(tmp_path / "model", state, CONFIG)
    return tmp_path / "model"


def test_the_two_encoders_are_told_apart(folder):
    slow, online = vjepa.from_pretrained(folder), vjepa.from_pretrained(folder, which="encoder")
    assert slow.config["which"] == "target_encoder"
    stored = load_file(folder / "model.safetensors")
    for model, prefix in ((slow, "target_encoder."), (online, "encoder.")):
        assert not model.training
        for name, value in model.encoder.state_dict().items():
            assert torch.equal(value, stored[prefix + name])
    video = torch.randint(0, 256, (1, 4, 3, 16, 16), dtype=torch.uint8)
    assert not torch.allclose(slow.encode(video), online.encode(video))


def test_a_run_s_folder_is_as_good_as_its_model_s(folder):
    assert vjepa.from_pretrained(folder.parent).config["pixels"] == CONFIG["pixels"]


def test_a_saved_model_is_the_model(folder, tmp_path):
    model = vjepa.from_pretrained(folder)
    vjepa.save_pretrained(tmp_path / "again", model.state_dict(), model.config)
    again = vjepa.from_pretrained(tmp_path / "again", which="encoder")
    video = torch.randint(0, 256, (1, 4, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(model.encode(video), again.encode(video))
    assert (tmp_path / "again" / "config.json").exists()


def test_pixels_are_normalised_as_published():
    model = WorldModel(CONFIG)
    video = torch.randint(0, 256, (2, 4, 3, 8, 8), dtype=torch.uint8)
    expected = ((video.float() / 255 - 0.5) / 0.5).transpose(1, 2)
    torch.testing.assert_close(model.normalizer(video), expected, atol=1e-5, rtol=1e-5)


def test_no_model_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="is not a model"):
        vjepa.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_are_listed(folder):
    state = load_file(folder / "model.safetensors")
    state.pop("predictor.proj.bias")
    state["predictor.extra"] = torch.zeros(1)
    state["target_encoder.transformer.norm.weight"] = torch.zeros(7)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit") as error:
        vjepa.from_pretrained(folder)
    for line in (
        "missing predictor.proj.bias",
        "unexpected predictor.extra",
        "reshaped encoder.transformer.norm.weight: (7,) instead of (24,)",
    ):
        assert line in str(error.value)


def test_an_encoder_that_is_not_there_is_named(folder):
    state = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in state.items() if not name.startswith("target")},
        folder / "model.safetensors",
    )
    with pytest.raises(ValueError, match="it holds encoder, predictor"):
        vjepa.from_pretrained(folder, which="target_encoder")
    assert (
        vjepa.from_pretrained(folder).config["which"] == "encoder"
    )  # what there is, where none is asked for


def test_the_configuration_is_plain_json(folder):
    assert json.loads((folder / "config.json").read_text()) == CONFIG
