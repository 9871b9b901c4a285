"""Derivation of a model's configuration from a file in the authors' layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from vjepa.choices import PositionKind
from vjepa.grid import Grid
from vjepa.weights.released.containers import Container
from vjepa.weights.released.families import TITLES, Family, clip_format, future_arguments, pixel_masks
from vjepa.weights.released.meta_layout import STATED_KEYS
from vjepa.weights.released.shapes import (
    count,
    grid_of_table,
    measure_encoder,
    measure_predictor,
    needed,
)
from vjepa.weights.released.stated import levels_of, num_heads_of, probe_levels_of

_POSITIONS: dict[Family, dict[str, Any]] = {
    "vjepa": {"positions": "sincos"},
    "vjepa2": {"positions": "rotary", "rotary_layout": "tile"},
    "vjepa2_ac": {"positions": "rotary", "rotary_layout": "tile"},
    "vjepa2_1": {"positions": "rotary", "rotary_layout": "interleave"},
    "ijepa": {"positions": "sincos_plane"},
}
_POOLER_EPS = 1e-5  # PyTorch's default, which the authors' poolers use: they are built without a norm_layer


class Draft(NamedTuple):
    """Released weights whose configuration is known and whose tensors are not converted yet.

    Attributes:
        config: Configuration in the form of a model folder's ``config.json``.
        networks: Names, in this library, of the networks that the weights have.
        state: Tensors that remain to be converted, by their original names.
        notes: Remarks for the user.
    """

    config: dict[str, Any]
    networks: tuple[str, ...]
    state: dict[str, Tensor]
    notes: tuple[str, ...]


def meta_draft(family: Family, container: Container) -> Draft:
    """Derive the configuration from a file in the authors' layout.

    Args:
        family: Family of the weights.
        container: Content of the file.

    Raises:
        ValueError: A fact of the configuration is neither stored, nor published, nor stated by the user; or
            the library has no such network.
    """
    if family == "probe":
        raise ValueError(
            f"{container.path} is a probe without its encoder: "
            f"load_classifier(ENCODER, probe={str(container.path)!r})"
        )
    state, notes = dict(container.state), list(container.notes)
    if _has(state, "classifier") and family not in ("vjepa", "vjepa2", "vjepa2_1"):
        raise ValueError(
            f"a probe needs an encoder of V-JEPA, 2 or 2.1, and {container.path} holds {TITLES[family]}'s"
        )
    if family == "videomae":
        draft = _videomae(container, state)
    elif family == "mae":
        draft = _mae(container, state)
    else:
        draft = _jepa(family, container, state)
    stated = {key: container.stated[key] for key in STATED_KEYS if key in container.stated}
    config = {"library": "vjepa", **draft.config, "pixels": dict(container.pixels), **stated}
    check_channels(config, container)
    return draft._replace(config=config, notes=(*notes, *draft.notes))


def _jepa(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    notes: list[str] = []
    networks = [name for name in ("encoder", "target_encoder") if _has(state, name)]
    main = networks[-1]
    encoder = measure_encoder(state, f"{main}.patch_embed.proj.weight", f"{main}.blocks.{{}}.mlp.fc1.weight")
    encoder["num_heads"] = num_heads_of("encoder", encoder["embed_dim"], family, container.stated)
    encoder |= _POSITIONS[family]
    if family == "vjepa2_1":
        encoder |= _image_and_levels(container, main, encoder["depth"], notes)
    tables = [f"{name}.pos_embed" for name in networks] + ["predictor.predictor_pos_embed"]
    grid = _drop_tables(state, encoder["positions"], tables)
    if encoder["positions"] != "rotary":
        notes.append(TABLE_NOTE)
    elif family == "vjepa2" and "predictor.mask_tokens.2" not in state and "family" not in container.stated:
        notes.append(
            "its encoder is taken for V-JEPA 2's, since it has no position table; an encoder of V-JEPA whose "
            "table was removed needs family='vjepa'"
        )
    config: dict[str, Any] = {"encoder": encoder}
    token = 0
    if _has(state, "classifier"):
        _drop(state, "predictor")  # a classifier has none; dropped first, so its heads need not be known
    elif _has(state, "predictor") and _takes_predictor(family, state, encoder, notes):
        token = _trained_token(state, family, notes)
        config["predictor"] = _predictor(family, container, state, encoder)
        networks.append("predictor")
    if _has(state, "classifier"):
        config |= _probe(family, container, state, encoder, notes)
        networks.append("head")
    config["clip"] = _jepa_clip(family, container, encoder, grid, notes)
    steps = max(config["clip"]["num_frames"] // encoder["tubelet"][0], 1)
    config["future"] = future_arguments(steps, token)
    return Draft(config, tuple(networks), state, tuple(notes))


def _has(state: Mapping[str, Tensor], network: str) -> bool:
    return any(name.startswith(f"{network}.") for name in state)


def _drop(state: dict[str, Tensor], network: str) -> None:
    for name in [name for name in state if name.startswith(f"{network}.")]:
        del state[name]


def _image_and_levels(container: Container, main: str, depth: int, notes: list[str]) -> dict[str, Any]:
    """Arguments of V-JEPA 2.1's encoder alone: a patch embedding of images, and a norm for each level."""
    state = container.state
    levels = levels_of(depth, count(state, f"{main}.norms_block.{{}}.weight"), container.stated)
    patch = needed(state, f"{main}.patch_embed.proj.weight").shape[-1]
    notes.append(
        "rows and columns of other sizes are stretched to the positions of 256 x 256 pixels, as the authors "
        "do"
    )
    return {
        "trained_side": 256 // patch,
        "image_tokenizer": f"{main}.patch_embed_img.proj.weight" in state,
        "levels": levels,
    }


def _drop_tables(state: dict[str, Tensor], positions: PositionKind, names: list[str]) -> Grid | None:
    """Remove fixed position tables, which this library computes itself, after a check of their values.

    With rotary positions they are remains of older code that are not used, and are not checked.

    Returns:
        Token grid of the tables; None where there are none, or where positions are rotary.
    """
    tables = {name: state.pop(name) for name in names if name in state}
    grid = None
    for name, table in tables.items():
        if positions != "rotary":
            grid = grid_of_table(table.flatten(0, -2), positions, name)
    return grid


def _takes_predictor(
    family: Family, state: dict[str, Tensor], encoder: Mapping[str, Any], notes: list[str]
) -> bool:
    """Whether this library has such a predictor; if not, its tensors are removed, with a note."""
    reason = None
    if family == "vjepa2_ac":
        reason = "it is conditioned on actions: vjepa.load_action_model gives the two together"
    if family == "vjepa2_1":
        _fold_modality(state, notes)
        levels, embed_dim = len(encoder["levels"]), encoder["embed_dim"]
        out = len(needed(state, "predictor.predictor_proj.weight"))
        if out != levels * embed_dim or "predictor.predictor_embed.0.weight" not in state:
            reason = (
                f"it predicts another encoder's tokens ({out} numbers of a teacher's, the encoder has "
                f"{levels} x {embed_dim})"
            )
    if reason is None:
        return True
    notes.append(f"the predictor is left out: {reason}")
    _drop(state, "predictor")
    return False


def _fold_modality(state: dict[str, Tensor], notes: list[str]) -> None:
    """Fold V-JEPA 2.1's predictor embedding of the modality "video" into the input bias and the mask tokens.

    The authors' predictor adds that vector to all of its input tokens.
    """
    video = state.pop("predictor.video_mod_embed", None)
    if state.pop("predictor.img_mod_embed", None) is None or video is None:
        return
    last = "2." if "predictor.predictor_embed.2.bias" in state else ""
    bias = f"predictor.predictor_embed.{last}bias"
    state[bias] = needed(state, bias) + video.flatten()
    for number in range(count(state, "predictor.mask_tokens.{}")):
        name = f"predictor.mask_tokens.{number}"
        state[name] = state[name] + video if bool(state[name].any()) else state[name]
    notes.append("the authors' predictor distinguishes images from videos; the one for videos is loaded")


def _trained_token(state: Mapping[str, Tensor], family: Family, notes: list[str]) -> int:
    """Index of the first mask token that is not zero.

    V-JEPA 2 has one for each clip length, and most were never trained.
    """
    tokens = count(state, "predictor.mask_tokens.{}")
    trained = [number for number in range(tokens) if bool(state[f"predictor.mask_tokens.{number}"].any())]
    chosen = trained[0] if trained else 0
    if family in ("vjepa2", "vjepa2_1"):
        notes.append(
            f"of {tokens} mask tokens, {trained or 'none'} are not zero, and number {chosen} is taken; the "
            "authors' code and transformers take number 1 by default"
        )
    return chosen


def _predictor(
    family: Family, container: Container, state: Mapping[str, Tensor], encoder: Mapping[str, Any]
) -> dict[str, Any]:
    name = "predictor.predictor"
    nested = f"{name}_embed.0.weight" in state
    predictor = measure_predictor(
        state,
        f"{name}_embed{'.2' if nested else ''}.weight",
        f"{name}_proj.weight",
        f"{name}_blocks.{{}}.mlp.fc1.weight",
    )
    if nested:
        predictor["hidden_dim"], predictor["in_dim"] = needed(state, f"{name}_embed.0.weight").shape
    num_heads = num_heads_of(
        "predictor", predictor["embed_dim"], family, container.stated, encoder_num_heads=encoder["num_heads"]
    )
    return {
        **predictor,
        "num_heads": num_heads,
        "num_mask_tokens": count(state, "predictor.mask_tokens.{}") or 1,
        "positions": encoder["positions"],
        "rotary_layout": encoder.get("rotary_layout", "interleave"),
        **({"trained_side": encoder["trained_side"]} if "trained_side" in encoder else {}),
        "predict_context": f"{name}_proj_context.weight" in state,
    }


def _probe(
    family: Family,
    container: Container,
    state: dict[str, Tensor],
    encoder: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """Configuration of an attentive probe of V-JEPA or V-JEPA 2; unused tensors of V-JEPA's are removed.

    V-JEPA's CrossAttention has a layer `proj` that its forward does not use, neither at 0f772c5, which came
    with the weights, nor at 51c59d5, the newest commit (facebookresearch/jepa, src/models/utils/modules.py).
    Between 787b04a and a0517b4 the forward used it: "REVERTING - commit 787b04a which broke evals". V-JEPA
    2's has no such layer (facebookresearch/vjepa2 at c2963a4, the same file).
    """
    if "classifier.action_classifier.weight" in state:
        raise ValueError(
            "it is a probe of action anticipation (EPIC-KITCHENS-100), which names action, verb and noun, "
            "each from its own query, and sees the predictor's tokens: classifiers of this library have one "
            "head; load the encoder without it"
        )
    unused = [
        name for name in state if name.startswith("classifier.pooler.cross_attention_block.xattn.proj.")
    ]
    if bool(unused) != (family == "vjepa"):
        whose = "V-JEPA's" if unused else "V-JEPA 2's"
        raise ValueError(
            f"it is a probe of {whose} kind, and the encoder is {TITLES[family]}'s: give a probe of the same "
            "family"
        )
    if any(bool(state.pop(name).any()) for name in unused if name.endswith("bias")):
        notes.append(
            "xattn.proj of the probe has a bias that was trained, and is not used: of the authors' code, "
            "only that between commits 787b04a and a0517b4 used it"
        )
    for name in unused:
        state.pop(name, None)
    classes = len(needed(state, "classifier.linear.weight"))
    num_heads = num_heads_of(
        "head", encoder["embed_dim"], family, container.stated, encoder_num_heads=encoder["num_heads"]
    )
    head = {
        "kind": "attentive",
        "num_heads": num_heads,
        "depth": count(state, "classifier.pooler.blocks.{}.norm1.weight") + 1,
        "queries": needed(state, "classifier.pooler.query_tokens").shape[1],
        "blocks_on": "queries" if family == "vjepa" else "tokens",
        "norm_eps": container.stated.get("head", {}).get("norm_eps", _POOLER_EPS),
    }
    levels = probe_levels_of(classes, encoder["depth"], family, container.stated)
    names = [str(number) for number in range(classes)]
    return {"head": head, **classifier_arguments(names, token_norm=True), "levels": levels}


def check_channels(config: Mapping[str, Any], container: Container) -> None:
    """Raise ValueError where the pixel normalisation has another number of channels than the encoder."""
    channels, known = config["encoder"]["channels"], len(config["pixels"]["mean"])
    if channels == known:
        return
    where = "preprocessor_config.json beside it" if container.description is not None else "its key 'vjepa'"
    how = (
        "image_mean and image_std"
        if container.description is not None
        else "{'pixels': {'mean': [...], 'std': [...]}}"
    )
    raise ValueError(
        f"its encoder has {channels} channels, and the pixel normalisation is that of {known}: give the mean "
        f"and standard deviation of each channel in {where} ({how})"
    )


def classifier_arguments(classes: list[str], *, token_norm: bool) -> dict[str, Any]:
    """Entries of a classifier's ``config.json`` besides its head: one view, of one clip."""
    return {
        "classes": classes,
        "levels": [],
        "token_norm": token_norm,
        "views": {"clips": 1, "crops": 1, "segments": 1},
    }


def _jepa_clip(
    family: Family, container: Container, encoder: Mapping[str, Any], grid: Grid | None, notes: list[str]
) -> dict[str, Any]:
    if grid is not None:
        depth, rows, columns = encoder["tubelet"]
        return clip_format(family, grid.t * depth, (grid.h * rows, grid.w * columns))
    if "clip" in container.stated:
        return dict(container.stated["clip"])
    size = 384 if "384" in container.path.name else 224 if family == "vjepa" else 256
    frames = 16 if family == "vjepa" else 64
    notes.append(
        f"the weights do not store frames and size: config['clip'] has {frames} frames at {size} x {size}, "
        "as most of the authors' models (384 where the file name has it); other sizes work, too"
    )
    return clip_format(family, frames, size)


def _videomae(container: Container, state: dict[str, Tensor]) -> Draft:
    """Draft of VideoMAE files, and of VideoMAE v2 folders on the hub with a config.json of their own."""
    # Names of the pre-training code begin with "encoder."; weights without a head are renamed to these.
    prefix = "" if "head.weight" in state else "encoder."
    _rename_videomae(state, prefix)
    settings = _videomae2_settings(container.description)
    encoder = measure_encoder(
        state, f"{prefix}patch_embed.proj.weight", f"{prefix}blocks.{{}}.mlp.fc1.weight"
    )
    num_heads = settings.get("num_heads") or num_heads_of(
        "encoder", encoder["embed_dim"], "videomae", container.stated
    )
    # The authors' code has either a last norm or fc_norm.
    has_norm = f"{prefix}norm.weight" in state and "fc_norm.weight" not in state
    encoder |= {"num_heads": num_heads, "positions": "sinusoid", "last_norm": has_norm}
    frames, size = settings.get("num_frames", 16), settings.get("img_size", 224)
    config: dict[str, Any] = {"encoder": encoder, "clip": clip_format("videomae", frames, size)}
    config["future"] = future_arguments(max(frames // encoder["tubelet"][0], 1), 0)
    networks, notes = ["encoder"], [sinusoid_note(config["clip"])]
    if not has_norm:
        notes.append(NO_NORM_NOTE)
    if "encoder_to_decoder.weight" in state:
        config |= _videomae_decoder(container, state)
        networks.append("decoder")
    if "head.weight" in state:
        if "fc_norm.weight" not in state:
            raise ValueError(FIRST_TOKEN)
        names = [str(number) for number in range(len(needed(state, "head.weight")))]
        config |= {"head": {"kind": "linear"}, **classifier_arguments(names, token_norm=False)}
        networks.append("head")
    elif state.pop("fc_norm.weight", None) is not None:
        state.pop("fc_norm.bias", None)
        notes.append("its fc_norm, a norm of the mean over all tokens, is left out: its head is missing")
    return Draft(config, tuple(networks), state, tuple(notes))


def _rename_videomae(state: dict[str, Tensor], prefix: str) -> None:
    """Bring the encoder's tensor names to those with `prefix` in front, in place."""
    for name in list(state):
        plain = name.removeprefix("encoder.")
        if plain.startswith(("blocks.", "norm.", "patch_embed.")):
            state[prefix + plain] = state.pop(name)


def _videomae2_settings(description: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Get ``model_config`` from a config.json of OpenGVLab's VideoMAE v2 on the hub; empty without one.

    Its keys are the arguments of VisionTransformer (OpenGVLab/VideoMAEv2 at 29eab1e,
    models/modeling_finetune.py).
    """
    settings: Mapping[str, Any] = (description or {}).get("model_config") or {}
    wrong = {"cos_attn": False, "use_learnable_pos_emb": False, "qk_scale": None}
    for name, value in wrong.items():
        if settings.get(name, value) != value:
            raise ValueError(
                f"model_config.{name} is {settings[name]} in its config.json, and this library supports only "
                f"{value}"
            )
    return settings


def _videomae_decoder(container: Container, state: Mapping[str, Tensor]) -> dict[str, Any]:
    decoder = measure_predictor(
        state, "encoder_to_decoder.weight", "decoder.head.weight", "decoder.blocks.{}.mlp.fc1.weight"
    )
    num_heads = num_heads_of("decoder", decoder["embed_dim"], "videomae", container.stated)
    return {
        "decoder": {**decoder, "num_heads": num_heads, "positions": "sinusoid"},
        "pixel_targets": "tubelet",
        "masks": pixel_masks("videomae"),
    }


def _mae(container: Container, state: dict[str, Tensor]) -> Draft:
    encoder = measure_encoder(state, "patch_embed.proj.weight", "blocks.{}.mlp.fc1.weight")
    encoder["num_heads"] = num_heads_of("encoder", encoder["embed_dim"], "mae", container.stated)
    encoder |= {"positions": "sincos_plane", "class_token": True}
    grid = drop_class_tables(state, ["pos_embed", "decoder_pos_embed"])
    _, rows, columns = encoder["tubelet"]
    size = (grid.h * rows, grid.w * columns) if grid is not None else 224
    config: dict[str, Any] = {
        "encoder": encoder,
        "clip": clip_format("mae", 1, size),
        "future": future_arguments(1, 0),
    }
    networks, notes = ["encoder"], [TABLE_NOTE]
    if "decoder_embed.weight" in state:
        decoder = measure_predictor(
            state, "decoder_embed.weight", "decoder_pred.weight", "decoder_blocks.{}.mlp.fc1.weight"
        )
        num_heads = num_heads_of("decoder", decoder["embed_dim"], "mae", container.stated)
        config |= {
            "decoder": {**decoder, "num_heads": num_heads, "positions": "sincos_plane"},
            "pixel_targets": "patch",
            "masks": pixel_masks("mae"),
        }
        networks.append("decoder")
        notes.append(TARGETS_NOTE)
    return Draft(config, tuple(networks), state, tuple(notes))


def drop_class_tables(state: dict[str, Tensor], names: list[str]) -> Grid | None:
    """Remove MAE's fixed position tables, after a check: zeros for the class token, then a 2-D table.

    Returns:
        Token grid of the tables; None where there are none.

    Raises:
        ValueError: A table was learnt.
    """
    grid = None
    for name in names:
        table = state.pop(name, None)
        if table is None:
            continue
        rows_ND = table.flatten(0, -2)
        if bool(rows_ND[0].any()):
            raise ValueError(
                f"{name} has a position of the class token, and the fixed table has none: it was learnt"
            )
        grid = grid_of_table(rows_ND[1:], "sincos_plane", name)
    return grid


def sinusoid_note(clip: Mapping[str, Any]) -> str:
    """Note on VideoMAE's positions and frame stride, for a model of such clips."""
    height, width = clip["size"]
    return (
        f"its positions are a table of {clip['num_frames']} frames at {height} x {width}; for other clips "
        "the 1-D sinusoid over token indices is computed anew, not interpolated; clips consist of every 4th "
        "frame (Something-Something: 2nd; config['clip']['stride'])"
    )


TABLE_NOTE = (
    "for other sizes than in training the position table is computed anew; the authors interpolate theirs"
)
NO_NORM_NOTE = "its encoder has no last norm: encode() returns the last block's tokens without one"
FIRST_TOKEN = (
    "its head sees the first token alone (no fc_norm, use_mean_pooling: false), and this library's heads "
    "see the mean of all tokens: remove the head's tensors from the file, and load the encoder by "
    "from_pretrained"
)
TARGETS_NOTE = (
    "the weights do not store whether the decoder predicts normalised patches (pixel_targets: 'patch') or "
    "plain pixels ('raw'): check pixel_targets in the configuration"
)
