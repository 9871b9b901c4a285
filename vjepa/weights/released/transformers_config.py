"""Derivation of a model's configuration from a folder of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vjepa.weights.released.containers import Container
from vjepa.weights.released.families import Family, clip_format, future_arguments, pixel_masks
from vjepa.weights.released.meta_config import (
    FIRST_TOKEN,
    NO_NORM_NOTE,
    TABLE_NOTE,
    TARGETS_NOTE,
    Draft,
    check_channels,
    classifier_arguments,
    drop_class_tables,
    sinusoid_note,
)
from vjepa.weights.released.meta_layout import STATED_KEYS
from vjepa.weights.released.shapes import count, grid_of_table, measure_encoder, measure_predictor, needed
from vjepa.weights.released.stated import num_heads_of

Description = Mapping[str, Any]

_EPSILON = 1e-6  # of the authors' norms; this library's default, too
# Default of transformers' classes of VideoMAE, I-JEPA and MAE; weights converted from the authors' have it,
# although the authors' code has 1e-6.
_TRANSFORMERS_EPSILON = 1e-12
_PROBE_HEADS = 16  # facebookresearch/vjepa2 at c2963a4, configs/inference
# transformers' names of one function, the only activation in these families.
_ACTIVATIONS = ("gelu", "gelu_python")


def transformers_draft(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    """Derive the configuration from weights under transformers' names.

    Args:
        family: Family of the weights.
        container: Content of the file or folder. Heads, frames, size and classes are read from its
            description (config.json); without one, heads are those of the published model of this width, and
            frames and size are the family's defaults.
        state: Tensors under their plain names (`plain_names`).

    Raises:
        ValueError: A fact of the configuration is neither stored nor published, config.json contradicts the
            weights, or the library has no such network.
    """
    description = container.description or {}
    _refuse_others(description)
    draft = {"vjepa2": _vjepa2, "videomae": _videomae}.get(family, _image)(family, container, state)
    notes = list(draft.notes)
    epsilon = description.get("layer_norm_eps", _EPSILON)
    if epsilon == _TRANSFORMERS_EPSILON:
        notes.append(f"layer_norm_eps is {epsilon} in config.json; the authors' {_EPSILON} is used")
    elif epsilon != _EPSILON:
        for network in ("encoder", "predictor", "decoder", "head"):
            if draft.config.get(network, {}).get("kind") != "linear" and network in draft.config:
                draft.config[network]["norm_eps"] = epsilon
    config = {"library": "vjepa", **draft.config, "pixels": dict(container.pixels)}
    if container.whole_frame is not None:
        config["clip"] = {**config["clip"], "whole_frame": container.whole_frame}
    config |= _stated(config, container)
    check_channels(config, container)
    depth, said = config["encoder"]["depth"], description.get("num_hidden_layers")
    if said not in (None, depth):
        raise ValueError(f"config.json has num_hidden_layers {said}, and there are weights of {depth} blocks")
    return draft._replace(config=config, notes=(*container.notes, *notes))


def _refuse_others(description: Description) -> None:
    """Raise ValueError where config.json asks for an activation that this library's networks do not have."""
    activation = description.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"config.json has hidden_act {activation!r}, and this library's networks have the authors' "
            "'gelu' alone, with which these weights would give wrong results"
        )


def _stated(config: Mapping[str, Any], container: Container) -> dict[str, Any]:
    """Facts that `to_transformers` stored in config.json beside transformers' fields.

    Number of frames, frame size and classes come from transformers' fields, which users may have changed.
    """
    stated = {
        key: container.stated[key] for key in STATED_KEYS if key in container.stated and key != "pixels"
    }
    if "clip" in stated:
        size = {name: config["clip"][name] for name in ("num_frames", "size")}
        stated["clip"] = {**config["clip"], **stated["clip"], **size}
    if "classes" in stated:
        stated.pop("classes")
    return stated


def _heads(network: str, key: str, embed_dim: int, family: Family, container: Container) -> int:
    """Number of attention heads of a network by config.json, else by `num_heads_of`."""
    num_heads = (container.description or {}).get(key)
    return num_heads or num_heads_of(network, embed_dim, family, container.stated)


def _encoder(
    family: Family, container: Container, state: Mapping[str, Tensor], names: tuple[str, str]
) -> dict[str, Any]:
    encoder = measure_encoder(state, *names)
    return {
        **encoder,
        "num_heads": _heads("encoder", "num_attention_heads", encoder["embed_dim"], family, container),
    }


def _vjepa2(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    description = container.description or {}
    names = ("encoder.embeddings.patch_embeddings.proj.weight", "encoder.layer.{}.mlp.fc1.weight")
    rotary = {"positions": "rotary", "rotary_layout": "tile"}
    encoder = {**_encoder(family, container, state, names), **rotary}
    frames, size = description.get("frames_per_clip", 64), description.get("crop_size", 256)
    config: dict[str, Any] = {"encoder": encoder, "clip": clip_format(family, frames, size)}
    networks, notes, token = ["encoder"], [WHICH_NOTE], 0
    if "predictor.proj.weight" in state:
        predictor = measure_predictor(
            state, "predictor.embeddings.predictor_embeddings.weight", "predictor.proj.weight",
            "predictor.layer.{}.mlp.fc1.weight",
        ) if count(state, "predictor.layer.{}.mlp.fc1.weight") else None  # fmt: skip
        token = _trained_token(state, notes)
        if predictor is None:
            _drop_empty_predictor(state)
        else:
            tokens = len(needed(state, "predictor.embeddings.mask_tokens"))
            num_heads = _heads(
                "predictor", "pred_num_attention_heads", predictor["embed_dim"], family, container
            )
            config["predictor"] = {**predictor, "num_heads": num_heads, "num_mask_tokens": tokens, **rotary}
            networks.append("predictor")
    if "pooler.query_tokens" in state:
        depth = count(state, "pooler.self_attention_layers.{}.layer_norm1.weight") + 1
        config["head"] = {"kind": "attentive", "num_heads": encoder["num_heads"], "depth": depth}
        config |= classifier_arguments(_classes(description, state), token_norm=True)
        networks.append("head")
        if encoder["num_heads"] != _PROBE_HEADS:
            notes.append(
                f"its pooler has the encoder's {encoder['num_heads']} heads; the authors' probes have "
                f"{_PROBE_HEADS}"
            )
    config["future"] = future_arguments(max(frames // encoder["tubelet"][0], 1), token)
    return Draft(config, tuple(networks), state, tuple(notes))


def _drop_empty_predictor(state: dict[str, Tensor]) -> None:
    """Remove a predictor without blocks, which `to_transformers` writes for a model without one."""
    for name in [name for name in state if name.startswith("predictor.")]:
        del state[name]


def _trained_token(state: Mapping[str, Tensor], notes: list[str]) -> int:
    tokens = needed(state, "predictor.embeddings.mask_tokens").flatten(1)
    trained = [number for number, token in enumerate(tokens) if bool(token.any())]
    chosen = trained[0] if trained else 0
    notes.append(
        f"of {len(tokens)} mask tokens, {trained or 'none'} are not zero, and number {chosen} is taken; "
        "transformers always takes number 1"
    )
    return chosen


def _videomae(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    description = container.description or {}
    names = ("embeddings.patch_embeddings.projection.weight", "encoder.layer.{}.intermediate.dense.weight")
    encoder = {**_encoder(family, container, state, names), "positions": "sinusoid"}
    encoder["last_norm"] = "layernorm.weight" in state
    frames, size = description.get("num_frames", 16), description.get("image_size", 224)
    state.pop("embeddings.position_embeddings", None)  # the fixed table, which older versions stored
    config: dict[str, Any] = {
        "encoder": encoder,
        "clip": clip_format(family, frames, size),
        "future": future_arguments(max(frames // encoder["tubelet"][0], 1), 0),
    }
    networks, notes = ["encoder"], [sinusoid_note(config["clip"])]
    if not encoder["last_norm"]:
        notes.append(NO_NORM_NOTE)
    if "encoder_to_decoder.weight" in state:
        config |= _videomae_decoder(container, state)
        networks.append("decoder")
    if "classifier.weight" in state:
        if "fc_norm.weight" not in state:
            raise ValueError(FIRST_TOKEN)
        config |= {
            "head": {"kind": "linear"},
            **classifier_arguments(_classes(description, state), token_norm=False),
        }
        networks.append("head")
    return Draft(config, tuple(networks), state, tuple(notes))


def _videomae_decoder(container: Container, state: dict[str, Tensor]) -> dict[str, Any]:
    description = container.description or {}
    state.pop("decoder.decoder_pos_embed", None)
    decoder = measure_predictor(
        state,
        "encoder_to_decoder.weight",
        "decoder.head.weight",
        "decoder.decoder_layers.{}.intermediate.dense.weight",
    )
    num_heads = _heads("decoder", "decoder_num_attention_heads", decoder["embed_dim"], "videomae", container)
    return {
        "decoder": {**decoder, "num_heads": num_heads, "positions": "sinusoid"},
        "pixel_targets": "tubelet" if description.get("norm_pix_loss", True) else "raw",
        "masks": pixel_masks("videomae"),
    }


def _image(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    """Draft of IJepaModel, ViTMAEModel or ViTMAEForPreTraining."""
    description = container.description or {}
    names = ("embeddings.patch_embeddings.projection.weight", "layers.{}.mlp.fc1.weight")
    encoder = {**_encoder(family, container, state, names), "positions": "sincos_plane"}
    if family == "mae":
        encoder["class_token"] = True
        grid = drop_class_tables(state, ["embeddings.position_embeddings", "decoder.decoder_pos_embed"])
    else:
        name = "embeddings.position_embeddings"
        table = state.pop(name, None)
        grid = None if table is None else grid_of_table(table.flatten(0, -2), "sincos_plane", name)
    _, rows, columns = encoder["tubelet"]
    size = (grid.h * rows, grid.w * columns) if grid is not None else description.get("image_size", 224)
    config: dict[str, Any] = {
        "encoder": encoder,
        "clip": clip_format(family, 1, size),
        "future": future_arguments(1, 0),
    }
    networks, notes = ["encoder"], [TABLE_NOTE]
    if family == "ijepa":
        notes.append(WHICH_NOTE)
        for name in [name for name in state if name.startswith("pooler.")]:
            del state[name]  # transformers adds a pooler that was never trained
    if "decoder.decoder_embed.weight" in state:
        decoder = measure_predictor(
            state, "decoder.decoder_embed.weight", "decoder.decoder_pred.weight",
            "decoder.decoder_layers.{}.mlp.fc1.weight",
        )  # fmt: skip
        num_heads = _heads("decoder", "decoder_num_attention_heads", decoder["embed_dim"], family, container)
        config["masks"] = pixel_masks("mae")
        config["decoder"] = {**decoder, "num_heads": num_heads, "positions": "sincos_plane"}
        config["pixel_targets"] = "patch" if description.get("norm_pix_loss") else "raw"
        networks.append("decoder")
        if "norm_pix_loss" not in description:
            notes.append(TARGETS_NOTE)
    return Draft(config, tuple(networks), state, tuple(notes))


def _classes(description: Description, state: Mapping[str, Tensor]) -> list[str]:
    names = description.get("id2label") or {}
    total = len(needed(state, "classifier.weight"))
    return [str(names.get(str(number), names.get(number, number))) for number in range(total)]


WHICH_NOTE = (
    "transformers' weights hold one encoder, for V-JEPA 2 the authors' `encoder` (the one trained by "
    "gradients); the target encoder may be in the authors' own file"
)
