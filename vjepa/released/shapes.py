"""What shapes tell of a network, and what they do not: the number of heads. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vjepa.layers.positions import POSITION_TABLES, PositionKind
from vjepa.models.sizes import SIZES
from vjepa.tokens import Grid

State = Mapping[str, Tensor]

_HEADS = {size.width: size.heads for size in SIZES.values()}
_OLDER_HEADS = {**_HEADS, 1408: 16}  # V-JEPA, I-JEPA and VideoMAE v2: giant has 16
_NEWER_HEADS = {**_HEADS, 1664: 26}  # V-JEPA 2.1: gigantic has 26
NEWER = ("vjepa2", "vjepa2_1", "vjepa2_ac")


def needed(state: State, name: str) -> Tensor:
    """A tensor without which nothing can be told; ValueError where it is missing."""
    if name not in state:
        near = sorted(state)[:8]
        raise ValueError(
            f"missing {name}, which tells the size of the network; there are {', '.join(near)}, ..."
        )
    return state[name]


def count(state: State, template: str) -> int:
    """How many names there are like ``encoder.blocks.{}.norm1.weight``, counted from 0."""
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    numbers = [int(match[1]) for match in map(pattern.fullmatch, state) if match]
    return max(numbers, default=-1) + 1


def ratio(hidden: int, width: int) -> float:
    """The MLP's width over the network's, such that ``int(width * ratio)`` gives `hidden` again."""
    found = hidden / width
    return found if int(width * found) == hidden else math.nextafter(found, math.inf)


def measure_encoder(state: State, patch: str, hidden: str) -> dict[str, Any]:
    """Width, depth, MLP, tubelet and channels of an encoder.

    Args:
        state: tensors by name.
        patch: name of the weight of the patch embedding, ``(D, C, t, h, w)`` or ``(D, C, h, w)``.
        hidden: template of the name of the weight of the MLPs' first layer.
    """
    weight = needed(state, patch)
    if weight.ndim not in (4, 5):
        raise ValueError(f"reshaped {patch}: {tuple(weight.shape)} is no patch embedding of images or videos")
    width, channels, *extent = weight.shape
    return {
        "width": width,
        "depth": count(state, hidden),
        "mlp_ratio": ratio(len(needed(state, hidden.format(0))), width),
        "tubelet": [1, *extent] if weight.ndim == 4 else extent,
        "channels": channels,
    }


def measure_predictor(state: State, embed: str, out: str, hidden: str) -> dict[str, Any]:
    """Widths, depth and MLP of a predictor or decoder.

    Args:
        state: tensors by name.
        embed, out: names of the weights of the first and last matrix.
        hidden: template of the name of the weight of the MLPs' first layer.
    """
    width, in_width = needed(state, embed).shape
    return {
        "in_width": in_width,
        "out_width": len(needed(state, out)),
        "width": width,
        "depth": count(state, hidden),
        "mlp_ratio": ratio(len(needed(state, hidden.format(0))), width),
    }


def heads_of(width: int, family: str) -> int:
    """Attention heads of the published encoder of this width; ValueError where none is known."""
    table = _NEWER_HEADS if family in NEWER else _OLDER_HEADS
    if width not in table:
        raise ValueError(
            f"how many heads an encoder of width {width} has cannot be told from its shapes: known are the published widths "
            f"{', '.join(map(str, sorted(table)))}; give a folder of transformers, whose config.json says it, or one of ours"
        )
    return table[width]


def grid_of_table(table_ND: Tensor, kind: PositionKind, name: str) -> Grid:
    """The grid whose fixed position table this is, ``(N, D)``.

    Raises:
        ValueError: it is the table of no grid with square frames: it was learnt, or interpolated.
    """
    tokens, width = table_ND.shape
    tolerance = 1e-4 if table_ND.element_size() >= 4 else 1e-2
    for steps in range(1, tokens + 1):
        side = math.isqrt(tokens // steps)
        if steps * side * side != tokens:
            continue
        grid = Grid(steps, side, side)
        if (POSITION_TABLES[kind](grid, width) - table_ND.float()).abs().max() < tolerance:
            return grid
        if kind == "sincos_plane":
            break  # time plays no part: there is no other
    raise ValueError(
        f"{name} ({tokens} tokens) is not the fixed table of positions ({kind}): it was learnt or interpolated, and this "
        "library's encoders compute theirs; give the weights before fine-tuning"
    )
