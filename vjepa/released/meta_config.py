"""From an authors' file to the configuration of a model of ours. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from vjepa.layers.positions import PositionKind
from vjepa.released.containers import Container
from vjepa.released.families import Family, clip_format, future_arguments
from vjepa.released.meta_layout import STATED_KEYS, stated_heads
from vjepa.released.shapes import (
    count,
    grid_of_table,
    measure_encoder,
    measure_predictor,
    needed,
)
from vjepa.tokens import Grid

_POSITIONS: dict[Family, dict[str, Any]] = {
    "vjepa": {"positions": "sincos"},
    "vjepa2": {"positions": "rotary", "rotary_layout": "tile"},
    "vjepa2_ac": {"positions": "rotary", "rotary_layout": "tile"},
    "vjepa2_1": {"positions": "rotary", "rotary_layout": "interleave"},
    "ijepa": {"positions": "sincos_plane"},
}
_LEVELS = {
    12: [2, 5, 8, 11],
    24: [5, 11, 17, 23],
    40: [9, 19, 29, 39],
    48: [11, 23, 37, 47],
}  # V-JEPA 2.1, by depth
PROBE_HEADS = 16  # of all of V-JEPA 2's probes, giant's among them
_DECODER_HEADS = 16  # MAE's
_HEAD_WIDTH = 64  # VideoMAE's decoders
_V2_PREDICTOR_HEADS = 12


class Draft(NamedTuple):
    """A model of ours in the making.

    Attributes:
        config: as of a model folder.
        networks: of ours that the weights have.
        state: what is left of their tensors for the table of names.
        notes: what a user must know.
    """

    config: dict[str, Any]
    networks: tuple[str, ...]
    state: dict[str, Tensor]
    notes: tuple[str, ...]


def meta_draft(family: Family, container: Container) -> Draft:
    """Configuration and remaining tensors of an authors' file; ValueError where they cannot be told."""
    if family == "probe":
        raise ValueError(
            f"{container.path} is a probe without its encoder: load_classifier(ENCODER, probe={str(container.path)!r})"
        )
    state, notes = dict(container.state), list(container.notes)
    if family == "videomae":
        draft = _videomae(container, state)
    elif family == "mae":
        draft = _mae(container, state)
    else:
        draft = _jepa(family, container, state)
    stated = {key: container.stated[key] for key in STATED_KEYS if key in container.stated}
    config = {"library": "vjepa", **draft.config, "pixels": dict(container.pixels), **stated}
    return draft._replace(config=config, notes=(*notes, *draft.notes))


def _jepa(family: Family, container: Container, state: dict[str, Tensor]) -> Draft:
    notes: list[str] = []
    networks = [name for name in ("encoder", "target_encoder") if _has(state, name)]
    main = networks[-1]
    encoder = measure_encoder(state, f"{main}.patch_embed.proj.weight", f"{main}.blocks.{{}}.mlp.fc1.weight")
    encoder["heads"] = stated_heads(container.heads, "encoder", encoder["width"], family)
    encoder |= _POSITIONS[family]
    if family == "vjepa2_1":
        encoder |= _image_and_levels(state, main, encoder["depth"], notes)
    tables = [f"{name}.pos_embed" for name in networks] + ["predictor.predictor_pos_embed"]
    grid = _drop_tables(state, encoder["positions"], tables)
    if encoder["positions"] != "rotary":
        notes.append(TABLE_NOTE)
    config: dict[str, Any] = {"encoder": encoder}
    token = 0
    if _has(state, "predictor") and _takes_predictor(family, state, encoder, notes):
        token = _trained_token(state, family, notes)
        config["predictor"] = _predictor(family, container, state, encoder)
        networks.append("predictor")
    if _has(state, "classifier"):
        config |= _probe(container, state, encoder["heads"])
        networks.append("head")
    config["clip"] = _jepa_clip(family, container, encoder, grid, notes)
    steps = max(config["clip"]["num_frames"] // encoder["tubelet"][0], 1)
    config["future"] = future_arguments(steps, token)
    return Draft(config, tuple(networks), state, tuple(notes))


def _has(state: Mapping[str, Tensor], network: str) -> bool:
    return any(name.startswith(f"{network}.") for name in state)


def _image_and_levels(state: Mapping[str, Tensor], main: str, depth: int, notes: list[str]) -> dict[str, Any]:
    """V-JEPA 2.1: a patch embedding of images, and a norm for each of four levels."""
    norms = count(state, f"{main}.norms_block.{{}}.weight")
    levels = _LEVELS.get(depth, [])
    if norms != len(levels):
        raise ValueError(
            f"it has {norms} norms of levels and {depth} blocks: V-JEPA 2.1's levels are known for 12, 24, 40 and 48 blocks, "
            "four of each; of others it is not known which blocks they follow"
        )
    patch = needed(state, f"{main}.patch_embed.proj.weight").shape[-1]
    notes.append(
        "rows and columns of other sizes are stretched to the positions of 256 x 256 pixels, as the authors do"
    )
    return {
        "trained_side": 256 // patch,
        "image_tokenizer": f"{main}.patch_embed_img.proj.weight" in state,
        "levels": levels,
    }


def _drop_tables(state: dict[str, Tensor], positions: PositionKind, names: list[str]) -> Grid | None:
    """Take fixed tables of positions out, which this library computes, once they are seen to be those; their grid.

    With rotary positions they are left over from older code, and are not used.
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
    """Whether this library has such a predictor; if not, its tensors are taken out."""
    reason = None
    if family == "vjepa2_ac":
        reason = "it is conditioned on actions: vjepa.load_action_model gives the two together"
    if family == "vjepa2_1":
        _fold_modality(state, notes)
        levels, width = len(encoder["levels"]), encoder["width"]
        out = len(needed(state, "predictor.predictor_proj.weight"))
        if out != levels * width or "predictor.predictor_embed.0.weight" not in state:
            reason = f"it predicts another encoder's tokens ({out} numbers of a teacher's, the encoder has {levels} x {width})"
    if reason is None:
        return True
    notes.append(f"the predictor is left out: {reason}")
    for name in [name for name in state if name.startswith("predictor.")]:
        del state[name]
    return False


def _fold_modality(state: dict[str, Tensor], notes: list[str]) -> None:
    """Add the predictor's vector of videos to what goes in: its tokens are sums of the two there."""
    video = state.pop("predictor.video_mod_embed", None)
    if state.pop("predictor.img_mod_embed", None) is None or video is None:
        return
    last = "2." if "predictor.predictor_embed.2.bias" in state else ""
    bias = f"predictor.predictor_embed.{last}bias"
    state[bias] = needed(state, bias) + video.flatten()
    for number in range(count(state, "predictor.mask_tokens.{}")):
        name = f"predictor.mask_tokens.{number}"
        state[name] = state[name] + video if bool(state[name].any()) else state[name]
    notes.append("the predictor tells images from videos there; here it is that of videos")


def _trained_token(state: Mapping[str, Tensor], family: Family, notes: list[str]) -> int:
    """The first mask token that is not zero: those of V-JEPA 2 are by clip length, and most were never trained."""
    tokens = count(state, "predictor.mask_tokens.{}")
    trained = [number for number in range(tokens) if bool(state[f"predictor.mask_tokens.{number}"].any())]
    chosen = trained[0] if trained else 0
    if family in ("vjepa2", "vjepa2_1"):
        notes.append(
            f"of {tokens} mask tokens, {trained or 'none'} are not zero, and number {chosen} is taken; the authors' code and "
            "transformers take number 1 unless told"
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
        predictor["hidden_width"], predictor["in_width"] = needed(state, f"{name}_embed.0.weight").shape
    default = _V2_PREDICTOR_HEADS if family in ("vjepa2", "vjepa2_1") else encoder["heads"]
    return {
        **predictor,
        "heads": container.heads.get("predictor", default),
        "num_mask_tokens": count(state, "predictor.mask_tokens.{}") or 1,
        "positions": encoder["positions"],
        "rotary_layout": encoder.get("rotary_layout", "interleave"),
        **({"trained_side": encoder["trained_side"]} if "trained_side" in encoder else {}),
        "predicts_context": f"{name}_proj_context.weight" in state,
    }


def _probe(container: Container, state: Mapping[str, Tensor], encoder_heads: int) -> dict[str, Any]:
    """A probe of V-JEPA, which has a projection after its cross-attention and its encoder's heads (these from memory), or of V-JEPA 2."""
    if "classifier.action_classifier.weight" in state:
        raise ValueError(
            "it is a probe of action anticipation (EPIC-KITCHENS-100), which names action, and verb and noun, each from a query of "
            "its own, and sees the predictor's tokens: classifiers of this library have one head; its encoder loads without it"
        )
    projects = "classifier.pooler.cross_attention_block.xattn.proj.weight" in state
    classes = len(needed(state, "classifier.linear.weight"))
    head = {
        "kind": "attentive",
        "heads": container.heads.get("head", encoder_heads if projects else PROBE_HEADS),
        "depth": count(state, "classifier.pooler.blocks.{}.norm1.weight") + 1,
        "queries": needed(state, "classifier.pooler.query_tokens").shape[1],
    }
    if projects:
        head["cross_projection"] = True
    return {"head": head, **classifier_arguments([str(number) for number in range(classes)], token_norm=True)}


def classifier_arguments(classes: list[str], *, token_norm: bool) -> dict[str, Any]:
    """What a model folder says of a classifier beside its head: one view, of one clip."""
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
        depth, _, patch = encoder["tubelet"]
        return clip_format(family, grid.t * depth, grid.w * patch)
    if "clip" in container.stated:
        return dict(container.stated["clip"])
    size = 384 if "384" in container.path.name and family != "vjepa2_1" else 256
    frames = 16 if family == "vjepa" else 64
    notes.append(
        f"frames and size are not told by the weights: config['clip'] has {frames} frames at {size} x {size}, as most of the "
        "authors' do (384 where the name of the file has it); any others will do"
    )
    return clip_format(family, frames, size)


def _videomae(container: Container, state: dict[str, Tensor]) -> Draft:
    prefix = "encoder." if "encoder.patch_embed.proj.weight" in state else ""
    encoder = measure_encoder(
        state, f"{prefix}patch_embed.proj.weight", f"{prefix}blocks.{{}}.mlp.fc1.weight"
    )
    encoder["heads"] = stated_heads(container.heads, "encoder", encoder["width"], "videomae")
    encoder["positions"] = "sinusoid"
    frames, size = 16, 224
    config: dict[str, Any] = {"encoder": encoder, "clip": clip_format("videomae", frames, size)}
    config["future"] = future_arguments(frames // encoder["tubelet"][0], 0)
    networks, notes = ["encoder"], [SINUSOID_NOTE]
    if "encoder_to_decoder.weight" in state:
        decoder = measure_predictor(
            state, "encoder_to_decoder.weight", "decoder.head.weight", "decoder.blocks.{}.mlp.fc1.weight"
        )
        heads = container.heads.get("decoder", max(decoder["width"] // _HEAD_WIDTH, 1))
        config |= {
            "decoder": {**decoder, "heads": heads, "positions": "sinusoid"},
            "pixel_targets": "tubelet",
        }
        networks.append("decoder")
    if "fc_norm.weight" in state:
        classes = len(needed(state, "head.weight"))
        names = [str(number) for number in range(classes)]
        config |= {"head": {"kind": "linear"}, **classifier_arguments(names, token_norm=False)}
        networks.append("head")
        notes.append(NO_NORM_NOTE)
    return Draft(config, tuple(networks), state, tuple(notes))


def _mae(container: Container, state: dict[str, Tensor]) -> Draft:
    encoder = measure_encoder(state, "patch_embed.proj.weight", "blocks.{}.mlp.fc1.weight")
    encoder["heads"] = stated_heads(container.heads, "encoder", encoder["width"], "mae")
    encoder |= {"positions": "sincos_plane", "class_token": True}
    grid = drop_class_tables(state, ["pos_embed", "decoder_pos_embed"])
    side = grid.w if grid is not None else 224 // encoder["tubelet"][2]
    config: dict[str, Any] = {
        "encoder": encoder,
        "clip": clip_format("mae", 1, side * encoder["tubelet"][2]),
        "future": future_arguments(1, 0),
    }
    networks, notes = ["encoder"], [TABLE_NOTE]
    if "decoder_embed.weight" in state:
        decoder = measure_predictor(
            state, "decoder_embed.weight", "decoder_pred.weight", "decoder_blocks.{}.mlp.fc1.weight"
        )
        heads = container.heads.get("decoder", _DECODER_HEADS)
        config |= {
            "decoder": {**decoder, "heads": heads, "positions": "sincos_plane"},
            "pixel_targets": "patch",
        }
        networks.append("decoder")
        notes.append(TARGETS_NOTE)
    return Draft(config, tuple(networks), state, tuple(notes))


def drop_class_tables(state: dict[str, Tensor], names: list[str]) -> Grid | None:
    """Take MAE's tables out: a row of zeros for the class token, then the plane's."""
    grid = None
    for name in names:
        table = state.pop(name, None)
        if table is None:
            continue
        rows_ND = table.flatten(0, -2)
        if bool(rows_ND[0].any()):
            raise ValueError(f"{name} places the class token, and the fixed table does not: it was learnt")
        grid = grid_of_table(rows_ND[1:], "sincos_plane", name)
    return grid


SINUSOID_NOTE = (
    "the authors' positions are a table of 16 frames at 224 x 224; for other clips the 1-D sinusoid of the tokens' numbers is "
    "computed anew, not interpolated; clips are taken every 4th frame (Something-Something: 2nd; config['clip']['stride'])"
)
TABLE_NOTE = (
    "for other sizes than trained the table of positions is computed anew; the authors interpolate theirs"
)
NO_NORM_NOTE = (
    "its encoder has no last norm, the head has it: encode() gives tokens through a plain one, forward_intermediates(norm=False) "
    "what the head sees"
)
TARGETS_NOTE = "whether the decoder predicts normalised patches is not told by the weights: pixel_targets is 'patch', else 'raw'"
