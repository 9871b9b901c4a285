"""Tiny files in the layouts of released weights, and what their networks compute: written from the authors'
code as it was read (facebookresearch/jepa at 51c59d5, ijepa at 52c1ae9, mae at efb2a80, vjepa2 at c2963a4
and, for 2.1, be434e4; MCG-NJU/VideoMAE at 14ef8d8), on names and plain tensors, without anything of the
library (the last two functions apart, which read a model of transformers as the library does).

Widths are published ones (192 has 3 heads), since heads are not told by shapes.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vjepa.models.video_model import VideoModel
from vjepa.weights.released.containers import Container
from vjepa.weights.released.reading import from_container

POOLER_EPS = 1e-5  # nn.LayerNorm's own, with which the authors build their poolers
WIDTH, HEADS, PATCH, SIDE, FRAMES = 192, 3, 8, 32, 4
NARROW = 96
GRID = (FRAMES // 2, SIDE // PATCH, SIDE // PATCH)


# What is in the files.


def normal(*shape, seed):
    return 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pair(name, *shape, seed):
    """Weight and bias; a norm's gains are near one."""
    weight = normal(*shape, seed=seed) + float(len(shape) == 1)
    return {f"{name}.weight": weight, f"{name}.bias": normal(shape[0], seed=seed + 1)}


def blocks(name, embed_dim, depth, seed, *, key_bias=True):
    state = {}
    for n in range(depth):
        here, s = f"{name}.{n}", seed + 100 * n
        state |= pair(f"{here}.norm1", embed_dim, seed=s) | pair(f"{here}.norm2", embed_dim, seed=s + 2)
        state |= pair(f"{here}.attn.qkv", 3 * embed_dim, embed_dim, seed=s + 4)
        state |= pair(f"{here}.attn.proj", embed_dim, embed_dim, seed=s + 6)
        state |= pair(f"{here}.mlp.fc1", 4 * embed_dim, embed_dim, seed=s + 8)
        state |= pair(f"{here}.mlp.fc2", embed_dim, 4 * embed_dim, seed=s + 10)
        if not key_bias:
            query, _, value = state.pop(f"{here}.attn.qkv.bias").chunk(3)
            state |= {f"{here}.attn.q_bias": query, f"{here}.attn.v_bias": value}
    return state


def encoder(seed, depth=2, *, image=False, key_bias=True):
    extent = (PATCH, PATCH) if image else (2, PATCH, PATCH)
    state = pair("patch_embed.proj", WIDTH, 3, *extent, seed=seed) | pair("norm", WIDTH, seed=seed + 50)
    return state | blocks("blocks", WIDTH, depth, seed + 60, key_bias=key_bias)


def predictor(seed, tokens, *, in_dim=WIDTH, trained=(0, 1)):
    state = pair("predictor_embed", NARROW, in_dim, seed=seed) | pair("predictor_norm", NARROW, seed=seed + 2)
    state |= pair("predictor_proj", in_dim, NARROW, seed=seed + 4)
    state |= blocks("predictor_blocks", NARROW, 1, seed + 60)
    for n in range(tokens):
        state[f"mask_tokens.{n}"] = normal(1, 1, NARROW, seed=seed + 7 + n) * (n in trained)
    return state


def wrapped(state, wrapper="module.backbone."):
    return {wrapper + name: value for name, value in state.items()}


def waves(positions, embed_dim):
    """Sines, then cosines."""
    angles = np.outer(positions, 1 / 10_000 ** (np.arange(embed_dim / 2) / (embed_dim / 2)))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def places(grid):
    """Time, row and column of every token."""
    return np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)


def video_table(grid, embed_dim):
    """V-JEPA's table: the width shared by three axes, what is too much cut off."""
    each = 2 * math.ceil(embed_dim / 6)
    table = np.concatenate([waves(axis, each) for axis in places(grid).T], axis=1)[:, :embed_dim]
    return torch.tensor(table, dtype=torch.float32).unsqueeze(0)


def plane_table(grid, embed_dim):
    """I-JEPA's and MAE's table: columns, then rows."""
    _, rows, columns = places(grid).T
    table = np.concatenate([waves(columns, embed_dim // 2), waves(rows, embed_dim // 2)], axis=1)
    return torch.tensor(table, dtype=torch.float32).unsqueeze(0)


def number_table(tokens, embed_dim):
    """VideoMAE's table: sine and cosine in turn of a token's number."""
    table = np.zeros((tokens, embed_dim))
    for place in range(tokens):
        for i in range(embed_dim):
            angle = place / 10_000 ** (2 * (i // 2) / embed_dim)
            table[place, i] = math.sin(angle) if i % 2 == 0 else math.cos(angle)
    return torch.tensor(table, dtype=torch.float32).unsqueeze(0)


def vjepa_file():
    tables = {"pos_embed": video_table(GRID, WIDTH)}
    narrow = {"predictor_pos_embed": video_table(GRID, NARROW)}
    return {
        "encoder": wrapped(encoder(1) | tables),
        "target_encoder": wrapped(encoder(2) | tables),
        "predictor": wrapped(predictor(3, 2) | narrow),
        "opt": {"state": {}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "scaler": None,
        "epoch": 7,
        "loss": 0.5,
        "batch_size": 24,
        "world_size": 128,
        "lr": 1e-3,
    }


def vjepa2_file():
    """Ten mask tokens, one of them trained; a table of positions left over from older code."""
    left_over = {"pos_embed": normal(1, 77, WIDTH, seed=5)}
    return {
        "encoder": wrapped(encoder(1) | left_over),
        "target_encoder": wrapped(encoder(2) | left_over),
        "predictor": wrapped(predictor(3, 10, trained=(3,))),
        "epoch": 7,
    }


def vjepa2_1_file():
    """Twelve blocks, since levels are known by depth; the predictor takes all levels and gives all levels."""
    state = encoder(1, depth=12)
    del state["norm.weight"], state["norm.bias"]
    for n in range(4):
        state |= pair(f"norms_block.{n}", WIDTH, seed=900 + 2 * n)
    state |= pair("patch_embed_img.proj", WIDTH, 3, 1, PATCH, PATCH, seed=910)
    state |= {
        f"{kind}_mod_embed": normal(1, 1, WIDTH, seed=n) for n, kind in enumerate(("img", "video"), 920)
    }
    narrow = predictor(3, 8, in_dim=4 * WIDTH, trained=(0, 1, 2))
    del narrow["predictor_embed.weight"], narrow["predictor_embed.bias"]
    narrow |= pair("predictor_embed.0", WIDTH, 4 * WIDTH, seed=930)
    narrow |= pair("predictor_embed.2", NARROW, WIDTH, seed=932)
    narrow |= pair("predictor_proj_context", 4 * WIDTH, NARROW, seed=934)
    narrow |= {
        f"{kind}_mod_embed": normal(1, 1, NARROW, seed=n) for n, kind in enumerate(("img", "video"), 940)
    }
    return {"target_encoder": wrapped(state), "predictor": wrapped(narrow)}


def vjepa2_ac_file():
    """The predictor sees actions and states."""
    narrow = blocks("predictor_blocks", NARROW, 2, 3) | pair("action_encoder", NARROW, 7, seed=4)
    narrow |= pair("state_encoder", NARROW, 7, seed=6) | pair("extrinsics_encoder", NARROW, 6, seed=8)
    narrow |= pair("predictor_embed", NARROW, WIDTH, seed=10) | pair("predictor_norm", NARROW, seed=12)
    narrow |= pair("predictor_proj", WIDTH, NARROW, seed=14)
    return {
        "encoder": wrapped(encoder(1)),
        "target_encoder": wrapped(encoder(2)),
        "predictor": wrapped(narrow),
    }


def ijepa_file():
    grid = (1, *GRID[1:])
    tables = {"pos_embed": plane_table(grid, WIDTH)}
    narrow = predictor(3, 1)
    narrow["mask_token"] = narrow.pop("mask_tokens.0")
    narrow["predictor_pos_embed"] = plane_table(grid, NARROW)
    return {
        "encoder": wrapped(encoder(1, image=True) | tables, "module."),
        "target_encoder": wrapped(encoder(2, image=True) | tables, "module."),
        "predictor": wrapped(narrow, "module."),
        "epoch": 7,
    }


def videomae_file():
    state = {f"encoder.{name}": value for name, value in encoder(1, key_bias=False).items()}
    state |= {f"decoder.{name}": value for name, value in blocks("blocks", 64, 1, 3, key_bias=False).items()}
    state |= pair("decoder.norm", 64, seed=4) | pair("decoder.head", 3 * 2 * PATCH**2, 64, seed=6)
    state |= {"encoder_to_decoder.weight": normal(64, WIDTH, seed=8), "mask_token": normal(1, 1, 64, seed=9)}
    return {"model": state, "optimizer": {}, "epoch": 7, "args": argparse.Namespace(lr=1e-3, mask_ratio=0.9)}


def videomae_classifier_file(classes=5):
    state = encoder(1, key_bias=False)
    del state["norm.weight"], state["norm.bias"]
    return {"module": state | pair("fc_norm", WIDTH, seed=4) | pair("head", classes, WIDTH, seed=6)}


def mae_file():
    def table(embed_dim):
        return torch.cat([torch.zeros(1, 1, embed_dim), plane_table((1, *GRID[1:]), embed_dim)], dim=1)

    state = encoder(1, image=True) | {"cls_token": normal(1, 1, WIDTH, seed=11), "pos_embed": table(WIDTH)}
    state |= blocks("decoder_blocks", 64, 1, 3) | pair("decoder_norm", 64, seed=4)
    state |= pair("decoder_embed", 64, WIDTH, seed=6) | pair("decoder_pred", 3 * PATCH**2, 64, seed=8)
    return {"model": state | {"mask_token": normal(1, 1, 64, seed=9), "decoder_pos_embed": table(64)}}


def probe_file(classes=5, depth=4):
    """An attentive probe of V-JEPA 2: blocks, one of cross-attention, and a linear layer."""
    state = {"pooler.query_tokens": normal(1, 1, WIDTH, seed=1)}
    state |= {f"pooler.{name}": value for name, value in blocks("blocks", WIDTH, depth - 1, 3).items()}
    cross = "pooler.cross_attention_block"
    state |= pair(f"{cross}.norm1", WIDTH, seed=4) | pair(f"{cross}.norm2", WIDTH, seed=6)
    state |= pair(f"{cross}.xattn.q", WIDTH, WIDTH, seed=8) | pair(
        f"{cross}.xattn.kv", 2 * WIDTH, WIDTH, seed=10
    )
    state |= pair(f"{cross}.mlp.fc1", 4 * WIDTH, WIDTH, seed=12) | pair(
        f"{cross}.mlp.fc2", WIDTH, 4 * WIDTH, seed=14
    )
    state |= pair("linear", classes, WIDTH, seed=16)
    return {"classifiers": [wrapped(state, "module.")], "opt": None, "epoch": 20}


def vjepa_probe_file(depth):
    """One of V-JEPA, which has a projection that its forward does not use."""
    (state,) = probe_file(depth=depth)["classifiers"]
    unused = pair("module.pooler.cross_attention_block.xattn.proj", WIDTH, WIDTH, seed=20)
    return {"classifier": state | unused, "opt": None, "epoch": 20}


# What the networks compute.


def plain(state):
    return {name.replace("module.", "").replace("backbone.", ""): value for name, value in state.items()}


def linear(state, name, x):
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def norm(state, name, x, eps=1e-6):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=eps)


def turned(x, place, layout):
    """Rotary positions of one clip's tokens (heads, tokens, width of a head).

    Three axes, then what is left as it is.
    """
    each = 2 * ((x.shape[-1] // 3) // 2)
    parts = []
    for axis in range(3):
        part = x[..., axis * each : (axis + 1) * each]
        speed = 1 / 10_000 ** (torch.arange(each // 2) / (each / 2))
        angle = torch.tensor(place[:, axis], dtype=torch.float32)[:, None] * speed
        angle = torch.cat([angle, angle], dim=-1) if layout == "tile" else angle.repeat_interleave(2, dim=-1)
        other = torch.stack([-part[..., 1::2], part[..., 0::2]], dim=-1).flatten(-2)
        parts.append(part * angle.cos() + other * angle.sin())
    return torch.cat([*parts, x[..., 3 * each :]], dim=-1)


def attend(q, k, v):
    return ((q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def split(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def block(state, name, x, num_heads, place=None, layout=None, eps=1e-6):
    h = norm(state, f"{name}.norm1", x, eps)
    bias = state.get(f"{name}.attn.qkv.bias")
    if bias is None:
        query, value = state[f"{name}.attn.q_bias"], state[f"{name}.attn.v_bias"]
        bias = torch.cat([query, torch.zeros_like(query), value])
    q, k, v = (
        split(part, num_heads)
        for part in F.linear(h, state[f"{name}.attn.qkv.weight"], bias).chunk(3, dim=-1)
    )
    if layout is not None:
        q, k = turned(q, place, layout), turned(k, place, layout)
    x = x + linear(state, f"{name}.attn.proj", attend(q, k, v).transpose(-3, -2).flatten(-2))
    h = F.gelu(linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", x, eps)))
    return x + linear(state, f"{name}.mlp.fc2", h)


def through(state, name, x, num_heads, place=None, layout=None, eps=1e-6):
    """After each block; where there is none, what went in."""
    outputs = []
    while f"{name}.{len(outputs)}.norm1.weight" in state:
        x = block(state, f"{name}.{len(outputs)}", x, num_heads, place, layout, eps)
        outputs.append(x)
    return outputs or [x]


def patches(state, name, pixels):
    """(B, C, T, H, W) to (B, N, D); an image's weights have no time."""
    weight = state[f"{name}.weight"]
    weight = weight.unsqueeze(2) if weight.ndim == 4 else weight
    x = F.conv3d(pixels, weight, state[f"{name}.bias"], stride=weight.shape[2:])
    return x.flatten(2).transpose(1, 2), tuple(x.shape[2:])


def predict(state, context, context_N, target_N, grid, num_heads, token, *, table=None, layout=None):
    """A JEPA's predictor for one clip: what stands at the targets."""
    x = linear(state, "predictor_embed", context)
    masked = state[token].flatten().expand(len(target_N), -1)
    place = places(grid)[[*context_N, *target_N]]
    if table is not None:
        x, masked = x + table[0, context_N], masked + table[0, target_N]
    x = through(state, "predictor_blocks", torch.cat([x, masked]), num_heads, place, layout)[-1]
    return linear(state, "predictor_proj", norm(state, "predictor_norm", x[len(context_N) :]))


# A model of transformers, in memory.


def released_of(model):
    """Its weights as the library reads them."""
    return from_container(Container(Path("memory"), model.state_dict(), model.config.to_dict()))


def video_model_of(model):
    """Our model with its weights."""
    released = released_of(model)
    model = VideoModel(released.config)
    model.load_state_dict(
        {name: value for name, value in released.tensors.items() if not name.startswith("head.")}
    )
    return model.eval()
