"""Families of released weights: recognition by tensor names, clip formats, masks and licences."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Family = Literal["vjepa", "vjepa2", "vjepa2_1", "vjepa2_ac", "videomae", "ijepa", "mae", "probe"]
Layout = Literal["meta", "transformers"]

TITLES: dict[Family, str] = {
    "vjepa": "V-JEPA",
    "vjepa2": "V-JEPA 2",
    "vjepa2_1": "V-JEPA 2.1",
    "vjepa2_ac": "V-JEPA 2-AC",
    "videomae": "VideoMAE",
    "ijepa": "I-JEPA",
    "mae": "MAE",
    "probe": "an attentive probe",
}
LICENCES: dict[Family, str] = {
    "vjepa": "CC BY-NC 4.0",
    "ijepa": "CC BY-NC 4.0",
    "mae": "CC BY-NC 4.0",
    "videomae": "CC BY-NC 4.0 (those of v2 have their terms on their pages of the hub)",
}
"""Restrictive licences of the authors' own weights; families with other licences are not listed."""

_warned: set[Family] = set()


def warn_of_licence(family: Family) -> None:
    """Warn once per process that the authors' weights of a family have a restrictive licence."""
    if family in LICENCES and family not in _warned:
        _warned.add(family)
        warnings.warn(
            f"the authors' weights of {TITLES[family]} are under {LICENCES[family]}: no commercial use; "
            "models trained from them come under it, too. Your own weights in that layout are not affected",
            stacklevel=2,
        )


def recognise(shapes: Mapping[str, tuple[int, ...]], family: Family | None = None) -> tuple[Family, Layout]:
    """Recognise the family of weights, and the layout of their names, from names and shapes.

    Args:
        shapes: Shapes of the tensors by name. A name begins with its network where a file has several
            (``target_encoder.blocks.0.norm1.weight``); names of wrappers (``module.``, ``backbone.``,
            ``videomae.``) are removed.
        family: Family as stated by the user, which decides between V-JEPA and V-JEPA 2, whose encoders have
            the same names. None recognises it.

    Returns:
        The family, and ``meta`` (names of the authors' code) or ``transformers``.

    Raises:
        ValueError: The family is unknown, is not `family`, or is either of two.
    """
    found = _of_transformers(shapes)
    layout: Layout = "meta" if found is None else "transformers"
    by_names, possible = _of_authors(shapes) if found is None else (found, (found,))
    if not possible:
        raise ValueError(_unknown(shapes))
    if family is not None and family not in possible:
        raise ValueError(
            f"family is {family!r}, and by their names these weights are {' or '.join(map(repr, possible))}: "
            "give that, or leave it out"
        )
    chosen = family or by_names
    if chosen is None:
        raise ValueError(
            "encoders of V-JEPA and of V-JEPA 2 have the same names, and the position table (pos_embed) may "
            "be V-JEPA's, or an unused one that V-JEPA 2's files may have: give family='vjepa' or "
            "family='vjepa2' (vjepa convert --family writes a model folder that stores it)"
        )
    return chosen, layout


def _unknown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    if shapes and all(name.startswith("predictor.") for name in shapes):
        return (
            "it holds a predictor alone, and a predictor needs the encoder whose tokens it takes: give a "
            "file with both, {'encoder': ..., 'predictor': ...}"
        )
    return (
        f"these weights are of no known family ({', '.join(TITLES.values())}; in their authors' layout or "
        f"transformers'): the first tensor names are {', '.join(sorted(shapes)[:8]) or 'missing'}; save the "
        "state_dict of the network itself, or {'encoder': ..., 'predictor': ...} of its networks"
    )


def _of_transformers(shapes: Mapping[str, tuple[int, ...]]) -> Family | None:
    if "encoder.embeddings.patch_embeddings.proj.weight" in shapes:
        return "vjepa2"
    patch = shapes.get("embeddings.patch_embeddings.projection.weight")
    if patch is None:
        return None
    if len(patch) == 5:
        return "videomae"
    return "mae" if "embeddings.cls_token" in shapes else "ijepa"


def _of_authors(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Family | None, tuple[Family, ...]]:
    """Recognise authors' names: the family, None where it is ambiguous; and all families with such names."""
    if any(f"{prefix}blocks.0.attn.q_bias" in shapes for prefix in ("encoder.", "")):
        return "videomae", ("videomae",)
    if "cls_token" in shapes and "patch_embed.proj.weight" in shapes:
        return "mae", ("mae",)
    for network in ("target_encoder", "encoder"):
        patch = shapes.get(f"{network}.patch_embed.proj.weight")
        if patch is not None:
            return ("ijepa", ("ijepa",)) if len(patch) == 4 else _of_video_jepa(shapes, network)
    return ("probe", ("probe",)) if "classifier.pooler.query_tokens" in shapes else (None, ())


def _of_video_jepa(
    shapes: Mapping[str, tuple[int, ...]], network: str
) -> tuple[Family | None, tuple[Family, ...]]:
    """Recognise a member of the V-JEPA family from names; the returned values are those of `_of_authors`.

    Encoders of V-JEPA and V-JEPA 2 have the same names but for a position table. V-JEPA's always have one,
    and V-JEPA 2's may have an unused one, in released files, too (facebookresearch/vjepa2 at c2963a4,
    src/hub/backbones.py: "state_dict has pos_embed but we use RoPE"), so a table alone does not decide. A
    predictor does: V-JEPA's has 2 mask tokens and a position table, and that of V-JEPA 2's released files has
    10 mask tokens.
    """
    if f"{network}.norms_block.0.weight" in shapes or f"{network}.patch_embed_img.proj.weight" in shapes:
        return "vjepa2_1", ("vjepa2_1",)
    if "predictor.action_encoder.weight" in shapes:
        return "vjepa2_ac", ("vjepa2_ac",)
    either: tuple[Family, ...] = ("vjepa", "vjepa2")
    if "predictor.mask_tokens.2" in shapes:
        return "vjepa2", either
    if "predictor.predictor_pos_embed" in shapes:
        return "vjepa", either
    return (None if f"{network}.pos_embed" in shapes else "vjepa2"), either


def clip_format(family: Family, frames: int, size: int | Sequence[int]) -> dict[str, Any]:
    """Build ``config["clip"]``, with the family's frame rate or stride in training, which files do not store.

    Args:
        family: Family of the weights.
        frames: Number of frames of a clip.
        size: Side of a frame in pixels, or its height and width.
    """
    fps, stride = None, None
    if family in ("vjepa2", "vjepa2_1", "vjepa2_ac"):
        fps = 4
    elif family in ("vjepa", "videomae"):
        stride = 4
    height, width = (size, size) if isinstance(size, int) else size
    return {
        "num_frames": frames,
        "fps": fps,
        "stride": stride,
        "size": [height, width],
        "whole_frame": False,
    }


# The masks that pixel decoders were trained with, in the form of this library's configurations.
_PIXEL_MASKS: dict[Family, dict[str, list[dict[str, float]]]] = {
    # scripts/*/pretrain.sh of MCG-NJU/VideoMAE at 14ef8d8: --mask_type tube --mask_ratio 0.9
    "videomae": {"tube": [{"ratio": 0.9}]},
    # main_pretrain.py of facebookresearch/mae at efb2a80: --mask_ratio 0.75
    "mae": {"random": [{"ratio": 0.75}]},
}


def pixel_masks(family: Family) -> dict[str, list[dict[str, float]]]:
    """Get ``config["masks"]`` of a model with a pixel decoder: the masks of its authors' training."""
    return _PIXEL_MASKS[family]


def future_arguments(steps: int, mask_token: int) -> dict[str, Any]:
    """Build ``config["future"]``: the context is half of a clip.

    Targets are layer-normalised, as all these families do.

    Args:
        steps: Number of time steps of a clip.
        mask_token: Index of the mask token for predicting the future.
    """
    return {
        "context_steps": max(steps // 2, 1),
        "mask_token": mask_token,
        "normalisation": "layer_norm",
    }
