"""The families of released weights: how they are told apart, what their authors did with pixels, whose licence it is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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
    "videomae": "CC BY-NC 4.0 (VideoMAE v2: MIT)",
}
"""Of the authors' own weights, where it is restrictive."""

_told: set[Family] = set()


def warn_of_licence(family: Family) -> None:
    """Say once what may not be done with a family's weights, where that is so."""
    if family in LICENCES and family not in _told:
        _told.add(family)
        warnings.warn(
            f"the authors' weights of {TITLES[family]} are under {LICENCES[family]}: no commercial use; what is trained from "
            "them comes under it, too. Weights of your own in that layout are yours",
            stacklevel=2,
        )


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Family, Layout]:
    """The family of weights, and whose names they have, from names and shapes.

    Args:
        shapes: by name; the network in front where a file has several (``target_encoder.blocks.0.norm1.weight``), without
            names of wrappers (``module.``, ``backbone.``, ``videomae.``).

    Raises:
        ValueError: they are of no family that is known.
    """
    family = _of_transformers(shapes)
    if family is not None:
        return family, "transformers"
    family = _of_authors(shapes)
    if family is None:
        raise ValueError(
            f"these weights are of no family that is known ({', '.join(TITLES.values())}; their own layout or transformers'): "
            f"their names begin {', '.join(sorted(shapes)[:8]) or 'nowhere'}"
        )
    return family, "meta"


def _of_transformers(shapes: Mapping[str, tuple[int, ...]]) -> Family | None:
    if "encoder.embeddings.patch_embeddings.proj.weight" in shapes:
        return "vjepa2"
    patch = shapes.get("embeddings.patch_embeddings.projection.weight")
    if patch is None:
        return None
    if len(patch) == 5:
        return "videomae"
    return "mae" if "embeddings.cls_token" in shapes else "ijepa"


def _of_authors(shapes: Mapping[str, tuple[int, ...]]) -> Family | None:
    if any(f"{prefix}blocks.0.attn.q_bias" in shapes for prefix in ("encoder.", "")):
        return "videomae"
    if "cls_token" in shapes and "patch_embed.proj.weight" in shapes:
        return "mae"
    for network in ("target_encoder", "encoder"):
        patch = shapes.get(f"{network}.patch_embed.proj.weight")
        if patch is not None:
            return "ijepa" if len(patch) == 4 else _of_video_jepa(shapes, network)
    return "probe" if "classifier.pooler.query_tokens" in shapes else None


def _of_video_jepa(shapes: Mapping[str, tuple[int, ...]], network: str) -> Family:
    if f"{network}.norms_block.0.weight" in shapes or f"{network}.patch_embed_img.proj.weight" in shapes:
        return "vjepa2_1"
    if "predictor.action_encoder.weight" in shapes:
        return "vjepa2_ac"
    # V-JEPA 2 may have a table of positions left over, which is not used; it has 10 mask tokens, and V-JEPA has 2.
    many_tokens = "predictor.mask_tokens.2" in shapes
    return "vjepa" if f"{network}.pos_embed" in shapes and not many_tokens else "vjepa2"


def clip_format(family: Family, frames: int, size: int) -> dict[str, Any]:
    """``config["clip"]``: the frames that the authors trained with, whose rate the weights do not tell."""
    fps, stride = None, None
    if family in ("vjepa2", "vjepa2_1", "vjepa2_ac"):
        fps = 4
    elif family in ("vjepa", "videomae"):
        stride = 4
    return {
        "num_frames": frames,
        "fps": fps,
        "stride": stride,
        "size": [size, size],
        "whole_frame": False,
    }


def future_arguments(steps: int, mask_token: int) -> dict[str, Any]:
    """``config["future"]``: half of a clip as the context, targets normalised, as all these families do."""
    return {
        "context_steps": max(steps // 2, 1),
        "mask_token": mask_token,
        "normalisation": "layer_norm",
    }
