"""Released weights, in their own layouts and in transformers', in and out: random weights, real names, no download."""

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
from tests.parity import released_files as files
from tests.parity.test_masked_autoencoders import plane_positions
from tools.convert import main as convert
from vjepa.data.transforms import clip_transform
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.world import WorldModel
from vjepa.released import families
from vjepa.released.families import recognise
from vjepa.released.meta_layout import to_meta
from vjepa.released.preprocessing import transformers_preprocessor
from vjepa.released.reading import read_released
from vjepa.released.transformers_layout import to_transformers
from vjepa.weights import load_classifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes and licences; tested by name below

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
def predicted(world, video, token, context=CONTEXT, target=TARGET):
    """Of the first clip, by our predictor, from our encoder's tokens, which are given back, too."""
    index = torch.tensor([context])
    tokens = world.encoder(video[:1], index, levels=True)
    grid = world.encoder.grid_of(video)
    return tokens[0], world.predictor(tokens, index, torch.tensor([target]), grid, token)[0]


# In: the authors' own files.


@pytest.mark.parametrize("which", ["encoder", "target_encoder", None])
def test_vjepa(tmp_path, which):
    checkpoint = files.vjepa_file()
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint, "vitl16.pth.tar"), which)
    assert world.config["which"] == (which or "target_encoder")
    assert world.config["released"]["family"] == "vjepa"
    state = files.plain(checkpoint[world.config["which"]])
    for shape in ((6, 24, 40), (4, 32, 32)):  # others than trained, then those
        video = pixels(*shape)
        x, grid = files.patches(state, "patch_embed.proj", video)
        table = files.video_table(grid, files.WIDTH)
        expected = files.norm(state, "norm", files.through(state, "blocks", x + table, files.HEADS)[-1])
        close(world.encoder(video), expected)
    assert torch.equal(table, state["pos_embed"])
    context, actual = predicted(world, video, token=1)
    narrow = files.plain(checkpoint["predictor"])
    table = narrow["predictor_pos_embed"]
    close(actual, files.predict(narrow, context, CONTEXT, TARGET, grid, 3, "mask_tokens.1", table=table))
    assert world.config["clip"] == {
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
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint))
    state, video = files.plain(checkpoint["target_encoder"]), pixels(*shape)
    x, grid = files.patches(state, "patch_embed.proj", video)
    x = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")[-1]
    close(world.encoder(video), files.norm(state, "norm", x))
    if shape == (4, 32, 32):
        narrow = files.plain(checkpoint["predictor"])
        for token in (0, 3):
            context, actual = predicted(world, video, token)
            expected = files.predict(
                narrow, context, CONTEXT, TARGET, grid, 12, f"mask_tokens.{token}", layout="tile"
            )
            close(actual, expected)


def test_the_mask_token_of_vjepa2_is_one_that_was_trained(tmp_path):
    path = saved(tmp_path, files.vjepa2_file())
    with pytest.warns(UserWarning, match=r"of 10 mask tokens, \[3\] are not zero, and number 3 is taken"):
        world = vjepa.from_pretrained(path)
    assert world.config["future"]["mask_token"] == 3
    assert world.config["clip"] == {
        "num_frames": 64,
        "fps": 4,
        "stride": None,
        "size": [256, 256],
        "whole_frame": False,
    }
    assert vjepa.from_pretrained(saved(tmp_path, files.vjepa2_file(), "vitg-384.pt")).config["clip"][
        "size"
    ] == [384, 384]


def stretched(grid):
    """V-JEPA 2.1's places: rows and columns reach as far as those of 256 x 256 pixels, whatever the size."""
    side = 256 // files.PATCH
    return files.places(grid) * [1, (side - 1) / (grid[1] - 1), (side - 1) / (grid[2] - 1)]


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_vjepa2_1(tmp_path, size):
    """Levels, an embedding of images, and a predictor of all levels that tells images from videos there."""
    checkpoint = files.vjepa2_1_file()
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint))
    state, video = files.plain(checkpoint["target_encoder"]), pixels(4, *size)
    for kind, name, clip in (("video", "patch_embed", video), ("img", "patch_embed_img", video[:, :, :1])):
        x, grid = files.patches(state, f"{name}.proj", clip)
        place = stretched(grid)
        outputs = files.through(
            state, "blocks", x + state[f"{kind}_mod_embed"], files.HEADS, place, "interleave"
        )
        levels = [files.norm(state, f"norms_block.{n}", outputs[k]) for n, k in enumerate((2, 5, 8, 11))]
        close(world.encoder(clip), levels[-1])
        close(world.encoder(clip, levels=True), torch.cat(levels, dim=-1))
    narrow = files.plain(checkpoint["predictor"])
    context, actual = predicted(world, video, token=2)
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
        world = vjepa.from_pretrained(path)
    assert world.config["which"] == "target_encoder"
    expected = vjepa.from_pretrained(saved(tmp_path, checkpoint)).encoder(pixels())
    close(world.encoder(pixels()), expected)


def test_sizes_that_the_weights_were_not_trained_for_are_warned_of(tmp_path):
    with pytest.warns(
        UserWarning, match="for other sizes than trained the table of positions is computed anew"
    ):
        vjepa.from_pretrained(saved(tmp_path, files.vjepa_file()))
    with pytest.warns(UserWarning, match="stretched to the positions of 256 x 256 pixels, as the authors do"):
        vjepa.from_pretrained(saved(tmp_path, files.vjepa2_1_file()))


def test_vjepa2_ac_without_its_predictor(tmp_path):
    checkpoint = files.vjepa2_ac_file()
    with pytest.warns(UserWarning, match="the predictor is left out: it is conditioned on actions"):
        world = vjepa.from_pretrained(saved(tmp_path, checkpoint))
    assert world.predictor is None
    state, video = files.plain(checkpoint["target_encoder"]), pixels()
    x, grid = files.patches(state, "patch_embed.proj", video)
    x = files.through(state, "blocks", x, files.HEADS, files.places(grid), "tile")[-1]
    close(world.encoder(video), files.norm(state, "norm", x))


def their_next_frame(state, tokens_TSD, actions, states, side):
    """V-JEPA 2-AC's predictor of one clip, written from the paper and the public code's behaviour: 2 condition tokens a frame."""
    frames, width = len(tokens_TSD), files.NARROW  # one head
    conditions = [
        files.linear(state, f"{name}_encoder", part)
        for name, part in (("action", actions), ("state", states))
    ]
    x = torch.cat(
        [*(part[:, None] for part in conditions), files.linear(state, "predictor_embed", tokens_TSD)], 1
    )
    place = torch.tensor([-1, -1, *range(side * side)]).repeat(frames)
    time = torch.arange(frames).repeat_interleave(side * side + 2)
    each = 2 * (width // 3 // 2)
    positions = (time, torch.where(place < 0, 0, place // side), torch.where(place < 0, 0, place % side))
    x = x.flatten(0, 1)
    for number in range(2):
        name = f"predictor_blocks.{number}"
        qkv = files.linear(state, f"{name}.attn.qkv", files.norm(state, f"{name}.norm1", x))
        q, k, v = (part.clone() for part in qkv.unflatten(-1, (3, width)).unbind(1))
        for axis, position in enumerate(positions):
            part = slice(axis * each, (axis + 1) * each)
            frequency = 10_000.0 ** -(torch.arange(each // 2) / (each // 2))
            angle = (position[:, None] * frequency).repeat(1, 2)  # repeated as a whole
            for values in (q, k):
                first, second = values[:, part].unflatten(-1, (-1, 2)).unbind(-1)
                other = torch.stack([-second, first], dim=-1).flatten(-2)
                values[:, part] = values[:, part] * angle.cos() + other * angle.sin()
        score = (q @ k.T / width**0.5).masked_fill(time[:, None] < time[None], -torch.inf)
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
    model, config = vjepa.load_action_model(path)
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
    close(imagined.tokens_BHSD, first)
    with pytest.raises(ValueError, match="give next_state"):
        model.imagine(tokens[:, :1], actions[None], states[None, :1])
    del checkpoint["predictor"]["module.backbone.predictor_norm.weight"]
    with pytest.raises(ValueError, match=r"missing predictor\.predictor_norm\.weight"):
        vjepa.load_action_model(saved(tmp_path, checkpoint))
    with pytest.raises(ValueError, match=r"is V-JEPA 2's, which has no predictor of what actions do"):
        vjepa.load_action_model(saved(tmp_path, files.vjepa2_file()))


def normal_rows(seed):
    return torch.randn(2, 7, generator=torch.Generator().manual_seed(seed))


def test_ijepa(tmp_path):
    checkpoint = files.ijepa_file()
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint, "ijepa.pth.tar"))
    state, narrow = files.plain(checkpoint["target_encoder"]), files.plain(checkpoint["predictor"])
    for height in (32, 16):
        image = pixels(1, height)
        x, grid = files.patches(state, "patch_embed.proj", image)
        x = files.through(state, "blocks", x + files.plane_table(grid, files.WIDTH), files.HEADS)[-1]
        close(world.encoder(image), files.norm(state, "norm", x))
    context, actual = predicted(world, pixels(1), 0, [0, 3, 9], [1, 15])
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
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint, "checkpoint.pth"))
    state, video = checkpoint["model"], pixels(frames, 32, 24)
    x, grid = files.patches(state, "encoder.patch_embed.proj", video)
    tokens = grid[0] * grid[1] * grid[2]
    x = (x + files.number_table(tokens, files.WIDTH))[:1, CONTEXT[:4]]
    x = files.norm(state, "encoder.norm", files.through(state, "encoder.blocks", x, files.HEADS)[-1])
    index = torch.tensor([CONTEXT[:4]])
    close(world.encoder(video[:1], index), x)
    with torch.no_grad():
        actual = world.decoder(x, index, torch.tensor([[1, 5]]), world.encoder.grid_of(video))
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
    assert vjepa.from_pretrained(path).config["which"] == "encoder"  # without its head


def test_mae(tmp_path):
    """The class token goes through encoder and decoder, and has no position."""
    checkpoint = files.mae_file()
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint, "mae_visualize_vit.pth"))
    state, image, kept = checkpoint["model"], pixels(1), [0, 3, 9]
    x, _ = files.patches(state, "patch_embed.proj", image)
    x = torch.cat([state["cls_token"].expand(2, -1, -1), x], dim=1) + state["pos_embed"]
    encoded = files.norm(state, "norm", files.through(state, "blocks", x, files.HEADS)[-1])
    close(world.encoder(image), encoded[:, 1:])
    index = torch.tensor([kept, kept])
    with torch.no_grad():
        tokens = world.encoder(image, index, class_token=True)
        actual = world.decoder(tokens, index, torch.tensor([[1, 15], [1, 15]]), world.encoder.grid_of(image))
    x = torch.cat([files.linear(state, "decoder_embed", tokens[0]), state["mask_token"][0].expand(2, -1)])
    x = x + state["decoder_pos_embed"][0, [0, *(1 + n for n in kept), 2, 16]]
    x = files.norm(state, "decoder_norm", files.through(state, "decoder_blocks", x, 16)[-1])
    close(their_pixels(actual[0]), files.linear(state, "decoder_pred", x)[-2:])


def probe_logits(state, tokens, heads):
    """An attentive probe by its formula; V-JEPA's has a projection after the cross-attention."""
    x = files.through(state, "pooler.blocks", tokens, heads)[-1]
    cross, query = "pooler.cross_attention_block", state["pooler.query_tokens"].expand(2, -1, -1)
    k, v = files.linear(state, f"{cross}.xattn.kv", files.norm(state, f"{cross}.norm1", x)).chunk(2, dim=-1)
    q, k, v = (files.split(part, heads) for part in (files.linear(state, f"{cross}.xattn.q", query), k, v))
    found = files.attend(q, k, v).transpose(-3, -2).flatten(-2)
    if f"{cross}.xattn.proj.weight" in state:
        found = files.linear(state, f"{cross}.xattn.proj", found)
    query = query + found
    hidden = F.gelu(files.linear(state, f"{cross}.mlp.fc1", files.norm(state, f"{cross}.norm2", query)))
    return files.linear(state, "linear", (query + files.linear(state, f"{cross}.mlp.fc2", hidden))[:, 0])


def test_a_probe_of_vjepa2_on_its_encoder(tmp_path):
    checkpoint, probe = files.vjepa2_file(), files.probe_file()
    classifier, config = load_classifier(
        saved(tmp_path, checkpoint), probe=saved(tmp_path, probe, "ssv2-probe.pt")
    )
    assert config["which"] == "target_encoder"
    tokens = torch.randn(2, 20, files.WIDTH)
    close(classifier.head(tokens), probe_logits(files.plain(probe["classifiers"][0]), tokens, 16))


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


def test_a_probe_of_vjepa_on_its_encoder(tmp_path):
    probe = files.probe_file()["classifiers"][0]
    probe |= files.pair("module.pooler.cross_attention_block.xattn.proj", files.WIDTH, files.WIDTH, seed=20)
    path = saved(tmp_path, {"classifier": probe}, "k400-probe.pth.tar")
    classifier, config = load_classifier(saved(tmp_path, files.vjepa_file()), probe=path)
    tokens = torch.randn(2, 20, files.WIDTH)
    heads = config["encoder"]["heads"]
    close(classifier.head(tokens), probe_logits(files.plain(probe), tokens, heads))


def test_the_future_of_released_weights(tmp_path):
    future = vjepa.FuturePredictor(vjepa.from_pretrained(saved(tmp_path, files.vjepa_file())))
    future.observe(torch.rand(8, 3, 32, 32))
    assert future.predict(steps=1).embeddings_BFhwY.shape == (1, 1, 4, 4, files.WIDTH)


# In and out: transformers.

SIZES = {
    "hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 2, "patch_size": 8, "initializer_range": 0.2,
}  # fmt: skip
MAE_SIZES = {
    **SIZES, "image_size": 32, "intermediate_size": 192, "decoder_hidden_size": 24, "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2, "decoder_intermediate_size": 96, "layer_norm_eps": 1e-6,
}  # fmt: skip
VJEPA2 = transformers.VJEPA2Config(
    **SIZES, crop_size=32, frames_per_clip=4, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=2,
    num_pooler_layers=1, num_labels=3, id2label={0: "push", 1: "pull", 2: "turn"},
)  # fmt: skip
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
    world, video = vjepa.from_pretrained(tmp_path), pixels(frames)
    assert world.config["which"] == "encoder"
    order = torch.stack([torch.randperm(16 * frames // 2) for _ in range(2)])
    context, target = order[:, :10], order[:, 10:25]
    with torch.no_grad():
        output = theirs(video.transpose(1, 2), context_mask=[context], target_mask=[target])
        # They encode all tokens, take the context from those, and always ask with the second mask token.
        tokens = world.encoder(video)
        seen = torch.gather(tokens, 1, context[..., None].expand(-1, -1, 48))
        actual = world.predictor(seen, context, target, world.encoder.grid_of(video), mask_token=1)
    close(tokens, output.last_hidden_state)
    close(actual, output.predictor_output.last_hidden_state)


def test_a_context_by_itself_is_what_the_authors_encode(tmp_path):
    """Not what transformers does: there, the context has seen the targets."""
    theirs, world = theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2), vjepa.from_pretrained(tmp_path)
    video, changed = pixels(), pixels()
    changed[:, :, 2:] = 0
    context = torch.arange(16).expand(2, -1)  # of the first two frames
    with torch.no_grad():
        assert torch.equal(world.encoder(video, context), world.encoder(changed, context))
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
    world, video = vjepa.from_pretrained(tmp_path), pixels()
    hidden = torch.zeros(2, 32, dtype=torch.bool)
    hidden[:, 10:] = True
    index = torch.arange(32).expand(2, -1)
    with torch.no_grad():
        logits = theirs(video.transpose(1, 2), bool_masked_pos=hidden).logits
        tokens = world.encoder(video, index[:, :10])
        actual = world.decoder(tokens, index[:, :10], index[:, 10:], world.encoder.grid_of(video))
        close(world.encoder(video), theirs.videomae(video.transpose(1, 2)).last_hidden_state)
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
    world, image = vjepa.from_pretrained(tmp_path), pixels(1)
    keep = {} if kind == "IJepaModel" else {"noise": torch.arange(16.0).expand(2, -1)}
    if kind != "IJepaModel":
        theirs.config.mask_ratio = 0.0
    with torch.no_grad():
        base = theirs.vit if kind == "ViTMAEForPreTraining" else theirs
        expected = base(image[:, :, 0], **keep).last_hidden_state
    close(world.encoder(image, class_token=True), expected)
    assert (world.decoder is not None) == (kind == "ViTMAEForPreTraining")


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


def test_names_that_transformers_gave_before(tmp_path):
    """Files on the hub have them."""
    new, old = tmp_path / "new", tmp_path / "old"
    theirs_in(new, transformers.VideoMAEModel, VIDEOMAE)
    old.mkdir()
    (old / "config.json").write_text((new / "config.json").read_text())
    world = vjepa.from_pretrained(new)
    renamed = {
        name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): value
        for name, value in read_state(new).items()
    }
    torch.save(renamed, old / "pytorch_model.bin")
    video = pixels()
    assert any(name.endswith("attention.q_bias") for name in renamed)
    assert torch.equal(vjepa.from_pretrained(old).encoder(video), world.encoder(video))


def read_state(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


# Out.

OURS = {
    "encoder": {
        "width": 48, "depth": 2, "heads": 3, "tubelet": [2, 8, 8], "rotary_layout": "tile",
    },
    "predictor": {
        "in_width": 48, "out_width": 48, "width": 24, "depth": 1, "heads": 2, "num_mask_tokens": 2, "rotary_layout": "tile",
    },
    "pixels": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "clip": {"num_frames": 4, "fps": 4.0, "stride": None, "size": [32, 32], "whole_frame": True},
    "future": {"context_steps": 1, "mask_token": 0, "normalisation": "layer_norm"},
}  # fmt: skip


def changed(**encoder):
    return {**OURS, "encoder": {**OURS["encoder"], **encoder}}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A model of ours, in its folder."""
    torch.manual_seed(0)
    world = WorldModel(OURS).eval()
    folder = tmp_path_factory.mktemp("ours")
    vjepa.save_pretrained(folder, world.state_dict(), OURS)
    return folder


@pytest.mark.parametrize("layout", ["ours", "transformers", "meta"])
def test_convert(ours, tmp_path, layout, capsys):
    output = tmp_path / "converted"
    assert convert([str(ours), "--to", layout, "--output", str(output)]) == 0
    whose = "transformers" if layout == "transformers" else "read again"
    assert f"{whose}: greatest difference" in capsys.readouterr().out
    world = vjepa.from_pretrained(ours)
    again = vjepa.from_pretrained(output / "model.pt" if layout == "meta" else output)
    video = pixels()
    close(again.encoder(video), world.encoder(video))
    close(predicted(again, video, 1)[1], predicted(world, video, 1)[1])


@pytest.mark.parametrize(
    ("model_type", "whole"), [("vjepa2", False), ("videomae", False), ("videomae", True)]
)
def test_transformers_processors_prepare_clips_as_ours(tmp_path, model_type, whole):
    """To the bit's width where nothing is resized; their resizing is other code, and differs by a few bytes."""
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
    classifier, config = load_classifier(encoder, probe=probe)
    vjepa.save_pretrained(tmp_path / "one", classifier.state_dict(), {**config, "clip": OURS["clip"]})
    video = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    again = vjepa.VideoClassifier.from_pretrained(tmp_path / "one")
    close(again.network(video), classifier(video))


@pytest.mark.parametrize("make", ["vjepa_file", "vjepa2_file", "ijepa_file", "videomae_file", "mae_file"])
def test_the_authors_layout_comes_back_as_it_was(tmp_path, make):
    checkpoint = getattr(files, make)()
    world = vjepa.from_pretrained(saved(tmp_path, checkpoint))
    config = dict(world.config)
    if make == "videomae_file":
        assert "pos_embed" not in str(checkpoint["model"].keys())
    written = to_meta(config, world.state_dict())
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
        (changed(positions="sincos"), "encoder.positions is sincos"),
        (changed(tubelet=[2, 8, 16]), "patches are 8 x 16"),
        ({key: value for key, value in OURS.items() if key != "clip"}, "does not say which clips"),
    ],
)
def test_what_does_not_fit_transformers_is_said(config, reason):
    with pytest.raises(ValueError, match=reason):
        to_transformers(config, WorldModel(config).state_dict())


VIDEOMAE_OURS = {
    **{key: value for key, value in OURS.items() if key != "predictor"},
    "encoder": {"width": 48, "depth": 2, "heads": 3, "tubelet": [2, 8, 8], "positions": "sinusoid"},
}  # fmt: skip


def test_biases_of_keys_change_nothing_and_are_left_behind(tmp_path):
    """VideoMAE's keys have none, and ours are trained with one."""
    world = WorldModel(VIDEOMAE_OURS)
    torch.nn.init.normal_(world.encoder.transformer.blocks[0].attn.qkv.bias)
    vjepa.save_pretrained(tmp_path / "ours", world.state_dict(), VIDEOMAE_OURS)
    assert convert([str(tmp_path / "ours"), "--to", "transformers", "--output", str(tmp_path / "there")]) == 0
    assert not any("key.bias" in name for name in read_state(tmp_path / "there"))


def test_a_decoder_s_bias_that_videomae_has_not_is_not_lost():
    decoder = {"in_width": 48, "out_width": 384, "width": 24, "depth": 1, "heads": 2, "positions": "sinusoid"}
    config = {**VIDEOMAE_OURS, "decoder": decoder, "pixel_targets": "tubelet"}
    tensors = WorldModel(config).state_dict()
    state, description = to_transformers(config, tensors)
    assert description["architectures"] == ["VideoMAEForPreTraining"]
    assert "encoder_to_decoder.weight" in state
    tensors["decoder.embed.bias"] = torch.ones(24)
    with pytest.raises(ValueError, match=r"decoder\.embed\.bias has values"):
        to_transformers(config, tensors)


def test_an_encoder_alone_has_an_empty_predictor_there(tmp_path):
    config = {key: value for key, value in OURS.items() if key != "predictor"}
    vjepa.save_pretrained(tmp_path / "alone", WorldModel(config).state_dict(), config)
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
    with pytest.raises(ValueError, match=r"file.pt is refused: it wants \w+.system to be called"):
        vjepa.from_pretrained(path)
    assert not (tmp_path / "ran").exists()


def test_numbers_of_numpy_are_no_danger(tmp_path):
    extra = {"loss": np.float64(0.5), "epoch": np.int64(7), "best": np.float32(1), "done": np.bool_(True)}
    path = saved(tmp_path, {**files.vjepa2_file(), **extra})
    assert vjepa.from_pretrained(path).encoder is not None


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
        ({"layer1.weight": torch.zeros(3)}, "of no family that is known"),
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
        vjepa.from_pretrained(path)
    for line in (
        "missing target_encoder.blocks.1.norm2.bias",
        "unexpected target_encoder.gamma: (2,)",
        "reshaped target_encoder.norm.weight: (7,), which do not make (192,)",
    ):
        assert line in str(error.value)
    with pytest.warns(UserWarning, match="missing target_encoder.blocks.1.norm2.bias"):
        world = vjepa.from_pretrained(path, strict=False)
    kept = encoder["module.backbone.blocks.1.norm2.weight"]
    assert torch.equal(world.encoder.transformer.blocks[1].norm2.weight, kept)


def test_positions_that_were_learnt_are_refused(tmp_path):
    checkpoint = files.mae_file()
    checkpoint["model"]["pos_embed"][0, 3] += 0.01
    with pytest.raises(ValueError, match=r"pos_embed \(16 tokens\) is not the fixed table"):
        vjepa.from_pretrained(saved(tmp_path, checkpoint))


def test_a_width_that_nobody_published_is_refused(tmp_path):
    narrow = {name: value[:48] for name, value in files.encoder(1).items()}
    with pytest.raises(ValueError, match="how many heads an encoder of width 48 has"):
        vjepa.from_pretrained(saved(tmp_path, {"encoder": narrow}))


def test_giants_have_the_heads_of_their_family():
    def shapes(**more):
        return {"encoder.patch_embed.proj.weight": (1408, 3, 2, 16, 16), **more}

    assert recognise(shapes()) == ("vjepa2", "meta")
    assert recognise(shapes(**{"encoder.pos_embed": (1, 1568, 1408)})) == ("vjepa", "meta")
    assert families.clip_format("vjepa2", 64, 256)["fps"] == 4
    from vjepa.released.shapes import heads_of, ratio

    assert heads_of(1408, "vjepa2") == 22
    assert heads_of(1408, "videomae") == heads_of(1408, "ijepa") == 16
    assert heads_of(1664, "vjepa2_1") == 26
    assert ratio(6144, 1408) == pytest.approx(48 / 11)
    assert all(
        int(width * ratio(hidden, width)) == hidden
        for width, hidden in ((1408, 6144), (1664, 8192), (49, 131))
    )


def test_the_licence_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(families, "_told", set())
    path = saved(tmp_path, files.vjepa_file())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            world = vjepa.from_pretrained(path)
    assert sum("CC BY-NC 4.0" in str(warning.message) for warning in told) == 1
    assert world.config["licence"] == "CC BY-NC 4.0"


# The hub.


def test_a_name_of_the_hub_is_fetched(tmp_path, monkeypatch):
    theirs_in(tmp_path, transformers.VJEPA2Model, VJEPA2)
    asked = {}

    def snapshot_download(name, **rest):
        asked.update(name=name, **rest)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    world = vjepa.from_pretrained("facebook/vjepa2-tiny@main")
    assert (asked["name"], asked["revision"]) == ("facebook/vjepa2-tiny", "main")
    assert world.predictor is not None


def test_a_name_that_cannot_be_had_is_a_clear_error(tmp_path, monkeypatch):
    def snapshot_download(name, **rest):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(ValueError, match="facebook/nothing is not on the disk, and cannot be had"):
        vjepa.from_pretrained("facebook/nothing")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match="is not a model"):  # a place on the disk is not asked for
        vjepa.from_pretrained("runs/missing")
