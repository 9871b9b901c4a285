"""Tensor names in the authors' files of V-JEPA (2, 2.1), I-JEPA, VideoMAE and MAE; writing of such files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vjepa.grid import Grid, Tubelet
from vjepa.layers.positions import POSITION_TABLES
from vjepa.weights.released.containers import STATED
from vjepa.weights.released.mapping import (
    IMAGE_PATCH,
    NO_KEY_BIAS,
    SAME,
    TOKEN_LIST,
    UNUSED,
    VECTOR,
    Row,
    layer,
    layers,
    pixel_order,
    row,
    write_rows,
    zeros,
)

Arguments = Mapping[str, Any]

STATED_KEYS = ("clip", "future", "pixels", "classes", "views", "pixel_targets", "masks", "licence")
_FAMILIES = {"rotary": "vjepa2", "sincos": "vjepa"}  # by positions, the families that share tensor names
BLOCK = {name: name for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}
_BLOCK_WITHOUT_QKV = {name: name for name in BLOCK if name != "attn.qkv"}


def meta_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    """Yield the rows that map this library's tensors to the authors' names.

    Args:
        config: Configuration of a model of this library. Its positions and class token determine the layout.
        networks: Names of the networks to list: any of ``encoder``, ``target_encoder``, ``predictor``,
            ``decoder``, ``head``.
    """
    positions = config["encoder"].get("positions", "rotary")
    if positions == "sinusoid":
        yield from _videomae_rows(config, networks)
    elif config["encoder"].get("class_token"):
        yield from _mae_rows(config, networks)
    else:
        for network in ("encoder", "target_encoder"):
            if network in networks:
                arguments = config.get("teacher") if network == "target_encoder" else None
                yield from _jepa_encoder_rows(network, arguments or config["encoder"])
        if "predictor" in networks:
            yield from _jepa_predictor_rows(config["predictor"], single_token=positions == "sincos_plane")
        if "head" in networks:
            yield from _probe_rows(config["head"])


def _patch_rows(ours: str, theirs: str, encoder: Arguments) -> Iterator[Row]:
    is_image = encoder.get("tubelet", (2, 16, 16))[0] == 1
    yield row(f"{ours}.weight", f"{theirs}.weight", IMAGE_PATCH if is_image else SAME)
    yield row(f"{ours}.bias", f"{theirs}.bias")


def _block_rows(ours: str, theirs: str, depth: int) -> Iterator[Row]:
    for number in range(depth):
        yield from layers(f"{ours}.blocks.{number}", f"{theirs}.{number}", BLOCK)


def _jepa_encoder_rows(network: str, encoder: Arguments) -> Iterator[Row]:
    yield from _patch_rows(f"{network}.patch_embed.proj", f"{network}.patch_embed.proj", encoder)
    yield from _block_rows(f"{network}.transformer", f"{network}.blocks", encoder["depth"])
    if encoder.get("image_tokenizer"):
        yield from layer(f"{network}.image_embed.proj", f"{network}.patch_embed_img.proj")
        modalities = [f"{network}.video_mod_embed", f"{network}.img_mod_embed"]
        yield row(f"{network}.modality_tokens", modalities, TOKEN_LIST)
    levels = encoder.get("levels") or ()
    for place, level in enumerate(levels[:-1]):
        yield from layer(f"{network}.transformer.level_norms.{level}", f"{network}.norms_block.{place}")
    last = f"norms_block.{len(levels) - 1}" if levels else "norm"
    yield from layer(f"{network}.transformer.norm", f"{network}.{last}")


def _jepa_predictor_rows(predictor: Arguments, *, single_token: bool) -> Iterator[Row]:
    theirs = "predictor.predictor"
    for part in (".0", ".2") if predictor.get("hidden_dim") else ("",):
        yield from layer(f"predictor.embed{part}", f"{theirs}_embed{part}")
    tokens = predictor.get("num_mask_tokens", 1)
    names = (
        ["predictor.mask_token"] if single_token else [f"predictor.mask_tokens.{n}" for n in range(tokens)]
    )
    yield row("predictor.mask_tokens", names, TOKEN_LIST)
    yield from _block_rows("predictor.transformer", f"{theirs}_blocks", predictor["depth"])
    yield from layer("predictor.transformer.norm", f"{theirs}_norm")
    yield from layer("predictor.proj", f"{theirs}_proj")
    if predictor.get("predict_context"):
        yield from layer("predictor.context_proj", f"{theirs}_proj_context")


def _probe_rows(head: Arguments) -> Iterator[Row]:
    cross = {"norm1": "norm1", "q": "xattn.q", "kv": "xattn.kv", "norm2": "norm2"}
    yield row("head.pool.queries_QD", "classifier.pooler.query_tokens", VECTOR)
    yield from _block_rows("head.pool", "classifier.pooler.blocks", head.get("depth", 1) - 1)
    theirs = "classifier.pooler.cross_attention_block"
    mlp = {"mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    yield from layers("head.pool.cross_block", theirs, {**cross, **mlp})
    yield from layer("head.fc", "classifier.linear")


def _videomae_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    encoder = config["encoder"]
    prefix = "encoder." if "decoder" in networks or "head" not in networks else ""
    yield from layer("encoder.patch_embed.proj", f"{prefix}patch_embed.proj")
    yield from _biasless_block_rows("encoder.transformer", f"{prefix}blocks", encoder["depth"])
    yield from last_norm_rows(config, f"{prefix}norm")
    if "decoder" in networks:
        decoder = config["decoder"]
        yield row("decoder.embed.weight", "encoder_to_decoder.weight")
        yield row("decoder.embed.bias", (), zeros("decoder.embed.bias", decoder["embed_dim"]))
        yield row("decoder.mask_tokens", "mask_token", VECTOR)
        yield from _biasless_block_rows("decoder.transformer", "decoder.blocks", decoder["depth"])
        yield from layer("decoder.transformer.norm", "decoder.norm")
        yield from layer("decoder.proj", "decoder.head", pixel_order(encoder.get("channels", 3)))
    if "head" in networks:
        yield from layer("head.norm", "fc_norm")
        yield from layer("head.fc", "head")


def _biasless_block_rows(ours: str, theirs: str, depth: int) -> Iterator[Row]:
    """Rows of blocks whose keys have no bias."""
    for number in range(depth):
        mine, other = f"{ours}.blocks.{number}", f"{theirs}.{number}"
        yield from layers(mine, other, _BLOCK_WITHOUT_QKV)
        yield row(f"{mine}.attn.qkv.weight", f"{other}.attn.qkv.weight")
        yield row(f"{mine}.attn.qkv.bias", [f"{other}.attn.q_bias", f"{other}.attn.v_bias"], NO_KEY_BIAS)


def last_norm_rows(config: Arguments, theirs: str) -> Iterator[Row]:
    """Yield the rows of the encoder's last norm, if it has one.

    In a classifier without `token_norm` the norm is unused and is not written.

    Args:
        config: Configuration of a model of this library.
        theirs: Name of the layer in the other layout.
    """
    if not config["encoder"].get("last_norm", True):
        return
    if config.get("token_norm", True):
        yield from layer("encoder.transformer.norm", theirs)
        return
    yield row("encoder.transformer.norm.weight", (), UNUSED)
    yield row("encoder.transformer.norm.bias", (), UNUSED)


def _mae_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    encoder = config["encoder"]
    yield row("encoder.class_token", "cls_token", VECTOR)
    yield from _patch_rows("encoder.patch_embed.proj", "patch_embed.proj", encoder)
    yield from _block_rows("encoder.transformer", "blocks", encoder["depth"])
    yield from layer("encoder.transformer.norm", "norm")
    if "decoder" in networks:
        yield from layer("decoder.embed", "decoder_embed")
        yield row("decoder.mask_tokens", "mask_token", VECTOR)
        yield from _block_rows("decoder.transformer", "decoder_blocks", config["decoder"]["depth"])
        yield from layer("decoder.transformer.norm", "decoder_norm")
        yield from layer("decoder.proj", "decoder_pred", pixel_order(encoder.get("channels", 3)))


def to_meta(config: Arguments, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Convert a model to the authors' layout, as a checkpoint for torch.save.

    The authors' code does not read numbers of heads from it: its own configuration must have the model's.

    Args:
        config: Configuration of a model of this library (``model.config``, or a model folder's).
        tensors: Tensors by name: ``encoder.*``, and ``predictor.*``, ``decoder.*``, ``teacher.*`` or
            ``head.*`` where the model has them. In JEPA layouts the target encoder is the ``teacher`` where
            there is one, else a copy of the encoder.

    Returns:
        The checkpoint; what the layout does not store is under the key ``vjepa``.

    Raises:
        ValueError: The authors' networks cannot hold the model.
    """
    networks = {name.split(".", 1)[0] for name in tensors}
    refuse_misfits(config, networks)
    named = dict(tensors)
    positions = config["encoder"].get("positions", "rotary")
    if not config["encoder"].get("last_norm", True) and (positions != "sinusoid" or "decoder" in networks):
        raise ValueError(
            "the model does not fit that layout: encoder.last_norm is false, and that layout has a last norm"
        )
    if config["encoder"].get("norm_eps", 1e-6) != 1e-6:
        raise ValueError(
            "the model does not fit that layout: encoder.norm_eps is "
            f"{config['encoder']['norm_eps']}, and must be 1e-06"
        )
    if positions == "sinusoid" or config["encoder"].get("class_token"):
        state = write_rows(meta_rows(config, networks), named)
        return {"model": state | _tables(config, networks), STATED: _stated(config, networks)}
    teacher = "teacher" if "teacher" in networks else "encoder"
    for name in [name for name in named if name.startswith(f"{teacher}.")]:
        named[name.replace(teacher, "target_encoder", 1)] = named[name]
    named = {name: value for name, value in named.items() if not name.startswith("teacher.")}
    networks = {name.split(".", 1)[0] for name in named}
    state = write_rows(meta_rows(config, networks), named) | _tables(config, networks)
    if "head" in networks and positions == "sincos":
        state |= _unused_projection(config["encoder"]["embed_dim"])
    checkpoint = _by_network(state, "module." if positions == "sincos_plane" else "module.backbone.")
    return {**checkpoint, "epoch": 0, STATED: _stated(config, networks)}


def _unused_projection(embed_dim: int) -> dict[str, Tensor]:
    """Identity weights of a layer that V-JEPA's forward does not use (`meta_config._probe`)."""
    name = "classifier.pooler.cross_attention_block.xattn.proj"
    return {f"{name}.weight": torch.eye(embed_dim), f"{name}.bias": torch.zeros(embed_dim)}


def _by_network(state: Mapping[str, Tensor], wrapper: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = {}
    for name, value in state.items():
        network, rest = name.split(".", 1)
        checkpoint.setdefault(network, {})[wrapper + rest] = value
    if "classifier" in checkpoint:
        probe = checkpoint.pop("classifier")
        checkpoint["classifiers"] = [{name.replace("backbone.", ""): value for name, value in probe.items()}]
    return checkpoint


def _stated(config: Arguments, networks: Collection[str]) -> dict[str, Any]:
    """Facts that the authors' layout does not store, such as heads and levels; their code ignores them."""
    num_heads = {"encoder": config["encoder"]["num_heads"]}
    for network in ("predictor", "decoder", "head"):
        if network in networks and config[network].get("num_heads"):
            num_heads[network] = config[network]["num_heads"]
    beside = {key: config[key] for key in STATED_KEYS if key in config}
    positions = config["encoder"].get("positions", "rotary")
    if positions in _FAMILIES:
        beside["family"] = _FAMILIES[positions]
    if "head" in networks and config["head"]["kind"] == "attentive":
        beside["probe_levels"] = config.get("levels") or []
        beside["head"] = {"norm_eps": config["head"].get("norm_eps", 1e-6)}
    return {"num_heads": num_heads, **json.loads(json.dumps(beside))}


def _tables(config: Arguments, networks: Collection[str]) -> dict[str, Tensor]:
    """Fixed position tables by name, which the authors store with the weights."""
    encoder = config["encoder"]
    positions = encoder.get("positions", "rotary")
    if positions not in ("sincos", "sincos_plane"):
        return {}
    if "clip" not in config:
        raise ValueError(
            'the authors\' files store a position table, and the configuration has no "clip" to give its size'
        )
    grid = Tubelet(*encoder.get("tubelet", (2, 16, 16))).grid_of(
        config["clip"]["num_frames"], *config["clip"]["size"]
    )
    if encoder.get("class_token"):
        names = {"pos_embed": "encoder", "decoder_pos_embed": "decoder"}
    else:
        names = {f"{name}.pos_embed": name for name in ("encoder", "target_encoder")}
        names["predictor.predictor_pos_embed"] = "predictor"
    tables = {}
    for name, network in names.items():
        if network in networks:
            embed_dim = config.get(network, encoder)["embed_dim"]
            tables[name] = _table(grid, embed_dim, positions, class_token=bool(encoder.get("class_token")))
    return tables


def _table(grid: Grid, embed_dim: int, positions: str, *, class_token: bool) -> Tensor:
    table_ND = POSITION_TABLES[positions](grid, embed_dim)
    return torch.cat([torch.zeros(int(class_token), embed_dim), table_ND]).unsqueeze(0)


def refuse_misfits(config: Arguments, networks: Collection[str]) -> None:
    """Raise ValueError, with all reasons, where the authors' networks cannot hold a model of this library."""
    encoder, reasons = config["encoder"], []
    positions = encoder.get("positions", "rotary")
    if encoder.get("causal"):
        reasons.append("encoder.causal is true, and that layout's encoders are not causal")
    if encoder.get("stem", "linear") != "linear":
        reasons.append(
            f"encoder.stem is {encoder['stem']}, and must be linear, as in every published layout: train "
            "with it"
        )
    if encoder.get("image_tokenizer") or encoder.get("levels"):
        reasons.append(
            "encoder.image_tokenizer and encoder.levels are V-JEPA 2.1's, which can be read but not written"
        )
    if positions == "rotary" and encoder.get("rotary_layout", "interleave") != "tile":
        reasons.append(
            "encoder.rotary_layout is interleave, and must be tile, whose angles differ: train with it"
        )
    if positions == "rotary" and encoder.get("class_token"):
        reasons.append("encoder.class_token is true, and encoders with rotary positions have none there")
    predictor = config.get("predictor", {}) if "predictor" in networks else {}
    for name in ("hidden_dim", "predict_context", "noise_dim", "residual"):
        if predictor.get(name):
            reasons.append(f"predictor.{name} is {predictor[name]}, and predictors there do not have it")
    if "decoder" in networks and positions not in ("sinusoid", "sincos_plane"):
        reasons.append(
            f"it decodes pixels with {positions} positions, which must be sinusoid or sincos_plane"
        )
    if "head" in networks:
        reasons += _head_misfits(config)
    if reasons:
        raise ValueError("the model does not fit that layout: " + "; ".join(reasons))


def _head_misfits(config: Arguments) -> list[str]:
    head, positions = config["head"], config["encoder"].get("positions", "rotary")
    videomae = positions == "sinusoid"
    wanted = "linear" if videomae else "attentive"
    reasons = [] if head["kind"] == wanted else [f"head.kind is {head['kind']}, and must be {wanted}"]
    if config.get("levels") and positions != "rotary":
        reasons.append(f"levels are {list(config['levels'])}, and the head there sees the last block alone")
    if bool(config.get("token_norm", True)) == videomae:
        reasons.append(f"token_norm is {config.get('token_norm', True)}, and must be {not videomae}")
    blocks_on = "queries" if positions == "sincos" else "tokens"
    if head.get("depth", 1) > 1 and head.get("blocks_on", "tokens") != blocks_on:
        reasons.append(f"head.blocks_on is {head.get('blocks_on', 'tokens')}, and must be {blocks_on}")
    return reasons
