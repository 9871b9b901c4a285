"""Sizes of a network, measured from the names and shapes of its tensors."""

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
    """Get a tensor whose shape the size of the network depends on.

    Raises:
        ValueError: The tensor is missing.
    """
    if name not in state:
        near = sorted(state)[:8]
        raise ValueError(
            f"missing {name}, which determines the size of the network; there are {', '.join(near)}, ..."
        )
    return state[name]


def count(state: State, template: str) -> int:
    """Count layers: 1 + the largest number in names that fit ``encoder.blocks.{}.norm1.weight`` or such."""
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    numbers = [int(match[1]) for match in map(pattern.fullmatch, state) if match]
    return max(numbers, default=-1) + 1


def ratio(hidden: int, embed_dim: int) -> float:
    """Divide an MLP's hidden width by the network's, such that ``int(width * ratio)`` is `hidden` again."""
    found = hidden / embed_dim
    return found if int(embed_dim * found) == hidden else math.nextafter(found, math.inf)


def measure_encoder(state: State, patch: str, hidden: str) -> dict[str, Any]:
    """Measure an encoder.

    Args:
        state: Tensors by name.
        patch: Name of the patch embedding's weight, the kernels of a 3-D convolution (videos) or of a 2-D one
            (images).
        hidden: Name of the weight of an MLP's first layer, with ``{}`` for the block index.

    Returns:
        Arguments ``embed_dim``, ``depth``, ``mlp_ratio``, ``tubelet`` and ``channels`` of a `VideoEncoder`.

    Raises:
        ValueError: A tensor is missing, or the patch embedding has another number of axes.
    """
    weight = needed(state, patch)
    if weight.ndim not in (4, 5):
        raise ValueError(f"reshaped {patch}: {tuple(weight.shape)} is no patch embedding of images or videos")
    embed_dim, channels, *extent = weight.shape
    return {
        "embed_dim": embed_dim,
        "depth": count(state, hidden),
        "mlp_ratio": ratio(len(needed(state, hidden.format(0))), embed_dim),
        "tubelet": [1, *extent] if weight.ndim == 4 else extent,
        "channels": channels,
    }


def measure_predictor(state: State, embed: str, out: str, hidden: str) -> dict[str, Any]:
    """Measure a predictor or decoder.

    Args:
        state: Tensors by name.
        embed: Name of the weight of the first linear layer.
        out: Name of the weight of the last linear layer.
        hidden: Name of the weight of an MLP's first layer, with ``{}`` for the block index.

    Returns:
        Arguments ``in_dim``, ``out_dim``, ``embed_dim``, ``depth`` and ``mlp_ratio`` of the network.

    Raises:
        ValueError: A tensor is missing.
    """
    embed_dim, in_dim = needed(state, embed).shape
    return {
        "in_dim": in_dim,
        "out_dim": len(needed(state, out)),
        "embed_dim": embed_dim,
        "depth": count(state, hidden),
        "mlp_ratio": ratio(len(needed(state, hidden.format(0))), embed_dim),
    }


def grid_of_table(table_ND: Tensor, kind: PositionKind, name: str) -> Grid:
    """Find the token grid that a fixed position table was computed for; square frames are tried first.

    Args:
        table_ND: Position table.
        kind: Kind of fixed table, one of `POSITION_TABLES`.
        name: Name of the table, for the message.

    Raises:
        ValueError: The table fits no grid: it was learnt or interpolated, or the network does not use it.
    """
    tokens, embed_dim = table_ND.shape
    tolerance = 1e-4 if table_ND.element_size() >= 4 else 1e-2
    for grid in _grids(tokens, kind):
        if (POSITION_TABLES[kind](grid, embed_dim) - table_ND.float()).abs().max() < tolerance:
            return grid
    raise ValueError(
        f"{name} ({tokens} tokens) is not the fixed position table ({kind}): it was learnt or "
        "interpolated, and this library's encoders compute their tables: give the weights before "
        "fine-tuning; where the network does not use the table, as V-JEPA 2, give family='vjepa2'"
    )


def _grids(tokens: int, kind: PositionKind) -> list[Grid]:
    """All grids of so many tokens; a 2-D table (``sincos_plane``) has one time step."""
    steps = [step for step in range(1, tokens + 1) if tokens % step == 0] if kind != "sincos_plane" else [1]
    grids = []
    for step in steps:
        places = tokens // step
        grids += [Grid(step, row, places // row) for row in range(1, places + 1) if places % row == 0]
    return sorted(grids, key=lambda grid: grid.h != grid.w)
