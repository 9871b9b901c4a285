import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import vjepa
from vjepa.models.video_model import VideoModel
from vjepa.weights.model_folder import load_classifier, save_pretrained

CONFIG = {
    "encoder": {"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": [2, 8, 8]},
    "predictor": {"in_dim": 24, "out_dim": 24, "embed_dim": 12, "depth": 1, "num_heads": 1},
    "pixels": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture
def folder(tmp_path):
    """A model folder whose two encoders differ."""
    torch.manual_seed(0)
    online, slow = VideoModel(CONFIG), VideoModel(CONFIG)
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
    model = VideoModel(CONFIG)
    video = torch.randint(0, 256, (2, 4, 3, 8, 8), dtype=torch.uint8)
    expected = ((video.float() / 255 - 0.5) / 0.5).transpose(1, 2)
    torch.testing.assert_close(model.normalizer(video), expected, atol=1e-5, rtol=1e-5)


def test_a_stem_comes_back_and_a_folder_that_names_none_has_a_linear_one(tmp_path):
    video = torch.randint(0, 256, (1, 4, 3, 16, 16), dtype=torch.uint8)
    for stem in ("linear", "convolutional"):
        config = {**CONFIG, "encoder": {**CONFIG["encoder"], "stem": stem}}
        model = VideoModel(config).eval()
        vjepa.save_pretrained(tmp_path / stem, model.state_dict(), config)
        assert torch.equal(vjepa.from_pretrained(tmp_path / stem).encode(video), model.encode(video))
    before = vjepa.from_pretrained(tmp_path / "linear").encode(video)
    for stem in ("linear", "convolutional"):
        rewritten(tmp_path / stem, lambda config: config["encoder"].pop("stem"))
    assert torch.equal(vjepa.from_pretrained(tmp_path / "linear").encode(video), before)
    with pytest.raises(ValueError, match=r"missing encoder\.patch_embed\.proj\.weight"):
        vjepa.from_pretrained(tmp_path / "convolutional")


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


def rewritten(folder, change):
    """The folder with another config.json."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


CLIP = {"num_frames": 4, "fps": 4, "stride": None, "size": [16, 16], "whole_frame": True}


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("encoder.num_heads", 0, r"encoder.num_heads is 0: give whole numbers from 1"),
        ("encoder.num_heads", 5, r"encoder.embed_dim 24 cannot be shared by encoder.num_heads 5"),
        ("encoder.depth", 100_000, r"encoder.depth is 100000: give whole numbers from 1 to 1000"),
        ("encoder.depth", 1.5, r"encoder.depth is 1.5"),
        ("encoder.embed_dim", "24", r"encoder.embed_dim is '24'"),
        ("encoder.embed_dim", True, r"encoder.embed_dim is True"),
        ("encoder.mlp_ratio", float("inf"), r"encoder.mlp_ratio is inf"),
        ("encoder.tubelet", [2, 8], r"encoder.tubelet is \[2, 8\]: give frames, rows and columns"),
        ("encoder.positions", "learnt", r"encoder.positions is 'learnt': give one of 'rotary'"),
        ("encoder.stem", "conv", r"encoder.stem is 'conv': give one of 'linear', 'convolutional'"),
        ("encoder.causal", 1, r"encoder.causal is 1: give true or false"),
        ("encoder.dept", 1, r"encoder has no argument 'dept': it has embed_dim, depth"),
        ("encoder", None, r"encoder is None"),
        ("encoder", {"embed_dim": 24, "num_heads": 2}, r"encoder.depth is missing"),
        ("predictor.num_mask_tokens", -1, r"predictor.num_mask_tokens is -1"),
        ("pixels.mean", [0.5, float("nan"), 0.5], r"pixels have mean \[0.5, nan, 0.5\]"),
        ("pixels.std", [0.5, 0, 0.5], r"and deviations above 0"),
        ("pixels.std", [0.5], r"a finite number for each channel"),
        ("clip", {**CLIP, "size": [16, 0]}, r"clip.size is \[16, 0\]"),
        ("clip", {**CLIP, "fps": -1}, r"clip.fps is -1"),
        (
            "future",
            {"context_steps": 0, "mask_token": 0, "normalisation": "none"},
            r"future.context_steps is 0",
        ),
        (
            "future",
            {"context_steps": 1, "mask_token": 0, "normalisation": "lay"},
            r"future.normalisation is 'lay'",
        ),
        ("clip", {"num_frames": 4}, r"clip is .* give fps, num_frames, size, stride, whole_frame"),
    ],
)
def test_a_configuration_is_checked_before_a_network_is_built(folder, part, value, message):
    def change(config):
        *outer, name = part.split(".")
        for key in outer:
            config = config[key]
        config[name] = value

    rewritten(folder, change)
    with pytest.raises(ValueError, match=message) as error:
        vjepa.from_pretrained(folder)
    assert str(error.value).startswith(f"{folder / 'config.json'} is no configuration of a model: ")


@pytest.mark.parametrize(("depth", "embed_dim"), [(1000, 24), (1, 999_998)])
def test_a_size_that_the_weights_have_not_takes_no_memory(folder, depth, embed_dim):
    rewritten(folder, lambda config: config["encoder"].update(depth=depth, embed_dim=embed_dim))
    with pytest.raises(
        ValueError, match=f"encoder.depth {depth} and encoder.embed_dim {embed_dim}, .* 1 blocks of width 24"
    ):
        vjepa.from_pretrained(folder)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"kind": "attentiv"}, "head.kind is 'attentiv': give one of linear, mlp, attentive"),
        ({"kind": "linear", "depth": 2}, "head has no argument 'depth'"),
        ({"kind": "attentive", "norm_eps": 0}, "head.norm_eps is 0"),
    ],
)
def test_a_head_is_checked_too(folder, head, message):
    rewritten(folder, lambda config: config.update(head=head, classes=["a", "b"], levels=[], token_norm=True))
    with pytest.raises(ValueError, match=message):
        load_classifier(folder)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"encoder": NaN}', "[" * 100_000])
def test_a_configuration_that_is_damaged_names_its_path(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=f"^{folder / 'config.json'} "):
        vjepa.from_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_damaged_weights_name_their_path(folder, kept):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:kept])
    with pytest.raises(ValueError, match=f"^{folder / 'model.safetensors'} cannot be read"):
        vjepa.from_pretrained(folder)


def test_weights_that_are_not_finite_are_named(folder):
    """Else all that the model says would be NaN, without a word."""
    state = load_file(folder / "model.safetensors")
    state["predictor.proj.weight"][0, :3] = torch.nan
    state["encoder.patch_embed.proj.bias"][1] = torch.inf
    save_file(state, folder / "model.safetensors")
    message = (
        r"not finite .*: encoder.patch_embed.proj.bias \(1 of 24\), predictor.proj.weight \(3 of 288\); take"
    )
    with pytest.raises(ValueError, match=message):
        vjepa.from_pretrained(folder)
    state = {name: value.nan_to_num(posinf=3e38) for name, value in state.items()}
    state["encoder.patch_embed.proj.bias"][:] = 3e38  # their sum is too large, and each of them is finite
    save_file(state, folder / "model.safetensors")
    assert vjepa.from_pretrained(folder).encoder is not None


def test_what_is_no_model_is_told_apart(folder, tmp_path):
    def refused(source, message):
        with pytest.raises(ValueError, match=message):
            vjepa.from_pretrained(source)

    refused(tmp_path / "nothing", "nothing is not a model: there is no such file or folder")
    refused("https://example.org/vitl.pt", "is an address: download the file, and give its path")
    (tmp_path / "files").mkdir()
    torch.save({}, tmp_path / "files" / "latest.pt")
    refused(tmp_path / "files", r"no config.json beside latest.pt; give such a file itself, \S+latest.pt")
    (tmp_path / "sharded").mkdir()
    (tmp_path / "sharded" / "config.json").write_text('{"model_type": "vjepa2"}')
    for parts in ("7", '{"a": 7}', '["a"]', '{"a": "../model/model.safetensors"}'):
        index = f'{{"weight_map": {parts}}}'
        (tmp_path / "sharded" / "model.safetensors.index.json").write_text(index)
        refused(
            tmp_path / "sharded",
            r"model.safetensors.index.json (has no weight_map|names the file \.\./model)",
        )


def test_a_target_encoder_of_another_size_is_refused_before_memory_is_taken(tmp_path):
    state = VideoModel(CONFIG).encoder.state_dict()
    config = {"encoder": {**CONFIG["encoder"], "embed_dim": 48}, "pixels": CONFIG["pixels"]}
    save_pretrained(tmp_path, {f"target_encoder.{name}": value for name, value in state.items()}, config)
    message = r"encoder\.embed_dim 48, and the weights of the target_encoder do not fit it"
    with pytest.raises(ValueError, match=message):
        vjepa.from_pretrained(tmp_path)
