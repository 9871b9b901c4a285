"""What shapes tell of a network. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vjepa.choices import PositionKind
from vjepa.grid import Grid
from vjepa.layers.positions import POSITION_TABLES

State = Mapping[str, Tensor]


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


def grid_of_table(table_ND: Tensor, kind: PositionKind, name: str) -> Grid:
    """The grid whose fixed position table this is, ``(N, D)``; square frames are tried first.

    Raises:
        ValueError: it is the table of no grid: it was learnt, or interpolated, or is not used.
    """
    tokens, width = table_ND.shape
    tolerance = 1e-4 if table_ND.element_size() >= 4 else 1e-2
    for grid in _grids(tokens, kind):
        if (POSITION_TABLES[kind](grid, width) - table_ND.float()).abs().max() < tolerance:
            return grid
    raise ValueError(
        f"{name} ({tokens} tokens) is not the fixed table of positions ({kind}): it was learnt or interpolated, and this "
        "library's encoders compute theirs: give the weights before fine-tuning; where the network does not use it, as V-JEPA 2, "
        "say so (family='vjepa2')"
    )


def _grids(tokens: int, kind: PositionKind) -> list[Grid]:
    """Grids of so many tokens; time plays no part in a plane's table."""
    steps = [step for step in range(1, tokens + 1) if tokens % step == 0] if kind != "sincos_plane" else [1]
    grids = []
    for step in steps:
        places = tokens // step
        grids += [Grid(step, row, places // row) for row in range(1, places + 1) if places % row == 0]
    return sorted(grids, key=lambda grid: grid.h != grid.w)
