"""Released weights, in their own layouts and in transformers', in and out.

Random weights, real names, no download.
"""

import copy
import json
import os
import warnings

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

import vjepa
from tests.weights.released import files
from tests.weights.released.masked_autoencoders import plane_positions
from vjepa.commands.convert import main as convert
from vjepa.data.transforms import clip_transform
from vjepa.grid import Grid
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.video_model import VideoModel
from vjepa.weights.model_folder import load_action_model, load_classifier, save_pretrained
from vjepa.weights.released import families
from vjepa.weights.released.families import recognise
from vjepa.weights.released.meta_layout import to_meta
from vjepa.weights.released.preprocessing import transformers_preprocessor
from vjepa.weights.released.reading import read_released
from vjepa.weights.released.shapes import ratio
from vjepa.weights.released.stated import num_heads_of, probe_levels_of
from vjepa.weights.released.transformers_layout import to_transformers

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes and licences; tested by name below

# What shapes do not tell of the tiny files, whose predictors and decoders have widths that nobody published.
PREDICTOR, DECODER = {"num_heads": {"predictor": 12}}, {"num_heads": {"decoder": 1}}
CONTEXT, TARGET = [0, 3, 4, 9, 17, 30], [1, 2, 20, 31]


def saved(folder, checkpoint, name="file.pt"):
    torch.save(checkpoint, folder / name)
    return folder / name


def pixels(frames=4, height=32, width=32, seed=0):
    return torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def predicted(model, video, token, context=CONTEXT, target=TARGET):
    """Of the first clip, by our predictor, from our encoder's tokens, which are given back, too."""
    index = torch.tensor([context])
    tokens = model.encoder(video[:1], index, levels=True)
    grid = model.encoder.grid_of(video)
    return tokens[0], model.predictor(tokens, index, torch.tensor([target]), grid, token)[0]


# In: the authors' own files.


@pytest.mark.parametrize("which", ["encoder", "target_encoder", None])
def test_vjepa(tmp_path, which):
    checkpoint = files.vjepa_file()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint, "vitl16.pth.tar"), which)
    assert model.config["which"] == (which or "target_encoder")
    assert model.config["released"]["family"] == "vjepa"
    state = files.plain(checkpoint[model.config["which"]])
    for shape in ((6, 24, 40), (4, 32, 32)):  # others than trained, then those
        video = pixels(*shape)
        x, grid = files.patches(state, "patch_embed.proj", video)
        table = files.video_table(grid, files.WIDTH)
        expected = files.norm(state, "norm", files.through(state, "blocks", x + table, files.HEADS)[-1])
        close(model.encoder(video), expected)
    assert torch.equal(table, state["pos_embed"])
    context, actual = predicted(model, video, token=1)
    narrow = files.plain(checkpoint["predictor"])
    table = narrow["predictor_pos_embed"]
    close(actual, files.predict(narrow, context, CONTEXT, TARGET, grid, 3, "mask_tokens.1", table=table))
    assert model.config["clip"] == {
        "num_frames": 4,
        "fps": None,
        "stride": 4,
        "size": [32, 32],
        "whole_frame": False,
    }


@pytest.mark.parametrize("shape", [(4, 32, 32), (6, 24, 40), (2, 16, 32)])
def test_vjepa2(tmp_path, shape):
    """Any grid: nothing of a position is stored."""
    checkpoint = files.vjepa2_file()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint), **PREDICTOR)
    state, video = files.plain(checkpoint["target_encoder"]), pixels(*shape)
    x, grid = files.patches(state, "patch_embed.proj", video)
    x = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")[-1]
    close(model.encoder(video), files.norm(state, "norm", x))
    if shape == (4, 32, 32):
        narrow = files.plain(checkpoint["predictor"])
        for token in (0, 3):
            context, actual = predicted(model, video, token)
            expected = files.predict(
                narrow, context, CONTEXT, TARGET, grid, 12, f"mask_tokens.{token}", layout="tile"
            )
            close(actual, expected)


def test_the_mask_token_of_vjepa2_is_one_that_was_trained(tmp_path):
    path = saved(tmp_path, files.vjepa2_file())
    with pytest.warns(UserWarning, match=r"of 10 mask tokens, \[3\] are not zero, and number 3 is taken"):
        model = vjepa.from_pretrained(path, **PREDICTOR)
    assert model.config["future"]["mask_token"] == 3
    assert model.config["clip"] == {
        "num_frames": 64,
        "fps": 4,
        "stride": None,
        "size": [256, 256],
        "whole_frame": False,
    }
    named = vjepa.from_pretrained(saved(tmp_path, files.vjepa2_file(), "vitg-384.pt"), **PREDICTOR)
    assert named.config["clip"]["size"] == [384, 384]


def stretched(grid):
    """V-JEPA 2.1's places: rows and columns reach as far as those of 256 x 256 pixels, whatever the size."""
    side = 256 // files.PATCH
    return files.places(grid) * [1, (side - 1) / (grid[1] - 1), (side - 1) / (grid[2] - 1)]


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_vjepa2_1(tmp_path, size):
    """Levels, an embedding of images, and a predictor of all levels that tells images from videos there."""
    checkpoint = files.vjepa2_1_file()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint), **PREDICTOR)
    state, video = files.plain(checkpoint["target_encoder"]), pixels(4, *size)
    for kind, name, clip in (("video", "patch_embed", video), ("img", "patch_embed_img", video[:, :, :1])):
        x, grid = files.patches(state, f"{name}.proj", clip)
        place = stretched(grid)
        outputs = files.through(
            state, "blocks", x + state[f"{kind}_mod_embed"], files.HEADS, place, "interleave"
        )
        levels = [files.norm(state, f"norms_block.{n}", outputs[k]) for n, k in enumerate((2, 5, 8, 11))]
        close(model.encoder(clip), levels[-1])
        close(model.encoder(clip, levels=True), torch.cat(levels, dim=-1))
    narrow = files.plain(checkpoint["predictor"])
    context, actual = predicted(model, video, token=2)
    x = files.linear(narrow, "predictor_embed.2", F.gelu(files.linear(narrow, "predictor_embed.0", context)))
    x = torch.cat([x, narrow["mask_tokens.2"][0].expand(len(TARGET), -1)]) + narrow["video_mod_embed"][0]
    place = stretched((2, size[0] // 8, size[1] // 8))[[*CONTEXT, *TARGET]]
    x = files.norm(
        narrow, "predictor_norm", files.through(narrow, "predictor_blocks", x, 12, place, "interleave")[-1]
    )
    close(actual, files.linear(narrow, "predictor_proj", x[len(CONTEXT) :]))


def test_a_distilled_vjepa2_1_without_its_predictor(tmp_path):
    """It predicts its teacher's tokens, which are wider."""
    checkpoint = files.vjepa2_1_file()
    narrow = files.predictor(3, 8, trained=(0,)) | files.pair("predictor_proj", 256, files.NARROW, seed=5)
    distilled = {"ema_encoder": checkpoint["target_encoder"], "predictor": files.wrapped(narrow)}
    path = saved(tmp_path, distilled, "distilled.pt")
    with pytest.warns(UserWarning, match="the predictor is left out: it predicts another encoder's tokens"):
        model = vjepa.from_pretrained(path)
    assert model.config["which"] == "target_encoder"
    expected = vjepa.from_pretrained(saved(tmp_path, checkpoint), **PREDICTOR).encoder(pixels())
    close(model.encoder(pixels()), expected)


def test_sizes_that_the_weights_were_not_trained_for_are_warned_of(tmp_path):
    with pytest.warns(
        UserWarning, match="for other sizes than in training the position table is computed anew"
    ):
        vjepa.from_pretrained(saved(tmp_path, files.vjepa_file()))
    with pytest.warns(UserWarning, match="stretched to the positions of 256 x 256 pixels, as the authors do"):
        vjepa.from_pretrained(saved(tmp_path, files.vjepa2_1_file()), **PREDICTOR)


def test_vjepa2_ac_without_its_predictor(tmp_path):
    checkpoint = files.vjepa2_ac_file()
    with pytest.warns(UserWarning, match="the predictor is left out: it is conditioned on actions"):
        model = vjepa.from_pretrained(saved(tmp_path, checkpoint))
    assert model.predictor is None
    state, video = files.plain(checkpoint["target_encoder"]), pixels()
    x, grid = files.patches(state, "patch_embed.proj", video)
    x = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")[-1]
    close(model.encoder(video), files.norm(state, "norm", x))


def their_next_frame(state, tokens_TSD, actions, states, side):
    """V-JEPA 2-AC's predictor of one clip, written from facebookresearch/vjepa2 at c2963a4
    (src/models/ac_predictor.py, ACRoPEAttention of src/models/utils/modules.py): 2 condition tokens a frame.
    """
    frames, embed_dim = len(tokens_TSD), files.NARROW  # one head
    conditions = [
        files.linear(state, f"{name}_encoder", part)
        for name, part in (("action", actions), ("state", states))
    ]
    x = torch.cat(
        [*(part[:, None] for part in conditions), files.linear(state, "predictor_embed", tokens_TSD)], 1
    )
    place = torch.tensor([-1, -1, *range(side * side)]).repeat(frames)
    time = torch.arange(frames).repeat_interleave(side * side + 2)
    each = 2 * (embed_dim // 3 // 2)
    positions = (time, torch.where(place < 0, 0, place // side), torch.where(place < 0, 0, place % side))
    x = x.flatten(0, 1)
    for number in range(2):
        name = f"predictor_blocks.{number}"
        qkv = files.linear(state, f"{name}.attn.qkv", files.norm(state, f"{name}.norm1", x))
        q, k, v = (part.clone() for part in qkv.unflatten(-1, (3, embed_dim)).unbind(1))
        for axis, position in enumerate(positions):
            part = slice(axis * each, (axis + 1) * each)
            frequency = 10_000.0 ** -(torch.arange(each // 2) / (each // 2))
            angle = (position[:, None] * frequency).repeat(1, 2)  # repeated as a whole
            for values in (q, k):
                first, second = values[:, part].unflatten(-1, (-1, 2)).unbind(-1)
                other = torch.stack([-second, first], dim=-1).flatten(-2)
                values[:, part] = values[:, part] * angle.cos() + other * angle.sin()
        score = (q @ k.T / embed_dim**0.5).masked_fill(time[:, None] < time[None], -torch.inf)
        x = x + files.linear(state, f"{name}.attn.proj", score.softmax(-1) @ v)
        hidden = torch.nn.functional.gelu(
            files.linear(state, f"{name}.mlp.fc1", files.norm(state, f"{name}.norm2", x))
        )
        x = x + files.linear(state, f"{name}.mlp.fc2", hidden)
    x = x.unflatten(0, (frames, -1))[:, 2:]
    return files.linear(state, "predictor_proj", files.norm(state, "predictor_norm", x))


@torch.no_grad()
def test_vjepa2_ac_with_its_predictor(tmp_path):
    checkpoint = files.vjepa2_ac_file()
    path = saved(tmp_path, checkpoint)
    with pytest.raises(
        ValueError, match=r"how many heads a predictor of embed_dim 96 .* num_heads=\{\"predictor\": N\}"
    ):
        vjepa.load_action_model(path)
    with pytest.raises(ValueError, match=r"heads names 'decoder', .* give heads of encoder, predictor"):
        vjepa.load_action_model(path, num_heads={"predictor": 1, "decoder": 1})
    model, config = vjepa.load_action_model(path, num_heads={"predictor": np.int64(1)})
    json.dumps(config)
    assert config["dynamics"]["action_size"] == config["dynamics"]["state_size"] == 7
    encoder, narrow = files.plain(checkpoint["target_encoder"]), files.plain(checkpoint["predictor"])
    video = torch.randint(0, 256, (1, 2, 3, 256, 256), dtype=torch.uint8)
    tokens = model.encode(video)
    still = model.normalizer(video)[:, :, :1].expand(-1, -1, 2, -1, -1)  # a frame fills a tubelet
    x, grid = files.patches(encoder, "patch_embed.proj", still)
    x = files.through(encoder, "blocks", x[0], files.HEADS, files.places(grid), "tile")[-1]
    expected = torch.nn.functional.layer_norm(files.norm(encoder, "norm", x), (files.WIDTH,))
    close(tokens[0, 0], expected)
    actions, states = (normal_rows(seed) for seed in (1, 2))
    next_frame = their_next_frame(narrow, tokens[0], actions, states, grid[1])
    found = model.dynamics(tokens, actions[None], states[None], model.space).tokens_BTSD[0]
    close(found, torch.nn.functional.layer_norm(next_frame, (files.WIDTH,)))
    imagined = model.imagine(
        tokens[:, :1], actions[None, :1], states[None, :1], lambda pose, change: pose + change
    )
    first = model.dynamics(tokens[:, :1], actions[None, :1], states[None, :1], model.space).tokens_BTSD
    close(imagined.tokens_BFSD, first)
    with pytest.raises(ValueError, match="give next_state"):
        model.imagine(tokens[:, :1], actions[None], states[None, :1])
    del checkpoint["predictor"]["module.backbone.predictor_norm.weight"]
    with pytest.raises(ValueError, match=r"missing predictor\.predictor_norm\.weight"):
        vjepa.load_action_model(saved(tmp_path, checkpoint), num_heads={"predictor": 1})
    with pytest.raises(
        ValueError, match=r"file.pt: it is V-JEPA 2's, which has no action-conditioned predictor"
    ):
        vjepa.load_action_model(saved(tmp_path, files.vjepa2_file()))


def normal_rows(seed):
    return torch.randn(2, 7, generator=torch.Generator().manual_seed(seed))


def test_ijepa(tmp_path):
    checkpoint = files.ijepa_file()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint, "ijepa.pth.tar"))
    state, narrow = files.plain(checkpoint["target_encoder"]), files.plain(checkpoint["predictor"])
    for height in (32, 16):
        image = pixels(1, height)
        x, grid = files.patches(state, "patch_embed.proj", image)
        x = files.through(state, "blocks", x + files.plane_table(grid, files.WIDTH), files.HEADS)[-1]
        close(model.encoder(image), files.norm(state, "norm", x))
    context, actual = predicted(model, pixels(1), 0, [0, 3, 9], [1, 15])
    table = files.plane_table((1, 4, 4), files.NARROW)
    close(actual, files.predict(narrow, context, [0, 3, 9], [1, 15], (1, 4, 4), 3, "mask_token", table=table))


def their_pixels(predicted_NP):
    """Ours has the channel first; theirs last."""
    return predicted_NP.unflatten(-1, (3, -1)).transpose(-1, -2).flatten(-2)


def decoded(state, x, kept, hidden, table, names):
    """VideoMAE's decoder, of one clip: context and placeholders, in this order, with their positions."""
    embed, name = names
    x = torch.cat([files.linear(state, embed, x), state["mask_token"][0].expand(len(hidden), -1)])
    return files.through(state, name, x + table[0, [*kept, *hidden]], 1)[-1]


@pytest.mark.parametrize("frames", [4, 6])
def test_videomae(tmp_path, frames):
    """In 6 frames the table goes on, as the sinusoid does."""
    checkpoint = files.videomae_file()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint, "checkpoint.pth"), **DECODER)
    state, video = checkpoint["model"], pixels(frames, 32, 24)
    x, grid = files.patches(state, "encoder.patch_embed.proj", video)
    tokens = grid[0] * grid[1] * grid[2]
    x = (x + files.number_table(tokens, files.WIDTH))[:1, CONTEXT[:4]]
    x = files.norm(state, "encoder.norm", files.through(state, "encoder.blocks", x, files.HEADS)[-1])
    index = torch.tensor([CONTEXT[:4]])
    close(model.encoder(video[:1], index), x)
    with torch.no_grad():
        actual = model.decoder(x, index, torch.tensor([[1, 5]]), model.encoder.grid_of(video))
    names = ("encoder_to_decoder", "decoder.blocks")
    x = decoded(state, x[0], CONTEXT[:4], [1, 5], files.number_table(tokens, 64), names)
    close(
        their_pixels(actual[0]), files.linear(state, "decoder.head", files.norm(state, "decoder.norm", x))[4:]
    )


def test_a_fine_tuned_videomae(tmp_path):
    checkpoint = files.videomae_classifier_file()
    path = saved(tmp_path, checkpoint)
    classifier, config = load_classifier(path)
    assert config["classes"] == ["0", "1", "2", "3", "4"]
    video = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    state = checkpoint["module"]
    x, _ = files.patches(state, "patch_embed.proj", classifier.normalizer(video))
    x = files.through(state, "blocks", x + files.number_table(32, files.WIDTH), files.HEADS)[-1]
    close(classifier(video), files.linear(state, "head", files.norm(state, "fc_norm", x.mean(dim=1))))
    model = vjepa.from_pretrained(path)  # without its head
    assert model.config["which"] == "encoder"
    close(model.encode(video), x)


def videomae2_folder(folder, state, **changed):
    """A repository of OpenGVLab's VideoMAE v2 on the hub.

    Its wrapper keeps the network under `model`, without a head.
    """
    from safetensors.torch import save_file

    settings = {
        "img_size": 32,
        "patch_size": 8,
        "in_chans": 3,
        "num_classes": 0,
        "embed_dim": files.WIDTH,
        "depth": 2,
        "num_heads": 3,
        "mlp_ratio": 4,
        "qkv_bias": True,
        "qk_scale": None,
        "init_values": 0.0,
        "use_learnable_pos_emb": False,
        "tubelet_size": 2,
        "use_mean_pooling": True,
        "num_frames": 4,
        "cos_attn": False,
    }
    description = {"model_type": "VideoMAEv2_Base", "architectures": ["VideoMAEv2_Base"]}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**description, "model_config": {**settings, **changed}}))
    save_file(files.wrapped(state, "model."), folder / "model.safetensors")
    return folder


def test_videomae2_of_the_hub(tmp_path):
    """Blocks without a last norm, and a norm of the mean (OpenGVLab/VideoMAEv2 at 29eab1e,
    models/modeling_finetune.py).
    """
    state = files.videomae_classifier_file()["module"]
    del state["head.weight"], state["head.bias"]
    with pytest.warns(UserWarning, match="its fc_norm, a norm of the mean over all tokens, is left out"):
        model = vjepa.from_pretrained(videomae2_folder(tmp_path / "v2", state))
    assert (model.config["clip"]["num_frames"], model.config["clip"]["size"]) == (4, [32, 32])
    video = pixels()
    x, _ = files.patches(state, "patch_embed.proj", video)
    close(
        model.encoder(video),
        files.through(state, "blocks", x + files.number_table(32, files.WIDTH), files.HEADS)[-1],
    )
    with pytest.raises(ValueError, match=r"model_config\.cos_attn is True"):
        vjepa.from_pretrained(videomae2_folder(tmp_path / "v2", state, cos_attn=True))


def test_a_head_on_the_first_token_is_refused_by_name(tmp_path):
    state = files.encoder(1, key_bias=False) | files.pair("head", 5, files.WIDTH, seed=6)
    with pytest.raises(ValueError, match="its head sees the first token alone"):
        vjepa.from_pretrained(saved(tmp_path, {"model": state}))
    del state["head.weight"], state["head.bias"]
    assert vjepa.from_pretrained(saved(tmp_path, {"model": state})).config["encoder"]["last_norm"]


def test_mae(tmp_path):
    """The class token goes through encoder and decoder, and has no position."""
    checkpoint = files.mae_file()
    model = vjepa.from_pretrained(
        saved(tmp_path, checkpoint, "mae_visualize_vit.pth"), num_heads={"decoder": 16}
    )
    state, image, kept = checkpoint["model"], pixels(1), [0, 3, 9]
    x, _ = files.patches(state, "patch_embed.proj", image)
    x = torch.cat([state["cls_token"].expand(2, -1, -1), x], dim=1) + state["pos_embed"]
    encoded = files.norm(state, "norm", files.through(state, "blocks", x, files.HEADS)[-1])
    close(model.encoder(image), encoded[:, 1:])
    index = torch.tensor([kept, kept])
    with torch.no_grad():
        tokens = model.encoder(image, index, class_token=True)
        actual = model.decoder(tokens, index, torch.tensor([[1, 15], [1, 15]]), model.encoder.grid_of(image))
    x = torch.cat([files.linear(state, "decoder_embed", tokens[0]), state["mask_token"][0].expand(2, -1)])
    x = x + state["decoder_pos_embed"][0, [0, *(1 + n for n in kept), 2, 16]]
    x = files.norm(state, "decoder_norm", files.through(state, "decoder_blocks", x, 16)[-1])
    close(their_pixels(actual[0]), files.linear(state, "decoder_pred", x)[-2:])


def cross_attention(state, query, tokens, num_heads):
    """The authors' CrossAttentionBlock: facebookresearch/jepa at 51c59d5 and vjepa2 at c2963a4,
    src/models/utils/modules.py.

    The first has a layer xattn.proj, which its forward does not use; the second has none.
    """
    cross, eps = "pooler.cross_attention_block", files.POOLER_EPS
    seen = files.norm(state, f"{cross}.norm1", tokens, eps)
    q, kv = files.linear(state, f"{cross}.xattn.q", query), files.linear(state, f"{cross}.xattn.kv", seen)
    k, v = kv.unflatten(-1, (2, -1)).unbind(-2)
    weights = torch.einsum("bqhd,bkhd->bhqk", *(part.unflatten(-1, (num_heads, -1)) for part in (q, k)))
    weights = (weights / (q.shape[-1] // num_heads) ** 0.5).softmax(dim=-1)
    query = query + torch.einsum("bhqk,bkhd->bqhd", weights, v.unflatten(-1, (num_heads, -1))).flatten(2)
    hidden = F.gelu(files.linear(state, f"{cross}.mlp.fc1", files.norm(state, f"{cross}.norm2", query, eps)))
    return query + files.linear(state, f"{cross}.mlp.fc2", hidden)


def probe_logits(state, tokens, num_heads, *, blocks_on):
    """AttentiveClassifier, from src/models/attentive_pooler.py of the same commits: V-JEPA's blocks work on
    what the query found, V-JEPA 2's on the tokens before it looks."""
    query = state["pooler.query_tokens"].expand(len(tokens), -1, -1)

    def through(x):
        return files.through(state, "pooler.blocks", x, num_heads, eps=files.POOLER_EPS)[-1]

    if blocks_on == "tokens":
        found = cross_attention(state, query, through(tokens), num_heads)
    else:
        found = through(cross_attention(state, query, tokens, num_heads))
    return files.linear(state, "linear", found[:, 0])


def test_a_probe_of_vjepa2_on_its_encoder(tmp_path):
    probe = files.probe_file()
    encoder, path = saved(tmp_path, files.vjepa2_file()), saved(tmp_path, probe, "ssv2-probe.pt")
    with pytest.raises(ValueError, match=r"how many heads a probe of embed_dim 192 has .* give num_heads=N"):
        load_classifier(encoder, probe=path, levels=[])
    with pytest.raises(
        ValueError, match=r"which blocks a probe of 5 classes on 2 blocks sees .* levels=\[\]"
    ):
        load_classifier(encoder, probe=path, num_heads=16)
    classifier, config = load_classifier(encoder, probe=path, num_heads=4, levels=[])
    assert config["which"] == "target_encoder"
    tokens, state = torch.randn(2, 20, files.WIDTH), files.plain(probe["classifiers"][0])
    close(classifier.head(tokens), probe_logits(state, tokens, 4, blocks_on="tokens"))


def test_a_probe_of_several_levels(tmp_path):
    """Their tokens one after the other, each through the last norm: facebookresearch/vjepa2 at c2963a4,
    evals/video_classification_frozen/modelcustom/vit_encoder_multiclip_multilevel.py and
    src/models/vision_transformer.py."""
    checkpoint, probe = files.vjepa2_file(), files.probe_file()
    paths = saved(tmp_path, checkpoint), saved(tmp_path, probe, "probe.pt")
    classifier, config = load_classifier(paths[0], probe=paths[1], num_heads=16, levels=[0, 1])
    assert config["levels"] == [0, 1]
    video = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    state = files.plain(checkpoint["target_encoder"])
    x, grid = files.patches(state, "patch_embed.proj", classifier.normalizer(video))
    outputs = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")
    tokens = torch.cat([files.norm(state, "norm", output) for output in outputs], dim=1)
    probe_state = files.plain(probe["classifiers"][0])
    close(classifier(video), probe_logits(probe_state, tokens, 16, blocks_on="tokens"))
    written = saved(tmp_path, to_meta(config, classifier.state_dict()), "written.pt")
    close(load_classifier(written)[0](video), classifier(video))


def test_published_probes_are_known_by_their_classes():
    """configs/eval of facebookresearch/vjepa2 at c2963a4, vitl and vitg-384.

    Diving48, jester, ssv2, k400, coin, in1k.
    """

    def levels(classes, depth):
        return probe_levels_of(classes, depth, "vjepa2", {})

    assert [levels(classes, 24) for classes in (48, 27, 174, 400, 180, 1000)] == [
        *2 * [[17, 19, 21, 23]],
        *4 * [[]],
    ]
    assert [levels(classes, 40) for classes in (48, 27, 174, 400, 180, 1000)] == [
        *2 * [[24, 29, 34, 39]],
        *4 * [[]],
    ]
    for classes, depth in ((48, 32), (49, 24)):
        with pytest.raises(ValueError, match="there is no such published probe: give levels"):
            levels(classes, depth)
    assert probe_levels_of(48, 24, "vjepa", {}) == []


def test_a_probe_of_anticipation_says_why_it_is_not_read(tmp_path):
    probe = files.probe_file()
    (head,) = probe["classifiers"]
    linear = {name: head.pop(name) for name in list(head) if name.endswith(("linear.weight", "linear.bias"))}
    for name, value in linear.items():
        for kind in ("verb", "noun", "action"):
            head[name.replace("linear", f"{kind}_classifier")] = value.clone()
    paths = saved(tmp_path, files.vjepa2_file()), saved(tmp_path, probe, "probe.pt")
    with pytest.raises(ValueError, match="a probe of action anticipation"):
        load_classifier(paths[0], probe=paths[1])


@pytest.mark.parametrize("depth", [1, 3])
def test_a_probe_of_vjepa_on_its_encoder(tmp_path, depth):
    """Its blocks come after the cross-attention, and its projection is not used."""
    probe = files.vjepa_probe_file(depth)
    path = saved(tmp_path, probe, "k400-probe.pth.tar")
    with pytest.warns(
        UserWarning, match=r"xattn.proj of the probe has a bias that was trained, and is not used"
    ):
        classifier, config = load_classifier(saved(tmp_path, files.vjepa_file()), probe=path)
    tokens, state = torch.randn(2, 20, files.WIDTH), files.plain(probe["classifier"])
    close(
        classifier.head(tokens),
        probe_logits(state, tokens, config["encoder"]["num_heads"], blocks_on="queries"),
    )
    written = to_meta(config, classifier.state_dict())
    (theirs,) = written["classifiers"]
    assert (
        theirs.keys() == probe["classifier"].keys()
    )  # the projection, too, without which their code does not load
    again, _ = load_classifier(saved(tmp_path, written, "written.pt"))
    close(again.head(tokens), classifier.head(tokens))


def test_a_probe_stands_on_its_own_kind_of_encoder(tmp_path):
    probes = {"V-JEPA's": files.vjepa_probe_file(1), "V-JEPA 2's": files.probe_file()}
    for whose, make in (("V-JEPA's", "vjepa2_file"), ("V-JEPA 2's", "vjepa_file")):
        paths = saved(tmp_path, getattr(files, make)()), saved(tmp_path, probes[whose], "probe.pt")
        with pytest.raises(ValueError, match=f"it is a probe of {whose} kind"):
            load_classifier(paths[0], probe=paths[1])
    with pytest.raises(ValueError, match=r"a probe needs an encoder of V-JEPA, 2 or 2\.1"):
        load_classifier(
            saved(tmp_path, files.ijepa_file()), probe=saved(tmp_path, files.probe_file(), "probe.pt")
        )
    theirs_in(tmp_path / "theirs", transformers.VJEPA2Model, VJEPA2)
    with pytest.raises(ValueError, match="is a folder of transformers, and a probe needs"):
        load_classifier(tmp_path / "theirs", probe=saved(tmp_path, files.probe_file(), "probe.pt"))


def test_the_future_of_released_weights(tmp_path):
    future = vjepa.FuturePredictor(vjepa.from_pretrained(saved(tmp_path, files.vjepa_file())))
    future.observe(torch.rand(8, 3, 32, 32))
    assert future.predict(steps=1).embeddings_BFhwY.shape == (1, 1, 4, 4, files.WIDTH)


# In and out: transformers.

SIZES = {
    "hidden_size": 48,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "patch_size": 8,
    "initializer_range": 0.2,
}
MAE_SIZES = {
    **SIZES,
    "image_size": 32,
    "intermediate_size": 192,
    "decoder_hidden_size": 24,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 96,
    "layer_norm_eps": 1e-6,
}
VJEPA2 = transformers.VJEPA2Config(
    **SIZES,
    crop_size=32,
    frames_per_clip=4,
    pred_hidden_size=24,
    pred_num_attention_heads=2,
    pred_num_hidden_layers=2,
    num_pooler_layers=1,
    num_labels=3,
    id2label={0: "push", 1: "pull", 2: "turn"},
)
VIDEOMAE = transformers.VideoMAEConfig(**MAE_SIZES, num_frames=4, use_mean_pooling=False, qkv_bias=True)


def theirs_in(folder, kind, config):
    """A model of transformers with weights that hide nothing, saved as transformers does."""
    torch.manual_seed(0)
    model = kind(copy.deepcopy(config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "pos" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "decoder" in name:
                parameter.copy_(plane_positions(4, 24))
            else:
                parameter.copy_(plane_positions(4, 48)[-parameter.shape[1] :])
    for part in model.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = 1e-6  # the authors'; transformers leaves torch's default in some places
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("frames", [4, 8])
def test_vjepa2_model_of_transformers(tmp_path, frames):
    theirs = theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2)
    model, video = vjepa.from_pretrained(tmp_path), pixels(frames)
    assert model.config["which"] == "encoder"
    order = torch.stack([torch.randperm(16 * frames // 2) for _ in range(2)])
    context, target = order[:, :10], order[:, 10:25]
    with torch.no_grad():
        output = theirs(video.transpose(1, 2), context_mask=[context], target_mask=[target])
        # They encode all tokens, take the context from those, and always ask with the second mask token.
        tokens = model.encoder(video)
        seen = torch.gather(tokens, 1, context[..., None].expand(-1, -1, 48))
        actual = model.predictor(seen, context, target, model.encoder.grid_of(video), mask_token=1)
    close(tokens, output.last_hidden_state)
    close(actual, output.predictor_output.last_hidden_state)


def test_a_context_by_itself_is_what_the_authors_encode(tmp_path):
    """Not what transformers does: there, the context has seen the targets."""
    theirs, model = theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2), vjepa.from_pretrained(tmp_path)
    video, changed = pixels(), pixels()
    changed[:, :, 2:] = 0
    context = torch.arange(16).expand(2, -1)  # of the first two frames
    with torch.no_grad():
        assert torch.equal(model.encoder(video, context), model.encoder(changed, context))
        seen = [
            theirs(
                clip.transpose(1, 2), context_mask=[context], target_mask=[context + 16]
            ).masked_hidden_state
            for clip in (video, changed)
        ]
    assert not torch.allclose(*seen, atol=1e-2)


def test_vjepa2_classifier_of_transformers(tmp_path):
    theirs = theirs_in(tmp_path, transformers.VJEPA2ForVideoClassification, VJEPA2)
    classifier = vjepa.VideoClassifier.from_pretrained(tmp_path)
    assert classifier.classes == ("push", "pull", "turn")
    video = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        close(classifier.network(video), theirs(classifier.network.normalizer(video).transpose(1, 2)).logits)


def test_videomae_of_transformers(tmp_path):
    theirs = theirs_in(tmp_path, transformers.VideoMAEForPreTraining, VIDEOMAE)
    model, video = vjepa.from_pretrained(tmp_path), pixels()
    hidden = torch.zeros(2, 32, dtype=torch.bool)
    hidden[:, 10:] = True
    index = torch.arange(32).expand(2, -1)
    with torch.no_grad():
        logits = theirs(video.transpose(1, 2), bool_masked_pos=hidden).logits
        tokens = model.encoder(video, index[:, :10])
        actual = model.decoder(tokens, index[:, :10], index[:, 10:], model.encoder.grid_of(video))
        close(model.encoder(video), theirs.videomae(video.transpose(1, 2)).last_hidden_state)
    close(their_pixels(actual), logits)


def test_fine_tuned_videomae_of_transformers(tmp_path):
    config = copy.deepcopy(VIDEOMAE)
    config.use_mean_pooling, config.num_labels = True, 5
    theirs = theirs_in(tmp_path, transformers.VideoMAEForVideoClassification, config)
    classifier, _ = load_classifier(tmp_path)
    video = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        close(classifier(video), theirs(classifier.normalizer(video).transpose(1, 2)).logits)


@pytest.mark.parametrize("kind", ["IJepaModel", "ViTMAEModel", "ViTMAEForPreTraining"])
def test_image_models_of_transformers(tmp_path, kind):
    config = transformers.IJepaConfig if kind == "IJepaModel" else transformers.ViTMAEConfig
    sizes = {key: value for key, value in MAE_SIZES.items() if "decoder" not in key or kind != "IJepaModel"}
    theirs = theirs_in(tmp_path, getattr(transformers, kind), config(**sizes))
    model, image = vjepa.from_pretrained(tmp_path), pixels(1)
    keep = {} if kind == "IJepaModel" else {"noise": torch.arange(16.0).expand(2, -1)}
    if kind != "IJepaModel":
        theirs.config.mask_ratio = 0.0
    with torch.no_grad():
        base = theirs.vit if kind == "ViTMAEForPreTraining" else theirs
        expected = base(image[:, :, 0], **keep).last_hidden_state
    close(model.encoder(image, class_token=True), expected)
    assert (model.decoder is not None) == (kind == "ViTMAEForPreTraining")


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (transformers.VJEPA2Model, VJEPA2),
        (transformers.VJEPA2ForVideoClassification, VJEPA2),
        (transformers.VideoMAEModel, VIDEOMAE),
        (transformers.VideoMAEForPreTraining, VIDEOMAE),
    ],
)
def test_the_way_back_is_the_way_there(tmp_path, kind, config):
    theirs = theirs_in(tmp_path, kind, config)
    released = read_released(tmp_path)
    state, description = to_transformers(released.config, released.tensors)
    expected = theirs.state_dict()
    assert state.keys() == expected.keys()
    for name, value in state.items():
        assert torch.equal(value, expected[name]), name
    written = json.loads((tmp_path / "config.json").read_text())
    for key in description.keys() & written.keys() - {"label2id"}:
        assert description[key] == written[key], key


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (transformers.VJEPA2Model, VJEPA2),
        (transformers.VideoMAEModel, VIDEOMAE),
        (transformers.ViTMAEModel, transformers.ViTMAEConfig(**MAE_SIZES)),
    ],
)
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "hidden_act",
            "relu",
            "hidden_act 'relu', and this library's networks have the authors' 'gelu' alone",
        ),
        ("num_hidden_layers", 1, "num_hidden_layers 1, and there are weights of 2 blocks"),
    ],
)
def test_what_would_give_other_numbers_is_refused(tmp_path, kind, config, field, value, message):
    theirs_in(tmp_path, kind, config)
    description = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**description, field: value}))
    with pytest.raises(ValueError, match=message):
        vjepa.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["VJEPA2ForVideoClassification", "ViTMAEForPreTraining"])
def test_another_epsilon_is_read(tmp_path, kind):
    """A large one, to be seen; and it goes back."""
    mae = kind.startswith("ViT")
    config = transformers.ViTMAEConfig(**MAE_SIZES) if mae else copy.deepcopy(VJEPA2)
    config.layer_norm_eps = 0.1
    theirs = theirs_in(tmp_path / "theirs", getattr(transformers, kind), config)
    theirs = (
        getattr(transformers, kind).from_pretrained(tmp_path / "theirs").eval()
    )  # with its own norms again
    video = torch.randint(0, 256, (1, 1 if mae else 4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        if mae:
            model, index = vjepa.from_pretrained(tmp_path / "theirs"), torch.arange(16)[None]
            image, theirs.config.mask_ratio = model.normalizer(video), 0.5
            tokens = model.encoder(image, index[:, :8], class_token=True)
            found = their_pixels(
                model.decoder(tokens, index[:, :8], index[:, 8:], model.encoder.grid_of(image))
            )
            close(found, theirs(image[:, :, 0], noise=torch.arange(16.0)[None]).logits[:, 8:])
            return
        assert (
            convert([str(tmp_path / "theirs"), "--to", "transformers", "--output", str(tmp_path / "there")])
            == 0
        )
        assert json.loads((tmp_path / "there" / "config.json").read_text())["layer_norm_eps"] == 0.1
        with pytest.raises(ValueError, match=r"encoder\.norm_eps is 0\.1"):
            to_meta(read_released(tmp_path / "theirs").config, {})


def test_a_videomae_without_a_last_norm(tmp_path):
    """use_mean_pooling, transformers' default: the decoder takes tokens that passed no norm.

    As there, so here and back.
    """
    config = copy.deepcopy(VIDEOMAE)
    config.use_mean_pooling, config.image_size = True, [16, 24]
    theirs = theirs_in(tmp_path / "theirs", transformers.VideoMAEForPreTraining, config)
    with pytest.warns(UserWarning, match="a table of 4 frames at 16 x 24; .* its encoder has no last norm"):
        model = vjepa.from_pretrained(tmp_path / "theirs")
    assert model.config["clip"]["size"] == [16, 24]
    video, index = pixels(4, 16, 24), torch.arange(12).expand(2, -1)
    with torch.no_grad():
        tokens = theirs.videomae(video.transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(
            model.encoder(video), tokens, atol=1e-4, rtol=1e-4
        )  # large, without a norm
        logits = theirs(video.transpose(1, 2), bool_masked_pos=index >= 5).logits
        tokens = model.encoder(video, index[:, :5])
        actual = model.decoder(tokens, index[:, :5], index[:, 5:], model.encoder.grid_of(video))
    torch.testing.assert_close(their_pixels(actual), logits, atol=1e-4, rtol=1e-4)
    there = str(tmp_path / "there")
    assert convert([str(tmp_path / "theirs"), "--to", "transformers", "--output", there]) == 0
    with pytest.raises(ValueError, match=r"encoder\.last_norm is false"):
        to_meta(model.config, model.state_dict())


def processor_of(where, mean, std):
    """What each of transformers' files may hold, in the form in which it holds it."""
    settings = {
        "image_mean": mean,
        "image_std": std,
        "do_normalize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
    }
    return {"video_processor": settings} if where == "processor_config.json" else settings


@pytest.mark.parametrize(
    "where", ["processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"]
)
def test_pixels_are_normalised_as_the_processor_says(tmp_path, where):
    theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2)
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    (tmp_path / where).write_text(json.dumps(processor_of(where, mean, std)))
    video = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    theirs = transformers.AutoVideoProcessor if where != "preprocessor_config.json" else None
    expected = (video / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    close(vjepa.from_pretrained(tmp_path).normalizer(video), expected.transpose(1, 2))
    if theirs is not None:
        settings = {
            **processor_of("", mean, std),
            "video_processor_type": "VJEPA2VideoProcessor",
            "do_resize": False,
        }
        written = {"video_processor": settings} if where == "processor_config.json" else settings
        (tmp_path / where).write_text(json.dumps({**written, "do_center_crop": False}))
        found = theirs.from_pretrained(tmp_path, do_center_crop=False, do_resize=False)(
            video[0], return_tensors="pt"
        )
        close(found["pixel_values_videos"], expected)
    for name, value in (
        ("image_std", [0.4, 0.0, 0.6]),
        ("image_mean", [0.1, float("nan"), 0.3]),
        ("image_mean", [0.1]),
    ):
        settings = processor_of(where, mean, std)
        settings.get("video_processor", settings)[name] = value
        (tmp_path / where).write_text(json.dumps(settings))
        with pytest.raises(ValueError, match=f"{where} has image_mean"):
            vjepa.from_pretrained(tmp_path)


def test_other_channels_need_their_normalisation(tmp_path):
    config = copy.deepcopy(VIDEOMAE)
    config.num_channels = 4
    theirs_in(tmp_path, transformers.VideoMAEModel, config)
    with pytest.raises(ValueError, match=r"has 4 channels, .* of 3: give .* preprocessor_config.json"):
        vjepa.from_pretrained(tmp_path)
    settings = processor_of("preprocessor_config.json", [0.5] * 4, [0.25] * 4)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    video = torch.randint(0, 256, (1, 4, 4, 32, 32), dtype=torch.uint8)
    assert vjepa.from_pretrained(tmp_path).encode(video).shape == (1, 32, 48)


def test_names_that_transformers_gave_before(tmp_path):
    """Files on the hub have them."""
    new, old = tmp_path / "new", tmp_path / "old"
    theirs_in(new, transformers.VideoMAEModel, VIDEOMAE)
    old.mkdir()
    (old / "config.json").write_text((new / "config.json").read_text())
    model = vjepa.from_pretrained(new)
    renamed = {
        name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): value
        for name, value in read_state(new).items()
    }
    torch.save(renamed, old / "pytorch_model.bin")
    video = pixels()
    assert any(name.endswith("attention.q_bias") for name in renamed)
    assert torch.equal(vjepa.from_pretrained(old).encoder(video), model.encoder(video))


def read_state(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


# Out.

OURS = {
    "encoder": {
        "embed_dim": 48,
        "depth": 2,
        "num_heads": 3,
        "tubelet": [2, 8, 8],
        "rotary_layout": "tile",
    },
    "predictor": {
        "in_dim": 48,
        "out_dim": 48,
        "embed_dim": 24,
        "depth": 1,
        "num_heads": 2,
        "num_mask_tokens": 2,
        "rotary_layout": "tile",
    },
    "pixels": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "clip": {"num_frames": 4, "fps": 4.0, "stride": None, "size": [32, 32], "whole_frame": True},
    "future": {"context_steps": 1, "mask_token": 0, "normalisation": "layer_norm"},
}


def changed(**encoder):
    return {**OURS, "encoder": {**OURS["encoder"], **encoder}}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A model of ours, in its folder."""
    torch.manual_seed(0)
    model = VideoModel(OURS).eval()
    folder = tmp_path_factory.mktemp("ours")
    vjepa.save_pretrained(folder, model.state_dict(), OURS)
    return folder


@pytest.mark.parametrize("layout", ["ours", "transformers", "meta"])
def test_nothing_is_lost_on_the_way(tmp_path, layout, capsys):
    """Bytes in, the same tokens out, at the same rate, with the same future."""
    config = {
        **OURS,
        "pixels": {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.3, 0.35]},
        "clip": {**OURS["clip"], "fps": 12, "whole_frame": True},
        "future": {"context_steps": 1, "mask_token": 1, "normalisation": "none"},
    }
    torch.manual_seed(0)
    vjepa.save_pretrained(tmp_path / "ours", VideoModel(config).state_dict(), config)
    output = tmp_path / "there" / ("model.pt" if layout == "meta" else "model")
    assert convert([str(tmp_path / "ours"), "--to", layout, "--output", str(output)]) == 0
    assert "not preserved: " not in capsys.readouterr().out
    before, after = vjepa.from_pretrained(tmp_path / "ours"), vjepa.from_pretrained(output)
    for part in ("pixels", "clip", "future"):
        assert after.config[part] == before.config[part]
    video = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    close(after.encode(video), before.encode(video))
    close(after.embed_targets(video), before.embed_targets(video))


def test_what_is_lost_is_named(tmp_path, monkeypatch, capsys):
    config = {**OURS, "clip": {**OURS["clip"], "fps": 12}}
    vjepa.save_pretrained(tmp_path / "ours", VideoModel(config).state_dict(), config)
    monkeypatch.setattr("vjepa.weights.released.transformers_layout._BESIDE", ())
    assert convert([str(tmp_path / "ours"), "--to", "transformers", "--output", str(tmp_path / "there")]) == 1
    assert "'fps': 4" in capsys.readouterr().out


def test_convert_takes_what_shapes_do_not_tell(tmp_path, capsys, monkeypatch):
    """64 frames of 256 x 256 are what the family knows.

    Too many for a test, so that they are not compared here.
    """
    monkeypatch.setattr("vjepa.commands.convert._compare", lambda *_, **__: 0)
    path = saved(
        tmp_path,
        {
            "encoder": files.encoder(1) | {"pos_embed": torch.zeros(1, 9, files.WIDTH)},
            "predictor": files.predictor(3, 2),
        },
    )
    command = [str(path), "--to", "ours", "--output", str(tmp_path / "ours")]
    assert convert(command) == 2
    assert "give family='vjepa' or family='vjepa2'" in capsys.readouterr().err
    assert convert([*command, "--family", "vjepa2", "--num_heads", "predictor=six"]) == 2
    assert "--num_heads has predictor=six" in capsys.readouterr().err
    assert convert([*command, "--family", "vjepa2", "--num_heads", "predictor=6"]) == 0
    assert vjepa.from_pretrained(tmp_path / "ours").config["predictor"]["num_heads"] == 6
    with pytest.raises(ValueError, match="stores its own family, heads and levels"):
        vjepa.from_pretrained(tmp_path / "ours", num_heads={"predictor": 6})


@pytest.mark.parametrize("layout", ["ours", "transformers", "meta"])
def test_convert(ours, tmp_path, layout, capsys):
    output = tmp_path / "converted"
    assert convert([str(ours), "--to", layout, "--output", str(output)]) == 0
    whose = "transformers" if layout == "transformers" else "read again"
    assert f"{whose}: largest difference" in capsys.readouterr().out
    model = vjepa.from_pretrained(ours)
    again = vjepa.from_pretrained(output / "model.pt" if layout == "meta" else output)
    video = pixels()
    close(again.encoder(video), model.encoder(video))
    close(predicted(again, video, 1)[1], predicted(model, video, 1)[1])


@pytest.mark.parametrize(
    ("model_type", "whole"), [("vjepa2", False), ("videomae", False), ("videomae", True)]
)
def test_transformers_processors_prepare_clips_as_ours(tmp_path, model_type, whole):
    """To the bit's width where nothing is resized.

    Their resizing is other code, and differs by a few bytes.
    """
    config = {**OURS, "clip": {"num_frames": 4, "size": [32, 32], "whole_frame": whole}}
    name, content = transformers_preprocessor(config, model_type)
    (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    video = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) if whole else smooth_clip()
    auto = "AutoVideoProcessor" if model_type == "vjepa2" else "AutoImageProcessor"
    processor = getattr(transformers, auto).from_pretrained(tmp_path)
    frames = list(video.permute(0, 2, 3, 1).numpy())
    if model_type == "vjepa2":
        theirs = processor(video, return_tensors="pt")["pixel_values_videos"][0]
    else:
        theirs = processor(frames, return_tensors="pt")["pixel_values"][0]
    ours = PixelNormalizer(**OURS["pixels"])(clip_transform(32, whole)(video)[None])[0].transpose(0, 1)
    torch.testing.assert_close(theirs, ours, atol=1e-5 if whole else 0.1, rtol=0)


def smooth_clip():
    across = torch.linspace(40, 200, 60).expand(4, 3, 48, 60)
    return (across + torch.linspace(0, 50, 48)[:, None]).to(torch.uint8)


@pytest.mark.parametrize(("edge", "whole"), [(32, True), (36, False)])
def test_the_margin_of_a_processor_is_the_model_s(tmp_path, edge, whole):
    theirs_in(tmp_path, transformers.VideoMAEModel, VIDEOMAE)
    size, crop = {"shortest_edge": edge}, {"height": 32, "width": 32}
    processor = transformers.VideoMAEImageProcessor(size=size, crop_size=crop)
    processor.save_pretrained(tmp_path)
    model, video = vjepa.from_pretrained(tmp_path), smooth_clip()
    theirs = processor(list(video.permute(0, 2, 3, 1).numpy()), return_tensors="pt")["pixel_values"][0]
    prepared = clip_transform(32, model.config["clip"]["whole_frame"])(video)
    assert model.config["clip"]["whole_frame"] is whole
    torch.testing.assert_close(model.normalizer(prepared[None])[0].transpose(0, 1), theirs, atol=0.1, rtol=0)


@pytest.mark.parametrize("layout", ["ours", "transformers", "meta"])
@pytest.mark.parametrize("kind", ["VJEPA2", "VideoMAE"])
def test_convert_a_classifier(tmp_path, layout, kind):
    config = copy.deepcopy(VJEPA2 if kind == "VJEPA2" else VIDEOMAE)
    config.use_mean_pooling = True
    theirs_in(tmp_path / "theirs", getattr(transformers, f"{kind}ForVideoClassification"), config)
    output = tmp_path / "converted"
    assert convert([str(tmp_path / "theirs"), "--to", layout, "--output", str(output)]) == 0
    before, _ = load_classifier(tmp_path / "theirs")
    after, _ = load_classifier(output / "model.pt" if layout == "meta" else output)
    tokens = torch.randn(2, 32, 48)
    close(after.head(tokens), before.head(tokens))


def test_an_encoder_and_a_probe_become_one_folder(tmp_path):
    encoder = saved(tmp_path, files.vjepa2_file())
    probe = saved(tmp_path, files.probe_file(), "probe.pt")
    classifier, config = load_classifier(encoder, probe=probe, num_heads=16, levels=[])
    vjepa.save_pretrained(tmp_path / "one", classifier.state_dict(), {**config, "clip": OURS["clip"]})
    video = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    again = vjepa.VideoClassifier.from_pretrained(tmp_path / "one")
    close(again.network(video), classifier(video))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("vjepa_file", {}),
        ("vjepa2_file", PREDICTOR),
        ("ijepa_file", {}),
        ("videomae_file", DECODER),
        ("mae_file", DECODER),
    ],
)
def test_the_authors_layout_comes_back_as_it_was(tmp_path, make, said):
    checkpoint = getattr(files, make)()
    model = vjepa.from_pretrained(saved(tmp_path, checkpoint), **said)
    config = dict(model.config)
    if make == "videomae_file":
        assert "pos_embed" not in str(checkpoint["model"].keys())
    written = to_meta(config, model.state_dict())
    networks = ("model",) if "model" in checkpoint else ("target_encoder", "predictor")
    for network in networks:
        left_over = {"module.backbone.pos_embed"} if make == "vjepa2_file" else set()
        assert written[network].keys() == checkpoint[network].keys() - left_over
        for name, value in written[network].items():
            torch.testing.assert_close(value, checkpoint[network][name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (changed(rotary_layout="interleave"), "encoder.rotary_layout is interleave"),
        (changed(causal=True), "encoder.causal is true"),
        (changed(stem="convolutional"), "encoder.stem is convolutional, and must be linear"),
        (changed(positions="sincos"), "encoder.positions is sincos"),
        (changed(tubelet=[2, 8, 16]), "patches are 8 x 16"),
        ({key: value for key, value in OURS.items() if key != "clip"}, 'its configuration has no "clip"'),
    ],
)
def test_what_does_not_fit_transformers_is_said(config, reason):
    with pytest.raises(ValueError, match=reason):
        to_transformers(config, VideoModel(config).state_dict())


@pytest.mark.parametrize("positions", ["rotary", "sincos", "sincos_plane", "sinusoid"])
def test_a_convolutional_stem_fits_no_authors_layout(positions):
    config = changed(stem="convolutional", positions=positions)
    with pytest.raises(ValueError, match=r"encoder\.stem is convolutional, and must be linear"):
        to_meta(config, VideoModel(config).state_dict())


VIDEOMAE_OURS = {
    **{key: value for key, value in OURS.items() if key != "predictor"},
    "encoder": {"embed_dim": 48, "depth": 2, "num_heads": 3, "tubelet": [2, 8, 8], "positions": "sinusoid"},
}


def test_biases_of_keys_change_nothing_and_are_left_behind(tmp_path):
    """VideoMAE's keys have none, and ours are trained with one."""
    model = VideoModel(VIDEOMAE_OURS)
    torch.nn.init.normal_(model.encoder.transformer.blocks[0].attn.qkv.bias)
    vjepa.save_pretrained(tmp_path / "ours", model.state_dict(), VIDEOMAE_OURS)
    assert convert([str(tmp_path / "ours"), "--to", "transformers", "--output", str(tmp_path / "there")]) == 0
    assert not any("key.bias" in name for name in read_state(tmp_path / "there"))


def test_a_decoder_s_bias_that_videomae_has_not_is_not_lost():
    decoder = {
        "in_dim": 48,
        "out_dim": 384,
        "embed_dim": 24,
        "depth": 1,
        "num_heads": 2,
        "positions": "sinusoid",
    }
    config = {**VIDEOMAE_OURS, "decoder": decoder, "pixel_targets": "tubelet"}
    tensors = VideoModel(config).state_dict()
    state, description = to_transformers(config, tensors)
    assert description["architectures"] == ["VideoMAEForPreTraining"]
    assert "encoder_to_decoder.weight" in state
    tensors["decoder.embed.bias"] = torch.ones(24)
    with pytest.raises(ValueError, match=r"decoder\.embed\.bias has values"):
        to_transformers(config, tensors)


def test_an_encoder_alone_has_an_empty_predictor_there(tmp_path):
    config = {key: value for key, value in OURS.items() if key != "predictor"}
    vjepa.save_pretrained(tmp_path / "alone", VideoModel(config).state_dict(), config)
    assert (
        convert([str(tmp_path / "alone"), "--to", "transformers", "--output", str(tmp_path / "there")]) == 0
    )
    assert vjepa.from_pretrained(tmp_path / "there").predictor is None


# What is refused.


class Hostile:
    """Runs a command when it is unpickled by a careless reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_file_is_refused_and_not_run(tmp_path):
    path = saved(tmp_path, {**files.vjepa2_file(), "opt": Hostile(tmp_path / "ran")})
    with pytest.raises(ValueError, match=r"file.pt is refused: loading it would call \w+.system"):
        vjepa.from_pretrained(path)
    assert not (tmp_path / "ran").exists()


def test_numbers_of_numpy_are_no_danger(tmp_path):
    extra = {"loss": np.float64(0.5), "epoch": np.int64(7), "best": np.float32(1), "done": np.bool_(True)}
    path = saved(tmp_path, {**files.vjepa2_file(), **extra})
    assert vjepa.from_pretrained(path, **PREDICTOR).encoder is not None


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = saved(tmp_path, files.vjepa2_file())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"file.pt cannot be read as a checkpoint: .+; it may be cut short"):
        vjepa.from_pretrained(path)
    path = path.rename(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read: .+; it may be cut short"):
        vjepa.from_pretrained(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2, 3], "holds a list, no weights"),
        ({"epoch": 3}, "holds no weights: its keys are epoch"),
        ({"layer1.weight": torch.zeros(3)}, "of no known family"),
        (files.probe_file(), "is a probe without its encoder: load_classifier"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        vjepa.from_pretrained(saved(tmp_path, content))
    assert "file.pt" in str(error.value)
    (tmp_path / "page.pt").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page.pt cannot be read as a checkpoint"):
        vjepa.from_pretrained(tmp_path / "page.pt")


def test_all_that_does_not_fit_is_listed(tmp_path):
    checkpoint = files.vjepa2_file()
    encoder = checkpoint["target_encoder"]
    del encoder["module.backbone.blocks.1.norm2.bias"]
    encoder["module.backbone.gamma"] = torch.zeros(2)
    encoder["module.backbone.norm.weight"] = torch.zeros(7)
    path = saved(tmp_path, checkpoint)
    with pytest.raises(ValueError, match="strict=False takes what fits") as error:
        vjepa.from_pretrained(path, **PREDICTOR)
    for line in (
        "missing target_encoder.blocks.1.norm2.bias",
        "unexpected target_encoder.gamma: (2,)",
        "reshaped target_encoder.norm.weight: (7,), which do not make (192,)",
    ):
        assert line in str(error.value)
    with pytest.warns(UserWarning, match="missing target_encoder.blocks.1.norm2.bias"):
        model = vjepa.from_pretrained(path, strict=False, **PREDICTOR)
    kept = encoder["module.backbone.blocks.1.norm2.weight"]
    assert torch.equal(model.encoder.transformer.blocks[1].norm2.weight, kept)


def test_positions_that_were_learnt_are_refused(tmp_path):
    checkpoint = files.mae_file()
    checkpoint["model"]["pos_embed"][0, 3] += 0.01
    with pytest.raises(ValueError, match=r"pos_embed \(16 tokens\) is not the fixed position table"):
        vjepa.from_pretrained(saved(tmp_path, checkpoint))


def test_a_width_that_nobody_published_is_refused(tmp_path):
    narrow = {name: value[:48] for name, value in files.encoder(1).items()}
    with pytest.raises(ValueError, match="how many heads an encoder of embed_dim 48 has"):
        vjepa.from_pretrained(saved(tmp_path, {"encoder": narrow}))


# Network, width, family and heads, read in the authors' code at the commits that
# vjepa/weights/released/stated.py names.
PUBLISHED = [
    ("encoder", 1408, "vjepa", 16),
    ("encoder", 1408, "ijepa", 16),
    ("encoder", 1408, "videomae", 16),
    ("encoder", 1408, "vjepa2", 22),
    ("encoder", 1408, "vjepa2_ac", 22),
    ("encoder", 1664, "vjepa2_1", 26),
    ("encoder", 1280, "vjepa2", 16),
    ("encoder", 1024, "mae", 16),
    ("encoder", 768, "vjepa2_1", 12),
    ("predictor", 384, "vjepa2", 12),
    ("predictor", 384, "vjepa2_1", 12),
    ("predictor", 1024, "vjepa2_ac", 16),
    ("decoder", 192, "videomae", 3),
    ("decoder", 384, "videomae", 6),
    ("decoder", 512, "videomae", 8),
    ("decoder", 640, "videomae", 8),
    ("decoder", 512, "mae", 16),
    ("head", 1024, "vjepa2", 16),
    ("head", 1408, "vjepa2", 16),
]


@pytest.mark.parametrize(("network", "embed_dim", "family", "num_heads"), PUBLISHED)
def test_published_heads(network, embed_dim, family, num_heads):
    assert num_heads_of(network, embed_dim, family, {}) == num_heads
    assert num_heads_of(network, embed_dim, family, {"num_heads": {network: 2}}) == 2
    with pytest.raises(ValueError, match=f"embed_dim {embed_dim + 2} has cannot be read from its shapes"):
        num_heads_of(network, embed_dim + 2, family, {})


def test_the_heads_of_a_videomae_decoder_are_in_its_numbers(tmp_path):
    """With three heads for one, another network: what is said counts."""
    path = saved(tmp_path, files.videomae_file())
    one, two = (vjepa.from_pretrained(path, num_heads={"decoder": num_heads}).decoder for num_heads in (1, 2))
    tokens, index = torch.randn(1, 4, files.WIDTH), torch.arange(4)[None]
    assert not torch.allclose(
        one(tokens, index, index + 4, Grid(2, 4, 4)), two(tokens, index, index + 4, Grid(2, 4, 4))
    )
    with pytest.raises(ValueError, match="how many heads a decoder of embed_dim 64 has"):
        vjepa.from_pretrained(path)
    for said, message in (
        (
            {"num_heads": {"decoder": 1, "predictor": 2}},
            "heads are given for the predictor, and the weights have none",
        ),
        ({"num_heads": {"decodr": 1}}, "heads names 'decodr'"),
        ({"num_heads": {"decoder": 0}}, "heads of the decoder are 0"),
        ({"num_heads": {"decoder": 1}, "family": "vjepa"}, "by their names these weights are 'videomae'"),
        ({"num_heads": {"decoder": 1}, "family": "jepa"}, "family is 'jepa': give one of"),
        ({"num_heads": {"decoder": 1}, "levels": [1]}, "only an encoder of V-JEPA 2.1 has level norms"),
    ):
        with pytest.raises(ValueError, match=message):
            vjepa.from_pretrained(path, **said)


def test_mlps_of_every_width():
    assert ratio(6144, 1408) == pytest.approx(48 / 11)
    assert all(
        int(embed_dim * ratio(hidden, embed_dim)) == hidden
        for embed_dim, hidden in ((1408, 6144), (1664, 8192), (49, 131))
    )


# Which family.


def test_a_table_that_is_left_over_does_not_change_the_family(tmp_path):
    """V-JEPA 2's released files have one; nothing in an encoder alone tells whether it is used."""
    state = files.encoder(1)
    video = pixels()
    for table in (files.video_table(files.GRID, files.WIDTH), torch.zeros(1, 32, files.WIDTH)):
        path = saved(tmp_path, {"encoder": files.wrapped(state | {"pos_embed": table})})
        with pytest.raises(ValueError, match=r"give family='vjepa' or family='vjepa2'"):
            vjepa.from_pretrained(path)
        x, grid = files.patches(state, "patch_embed.proj", video)
        x = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")[-1]
        close(vjepa.from_pretrained(path, family="vjepa2").encoder(video), files.norm(state, "norm", x))
    with pytest.raises(ValueError, match=r"is not the fixed position table .*family='vjepa2'"):
        vjepa.from_pretrained(path, family="vjepa")


def test_without_its_table_v_jepa_is_asked_for(tmp_path):
    path, video = saved(tmp_path, {"encoder": files.encoder(1)}), pixels()
    with pytest.warns(UserWarning, match="an encoder of V-JEPA whose table was removed needs family='vjepa'"):
        rotary = vjepa.from_pretrained(path)
    fixed = vjepa.from_pretrained(path, family="vjepa")
    assert (rotary.config["released"]["family"], fixed.config["released"]["family"]) == ("vjepa2", "vjepa")
    assert fixed.config["clip"]["size"] == [224, 224]
    whole = vjepa.from_pretrained(
        saved(
            tmp_path,
            {"encoder": files.encoder(1) | {"pos_embed": files.video_table(files.GRID, files.WIDTH)}},
        ),
        family="vjepa",
    )
    close(fixed.encoder(video), whole.encoder(video))


def test_giants_of_either_family():
    def shapes(**more):
        return {"encoder.patch_embed.proj.weight": (1408, 3, 2, 16, 16), **more}

    table = {"encoder.pos_embed": (1, 1568, 1408)}
    assert recognise(shapes()) == ("vjepa2", "meta")
    assert recognise(shapes(**table, **{"predictor.mask_tokens.9": (), "predictor.mask_tokens.2": ()})) == (
        "vjepa2",
        "meta",
    )
    assert recognise(shapes(**table, **{"predictor.predictor_pos_embed": ()})) == ("vjepa", "meta")
    assert recognise(shapes(**table), "vjepa2") == ("vjepa2", "meta")


# Wrappers.

WRAPPERS = [
    "module.",
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
    "model.",
    "model.encoder.",
    "net.",
    "student.",
    "backbone.",
    "encoder.",
    "module.module.",
    "model._orig_mod.backbone.",
    "module.model.net.encoder._orig_mod.",
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    state = files.encoder(1)
    return state, vjepa.from_pretrained(saved(tmp_path_factory.mktemp("bare"), {"encoder": state}))


@pytest.mark.parametrize("wrapper", ["", *WRAPPERS])
def test_wrappers_are_taken_off(tmp_path, bare, wrapper):
    state, model = bare
    path = saved(tmp_path, files.wrapped(state, wrapper))
    close(vjepa.from_pretrained(path).encoder(pixels()), model.encoder(pixels()))


@pytest.mark.parametrize(
    "key", ["model", "state_dict", "model_state_dict", "net", "context_encoder", "student", "teacher"]
)
def test_keys_of_other_trainers(tmp_path, bare, key):
    state, model = bare
    inner = {
        f"blocks.{n}._checkpoint_wrapped_module.{rest}": value
        for name, value in state.items()
        for n, rest in [name.removeprefix("blocks.").split(".", 1)]
        if name.startswith("blocks.")
    }
    inner |= {name: value for name, value in state.items() if not name.startswith("blocks.")}
    path = saved(tmp_path, {key: inner, "epoch": 3})
    close(vjepa.from_pretrained(path).encoder(pixels()), model.encoder(pixels()))


def test_two_networks_under_one_name_are_refused(tmp_path):
    state = files.encoder(1)
    path = saved(tmp_path, files.wrapped(state, "model.") | files.wrapped(state, "net."))
    with pytest.raises(
        ValueError, match=r"file.pt: net\.\S+ and another tensor are both \S+ without the names of wrappers"
    ):
        vjepa.from_pretrained(path)
    with pytest.raises(ValueError, match="'context_encoder' and another of its keys both hold 'encoder'"):
        vjepa.from_pretrained(saved(tmp_path, {"encoder": state, "context_encoder": state}))


def test_a_predictor_alone_wants_its_encoder(tmp_path):
    for state in ({"predictor": files.vjepa2_file()["predictor"]}, files.predictor(3, 2)):
        with pytest.raises(ValueError, match="it holds a predictor alone, and a predictor needs the encoder"):
            vjepa.from_pretrained(saved(tmp_path, state))


def test_the_licence_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(families, "_warned", set())
    path = saved(tmp_path, files.vjepa_file())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            model = vjepa.from_pretrained(path)
    assert sum("CC BY-NC 4.0" in str(warning.message) for warning in told) == 1
    assert model.config["licence"] == "CC BY-NC 4.0"


# The hub.


def test_a_name_of_the_hub_is_fetched(tmp_path, monkeypatch):
    theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2)
    asked = {}

    def snapshot_download(name, **rest):
        asked.update(name=name, **rest)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    model = vjepa.from_pretrained("facebook/vjepa2-tiny@main")
    assert (asked["name"], asked["revision"]) == ("facebook/vjepa2-tiny", "main")
    assert model.predictor is not None


def test_a_file_of_a_repository_is_fetched(tmp_path, monkeypatch):
    asked = []

    def hf_hub_download(*names, revision):
        asked.append((*names, revision))
        return str(saved(tmp_path, files.videomae_classifier_file()))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    load_classifier("OpenGVLab/VideoMAE2/distill/vit_s_k710_dl_from_giant.pth")
    assert asked == [("OpenGVLab/VideoMAE2", "distill/vit_s_k710_dl_from_giant.pth", None)]


def test_a_name_that_cannot_be_had_is_a_clear_error(tmp_path, monkeypatch):
    def snapshot_download(name, **rest):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(
        ValueError,
        match="there is no file or folder facebook/nothing, and the Hugging Face hub does not provide it",
    ):
        vjepa.from_pretrained("facebook/nothing")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for on_the_disk in (
        "runs/missing",
        "models/vitl.pt",
        "./vitl.safetensors",
    ):  # the hub is not asked for these
        with pytest.raises(ValueError, match=r"is not a model: there is no such|No such file"):
            vjepa.from_pretrained(on_the_disk)


def test_a_predictor_s_table_tells_v_jepa_whose_encoder_lost_its_own(tmp_path):
    whole = files.vjepa_file()
    cut = {
        network: {name: value for name, value in tensors.items() if not name.endswith("pos_embed")}
        if network.endswith("encoder")
        else tensors
        for network, tensors in whole.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = vjepa.from_pretrained(saved(tmp_path, cut))
    assert model.config["released"]["family"] == "vjepa"
    assert model.config["encoder"]["positions"] == "sincos"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"num_heads": 3}, r"give them by network, such as \{'predictor': 12\}"),
        ({"levels": 1}, "give a list of block indices"),
        ({"levels": ["a"]}, "give a list of block indices"),
    ],
)
def test_what_is_said_in_another_form_is_named(said, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        vjepa.from_pretrained(saved(tmp_path, files.vjepa_file()), **said)


def test_facts_in_a_file_that_cannot_be_are_refused_with_its_path(tmp_path):
    torch.save({**files.vjepa2_file(), "vjepa": {"num_heads": 2}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt, key 'vjepa': heads are 2: give them by network"):
        read_released(tmp_path / "x.pt")


def test_an_action_model_is_not_converted_without_its_dynamics(tmp_path, capsys):
    torch.save({**files.vjepa2_ac_file(), "vjepa": {"num_heads": {"predictor": 1}}}, tmp_path / "ac.pt")
    model, config = load_action_model(tmp_path / "ac.pt")
    save_pretrained(tmp_path / "model", model.state_dict(), config)
    assert convert([str(tmp_path / "model"), "--to", "ours", "--output", str(tmp_path / "out")]) == 2
    assert "is an action-conditioned model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
