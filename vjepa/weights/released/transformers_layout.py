"""Tensor names in transformers' VJEPA2, VideoMAE, IJepa and ViTMAE classes; writing of such weights."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vjepa.weights.released.containers import STATED
from vjepa.weights.released.mapping import (
    IMAGE_PATCH,
    NO_KEY_BIAS,
    TOKEN_STACK,
    VECTOR,
    Row,
    layer,
    layers,
    pixel_order,
    row,
    rows_of,
    write_rows,
    zeros,
)
from vjepa.weights.released.meta_layout import last_norm_rows, refuse_misfits

Arguments = Mapping[str, Any]
Renames = tuple[tuple[str, str], ...]

# Entries of this library's configurations that transformers' configurations have no fields for.
_BESIDE = ("clip", "future", "pixel_targets", "views", "masks", "licence")
_SHARED = {"norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
_VJEPA2_BLOCK = {
    "norm1": "norm1",
    "attn.qkv": [f"attention.{part}" for part in ("query", "key", "value")],
    "attn.proj": "attention.proj",
    **_SHARED,
}
_POOLER_BLOCK = {
    "norm1": "layer_norm1",
    "attn.qkv": [f"self_attn.{part}_proj" for part in ("q", "k", "v")],
    "attn.proj": "self_attn.out_proj",
    **_SHARED,
    "norm2": "layer_norm2",
}
_CROSS_BLOCK = {
    "norm1": "layer_norm1",
    "q": "cross_attn.q_proj",
    "kv": ["cross_attn.k_proj", "cross_attn.v_proj"],
    **_SHARED,
    "norm2": "layer_norm2",
}
_IMAGE_BLOCK = {
    "norm1": "layernorm_before",
    "attn.qkv": [f"attention.{part}_proj" for part in ("q", "k", "v")],
    "attn.proj": "attention.o_proj",
    "norm2": "layernorm_after",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_VIDEOMAE_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_BASES = re.compile(r"^(?:vjepa2|videomae|vit|ijepa)\.")
# Renamings in transformers' image models and VideoMAE, from older names, which files on the hub have.
_IMAGE_RENAMES = (
    (r"^encoder\.layer\.", "layers."),
    # transformers 5.24 saves ViTMAE's decoder under this name.
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"attention\.(?:attention\.)?query\.", "attention.q_proj."),
    (r"attention\.(?:attention\.)?key\.", "attention.k_proj."),
    (r"attention\.(?:attention\.)?value\.", "attention.v_proj."),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
)
_VIDEOMAE_RENAMES = (
    (r"attention\.q_bias$", "attention.query.bias"),
    (r"attention\.v_bias$", "attention.value.bias"),
)
_VJEPA2_RENAMES = ((r"attention\.attention\.", "attention."),)


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to transformers' newest names, without the base model's prefix, such as ``vjepa2.``."""
    plain = {_BASES.sub("", name): value for name, value in state.items()}
    patch = plain.get("embeddings.patch_embeddings.projection.weight")
    renames: Renames = ()
    if "encoder.embeddings.patch_embeddings.proj.weight" in plain:
        renames = _VJEPA2_RENAMES
    elif patch is not None:
        renames = _VIDEOMAE_RENAMES if patch.ndim == 5 else _IMAGE_RENAMES
    return {_renamed(name, renames): value for name, value in plain.items()}


def _renamed(name: str, renames: Renames) -> str:
    for old, new in renames:
        name = re.sub(old, new, name)
    return name


def transformers_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    """Yield the rows that map this library's tensors to transformers' names, without the base model's prefix.

    Args:
        config: Configuration of a model of this library. Its positions and class token determine the class.
        networks: Names of the networks to list: any of ``encoder``, ``predictor``, ``decoder``, ``head``.
    """
    positions = config["encoder"].get("positions", "rotary")
    if positions == "rotary":
        yield from _vjepa2_rows(config, networks)
    elif positions == "sinusoid":
        yield from _videomae_rows(config, networks)
    else:
        yield from _image_rows(config, networks)


def _block_rows(ours: str, theirs: str, depth: int, names: Mapping[str, Any]) -> Iterator[Row]:
    for number in range(depth):
        yield from layers(f"{ours}.{number}", f"{theirs}.{number}", names)


def _vjepa2_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    yield from layer("encoder.patch_embed.proj", "encoder.embeddings.patch_embeddings.proj")
    yield from _block_rows(
        "encoder.transformer.blocks", "encoder.layer", config["encoder"]["depth"], _VJEPA2_BLOCK
    )
    yield from layer("encoder.transformer.norm", "encoder.layernorm")
    if "predictor" in networks:
        depth = config["predictor"]["depth"]
        yield from layer("predictor.embed", "predictor.embeddings.predictor_embeddings")
        yield row("predictor.mask_tokens", "predictor.embeddings.mask_tokens", TOKEN_STACK)
        yield from _block_rows("predictor.transformer.blocks", "predictor.layer", depth, _VJEPA2_BLOCK)
        yield from layer("predictor.transformer.norm", "predictor.layernorm")
        yield from layer("predictor.proj", "predictor.proj")
    if "head" in networks:
        depth = config["head"].get("depth", 1) - 1
        yield row("head.pool.queries_QD", "pooler.query_tokens", VECTOR)
        yield from _block_rows("head.pool.blocks", "pooler.self_attention_layers", depth, _POOLER_BLOCK)
        yield from layers("head.pool.cross_block", "pooler.cross_attention_layer", _CROSS_BLOCK)
        yield from layer("head.fc", "classifier")


def _videomae_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    encoder = config["encoder"]
    yield from layer("encoder.patch_embed.proj", "embeddings.patch_embeddings.projection")
    yield from _biasless_block_rows("encoder.transformer", "encoder.layer", encoder["depth"])
    yield from last_norm_rows(config, "layernorm")
    if "decoder" in networks:
        decoder = config["decoder"]
        yield row("decoder.embed.weight", "encoder_to_decoder.weight")
        yield row("decoder.embed.bias", (), zeros("decoder.embed.bias", decoder["embed_dim"]))
        yield row("decoder.mask_tokens", "mask_token", VECTOR)
        yield from _biasless_block_rows("decoder.transformer", "decoder.decoder_layers", decoder["depth"])
        yield from layer("decoder.transformer.norm", "decoder.norm")
        yield from layer("decoder.proj", "decoder.head", pixel_order(encoder.get("channels", 3)))
    if "head" in networks:
        yield from layer("head.norm", "fc_norm")
        yield from layer("head.fc", "classifier")


def _biasless_block_rows(ours: str, theirs: str, depth: int) -> Iterator[Row]:
    for number in range(depth):
        mine, other = f"{ours}.blocks.{number}", f"{theirs}.{number}"
        yield from layers(mine, other, _VIDEOMAE_BLOCK)
        query, key, value = (f"{other}.attention.attention.{part}" for part in ("query", "key", "value"))
        yield row(f"{mine}.attn.qkv.weight", [f"{part}.weight" for part in (query, key, value)], rows_of(3))
        yield row(f"{mine}.attn.qkv.bias", [f"{query}.bias", f"{value}.bias"], NO_KEY_BIAS)


def _image_rows(config: Arguments, networks: Collection[str]) -> Iterator[Row]:
    yield row("encoder.patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight", IMAGE_PATCH)
    yield row("encoder.patch_embed.proj.bias", "embeddings.patch_embeddings.projection.bias")
    if config["encoder"].get("class_token"):
        yield row("encoder.class_token", "embeddings.cls_token", VECTOR)
    yield from _block_rows("encoder.transformer.blocks", "layers", config["encoder"]["depth"], _IMAGE_BLOCK)
    yield from layer("encoder.transformer.norm", "layernorm")
    if "decoder" in networks:
        depth = config["decoder"]["depth"]
        yield from layer("decoder.embed", "decoder.decoder_embed")
        yield row("decoder.mask_tokens", "decoder.mask_token", VECTOR)
        yield from _block_rows("decoder.transformer.blocks", "decoder.decoder_layers", depth, _IMAGE_BLOCK)
        yield from layer("decoder.transformer.norm", "decoder.decoder_norm")
        yield from layer(
            "decoder.proj", "decoder.decoder_pred", pixel_order(config["encoder"].get("channels", 3))
        )


def to_transformers(
    config: Arguments, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Convert a model to weights and config.json of transformers.

    The class is VJEPA2Model or VJEPA2ForVideoClassification for rotary positions; VideoMAEModel,
    VideoMAEForPreTraining or VideoMAEForVideoClassification for sinusoid positions. Key biases, which
    VideoMAE's classes do not have, are dropped: they change no output.

    Args:
        config: Configuration of a model of this library (``model.config``, or a model folder's).
        tensors: Tensors by name: ``encoder.*``, and ``predictor.*``, ``decoder.*`` or ``head.*`` where the
            model has them. A ``teacher.*`` is left out, which transformers has no place for.

    Returns:
        Tensors by transformers' names, and the content of config.json.

    Raises:
        ValueError: No such class can hold the model; all reasons are named.
    """
    tensors = {name: value for name, value in tensors.items() if not name.startswith("teacher.")}
    networks = {name.split(".", 1)[0] for name in tensors}
    _refuse(config, networks)
    state = write_rows(transformers_rows(config, networks), tensors)
    is_vjepa2 = config["encoder"].get("positions", "rotary") == "rotary"
    if is_vjepa2:
        description = _vjepa2_description(config, networks)
        if "predictor" not in networks:
            state |= _empty_predictor(description)
    else:
        description = _videomae_description(config, networks)
    beside = {key: config[key] for key in _BESIDE if key in config}
    description[STATED] = json.loads(json.dumps(beside))
    base = {"vjepa2": "VJEPA2Model", "videomae": "VideoMAEModel"}[description["model_type"]]
    if description["architectures"] != [base]:
        state = {_with_base(name, description["model_type"]): value for name, value in state.items()}
    return state, description


def _with_base(name: str, base: str) -> str:
    of_base = ("encoder.", "predictor.", "embeddings.", "layernorm.")
    return f"{base}.{name}" if name.startswith(of_base) else name


def _refuse(config: Arguments, networks: Collection[str]) -> None:
    encoder, reasons = config["encoder"], []
    positions = encoder.get("positions", "rotary")
    if positions not in ("rotary", "sinusoid"):
        reasons.append(f"encoder.positions is {positions}, and VJEPA2 has rotary, VideoMAE sinusoid")
    if "clip" not in config:
        reasons.append('its configuration has no "clip", whose frames and size config.json needs')
    elif positions == "rotary" and config["clip"]["size"][0] != config["clip"]["size"][1]:
        reasons.append(f"its clips are {config['clip']['size']}, and VJEPA2's are square")
    _, rows, columns = encoder.get("tubelet", (2, 16, 16))
    if rows != columns:
        reasons.append(f"its patches are {rows} x {columns}, and transformers' are square")
    if positions == "sinusoid" and "predictor" in networks:
        reasons.append("it predicts embeddings, and VideoMAE has no such predictor")
    if "predictor" in networks:
        embed_dim, predictor = encoder["embed_dim"], config["predictor"]
        if {predictor["in_dim"], predictor["out_dim"]} != {embed_dim}:
            reasons.append(
                f"its predictor goes from {predictor['in_dim']} to {predictor['out_dim']}, not {embed_dim}"
            )
    if positions == "rotary" and not encoder.get("last_norm", True):
        reasons.append("encoder.last_norm is false, and VJEPA2 has a last norm")
    if positions == "rotary" and "head" in networks:
        reasons += _pooler_misfits(config)
    if reasons:
        raise ValueError("transformers has no class for the model: " + "; ".join(reasons))
    refuse_misfits(config, networks)


def _pooler_misfits(config: Arguments) -> list[str]:
    head, num_heads = config["head"], config["encoder"]["num_heads"]
    reasons = []
    if config.get("levels"):
        reasons.append(f"levels are {list(config['levels'])}, and VJEPA2's pooler sees the last block alone")
    if head.get("queries", 1) != 1:
        reasons.append(f"head.queries is {head['queries']}, and must be 1")
    if head.get("num_heads") not in (None, num_heads):
        reasons.append(f"head.num_heads is {head['num_heads']}, and must be the encoder's {num_heads}")
    if head.get("num_heads") is None and config["encoder"]["embed_dim"] != 64 * num_heads:
        reasons.append(
            "head.num_heads is not given, which makes heads 64 wide, and the encoder's heads are of another "
            "width"
        )
    return reasons


def _vjepa2_description(config: Arguments, networks: Collection[str]) -> dict[str, Any]:
    encoder, clip = config["encoder"], config["clip"]
    predictor = (
        config["predictor"] if "predictor" in networks else {"embed_dim": 12, "depth": 0, "num_heads": 1}
    )
    depth, patch, _ = encoder.get("tubelet", (2, 16, 16))
    description = {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2ForVideoClassification" if "head" in networks else "VJEPA2Model"],
        "crop_size": clip["size"][0],
        "frames_per_clip": clip["num_frames"],
        "patch_size": patch,
        "tubelet_size": depth,
        "in_chans": encoder.get("channels", 3),
        "hidden_size": encoder["embed_dim"],
        "num_attention_heads": encoder["num_heads"],
        "num_hidden_layers": encoder["depth"],
        "mlp_ratio": encoder.get("mlp_ratio", 4.0),
        "layer_norm_eps": encoder.get("norm_eps", 1e-6),
        "pred_hidden_size": predictor["embed_dim"],
        "pred_num_attention_heads": predictor["num_heads"],
        "pred_num_hidden_layers": predictor["depth"],
        "pred_num_mask_tokens": predictor.get("num_mask_tokens", 1),
        "pred_mlp_ratio": predictor.get("mlp_ratio", 4.0),
        "dtype": "float32",
    }
    return description | (_labels(config, networks) if "head" in networks else {})


def _labels(config: Arguments, networks: Collection[str]) -> dict[str, Any]:
    names = {str(number): name for number, name in enumerate(config["classes"])}
    layers_before = {"num_pooler_layers": config["head"].get("depth", 1) - 1}
    return {
        "id2label": names,
        "label2id": {name: int(number) for number, name in names.items()},
        **layers_before,
    }


def _empty_predictor(description: Arguments) -> dict[str, Tensor]:
    """Zeros for the predictor, which transformers' class always has, in a model without one."""
    embed_dim, wide = description["pred_hidden_size"], description["hidden_size"]
    shapes = {
        "embeddings.mask_tokens": (description["pred_num_mask_tokens"], 1, 1, embed_dim),
        "embeddings.predictor_embeddings.weight": (embed_dim, wide),
        "embeddings.predictor_embeddings.bias": (embed_dim,),
        "layernorm.weight": (embed_dim,),
        "layernorm.bias": (embed_dim,),
        "proj.weight": (wide, embed_dim),
        "proj.bias": (wide,),
    }
    return {f"predictor.{name}": torch.zeros(shape) for name, shape in shapes.items()}


def _videomae_description(config: Arguments, networks: Collection[str]) -> dict[str, Any]:
    encoder, clip = config["encoder"], config["clip"]
    depth, patch, _ = encoder.get("tubelet", (2, 16, 16))
    kind = (
        "ForPreTraining"
        if "decoder" in networks
        else "ForVideoClassification"
        if "head" in networks
        else "Model"
    )
    description: dict[str, Any] = {
        "model_type": "videomae",
        "architectures": [f"VideoMAE{kind}"],
        "image_size": clip["size"][0] if clip["size"][0] == clip["size"][1] else list(clip["size"]),
        "num_frames": clip["num_frames"],
        "patch_size": patch,
        "tubelet_size": depth,
        "num_channels": encoder.get("channels", 3),
        "hidden_size": encoder["embed_dim"],
        "num_attention_heads": encoder["num_heads"],
        "num_hidden_layers": encoder["depth"],
        "intermediate_size": int(encoder["embed_dim"] * encoder.get("mlp_ratio", 4.0)),
        "layer_norm_eps": encoder.get("norm_eps", 1e-6),
        "qkv_bias": True,
        "use_mean_pooling": not (encoder.get("last_norm", True) and config.get("token_norm", True)),
        "dtype": "float32",
    }
    if "decoder" in networks:
        decoder = config["decoder"]
        description |= {
            "decoder_hidden_size": decoder["embed_dim"],
            "decoder_num_hidden_layers": decoder["depth"],
            "decoder_num_attention_heads": decoder["num_heads"],
            "decoder_intermediate_size": int(decoder["embed_dim"] * decoder.get("mlp_ratio", 4.0)),
            "norm_pix_loss": config.get("pixel_targets", "tubelet") != "raw",
        }
    return description | (_labels(config, networks) if "head" in networks else {})
