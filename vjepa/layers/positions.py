"""Position tables for any token grid: sin-cos and 3-D rotary."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor

from vjepa.choices import RotaryLayout
from vjepa.double_precision import in_double
from vjepa.grid import Grid

_PERIOD = 10_000.0


def grid_coordinates(grid: Grid, device: torch.device | None = None) -> Tensor:
    """Compute the coordinates (time, row, column) of every token: float32 ``(N, 3)``, in token order."""
    axes = [torch.arange(length, dtype=torch.float32, device=device) for length in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def _angles(position_N: Tensor, num_frequencies: int) -> Tensor:
    """``position * 10000^(-i / num_frequencies)``: ``(N,) -> (N, num_frequencies)``."""
    exponent = torch.arange(num_frequencies, dtype=position_N.dtype, device=position_N.device)
    return position_N[:, None] * _PERIOD ** -(exponent / num_frequencies)


def _kept(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep the tables that a function makes of its arguments, of which a run has few.

    The device is given by keyword. Whoever gets a table must not change it.
    """
    known = lru_cache(maxsize=64)(make)

    @wraps(make)
    def table(*arguments: Any, device: torch.device | None = None, **settings: Any) -> Tensor:
        where = torch.empty(0, device=device)
        # While a graph is traced or exported, tensors are placeholders, which must not be kept.
        if torch.compiler.is_compiling() or type(where) is not Tensor:
            return make(*arguments, device=where.device, **settings)
        with torch.inference_mode(False), torch.no_grad():  # training may use it after inference
            return known(*arguments, device=where.device, **settings)

    return table


@_kept
def sincos_table(grid: Grid, embed_dim: int, device: torch.device | None = None) -> Tensor:
    """Make a fixed 3-D sin-cos embedding, ``(N, D)``, whose width is shared equally by the three axes.

    This is the `uniform_power` form of V-JEPA (arXiv 2404.08471): each axis has ``2 * ceil(D / 6)`` values
    (sines, then cosines), the axes follow in the order time, row, column, and the surplus is cut at the end.
    """
    num_frequencies = -(-embed_dim // 6)
    parts = [_angles(position_N, num_frequencies) for position_N in grid_coordinates(grid, device).unbind(-1)]
    table_ND = torch.cat([torch.cat([part.sin(), part.cos()], dim=-1) for part in parts], dim=-1)
    return table_ND[:, :embed_dim]


@_kept
def sincos_plane_table(grid: Grid, embed_dim: int, device: torch.device | None = None) -> Tensor:
    """Make a fixed 2-D sin-cos embedding, ``(N, D)``, as in MAE (arXiv 2111.06377) and I-JEPA.

    Time has no effect. The first half of the values is for the column, the second for the row; each half has
    sines, then cosines.

    Raises:
        ValueError: If `embed_dim` is not a multiple of 4.
    """
    if embed_dim % 4:
        raise ValueError(
            f"embed_dim {embed_dim} cannot hold sines and cosines of two axes: give a multiple of 4"
        )
    _, row_N, column_N = grid_coordinates(grid, device).unbind(-1)
    parts = [_angles(position_N, embed_dim // 4) for position_N in (column_N, row_N)]
    return torch.cat([torch.cat([part.sin(), part.cos()], dim=-1) for part in parts], dim=-1)


@_kept
def sinusoid_table(grid: Grid, embed_dim: int, device: torch.device | None = None) -> Tensor:
    """Make a fixed 1-D embedding, ``(N, D)``, of a token's place in the sequence.

    Sines and cosines alternate, as in VideoMAE (arXiv 2203.12602).

    Raises:
        ValueError: If `embed_dim` is odd.
    """
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} cannot hold pairs of sine and cosine: give an even width")
    # Double precision: the published table is computed in numpy's doubles, and a token's index may be large.
    angle = _angles(in_double(torch.arange(grid.size, device="cpu")), embed_dim // 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float().to(device)


POSITION_TABLES = {
    "sincos": sincos_table,
    "sincos_plane": sincos_plane_table,
    "sinusoid": sinusoid_table,
}
"""Tables that are added to tokens, by kind of position; `rotary` rotates queries and keys instead."""


@_kept
def rotary_table(
    grid: Grid,
    head_dim: int,
    layout: RotaryLayout = "interleave",
    device: torch.device | None = None,
    first_step: int = 0,
    trained_side: int | None = None,
) -> Tensor:
    """Make a 3-D rotary table for `vjepa.layers.attention.rotate`: ``(N, 2 d)``, cosines, then signed sines.

    Each axis rotates ``2 * ((d // 3) // 2)`` values of a head; the remaining values are not rotated (angle
    0). Source: V-JEPA 2, arXiv 2506.09985.

    Args:
        grid: Token grid.
        head_dim: Width d of an attention head, even and 6 or more.
        layout: Which values share an angle. ``interleave`` gives both values of each neighbouring pair the
            same angle: a true rotation, so that attention depends only on differences of positions. ``tile``
            repeats the list of angles as a whole, so that the two values of a pair get different angles. That
            is no rotation, but the released V-JEPA 2 weights were trained with it.
        device: Device of the table. None takes torch's default.
        first_step: Index of the grid's first time step, in a stream.
        trained_side: Stretch or shrink the coordinates of rows and columns so that they run from 0 to
            ``trained_side - 1`` on any grid. V-JEPA 2.1 (arXiv 2603.14482), trained with 256 x 256 pixels,
            handles other sizes in this way. None keeps the coordinates.

    Raises:
        ValueError: If `head_dim` is odd or below 6.
    """
    num_frequencies = (head_dim // 3) // 2
    if num_frequencies == 0 or head_dim % 2:
        raise ValueError(
            f"a head of width {head_dim} cannot hold 3-D rotary positions: give an even width of 6 or more"
        )
    coordinates_N3 = grid_coordinates(grid, device)
    if trained_side is not None:
        for axis, length in ((1, grid.h), (2, grid.w)):
            coordinates_N3[:, axis] *= (trained_side - 1) / max(length - 1, 1)
    if first_step:
        # An hour of video has some 30,000 steps, at which single precision would blur neighbouring positions.
        coordinates_N3 = in_double(coordinates_N3)
        coordinates_N3[:, 0] += first_step
    axes = []
    for position_N in coordinates_N3.unbind(-1):
        angle = _angles(position_N, num_frequencies)
        axes.append(angle.repeat_interleave(2, dim=-1) if layout == "interleave" else angle.repeat(1, 2))
    unrotated = coordinates_N3.new_zeros(grid.size, head_dim - 6 * num_frequencies)
    angle_Nd = torch.cat([*axes, unrotated], dim=-1)
    # The first value of a pair (a, b) becomes a cos - b sin, the second b cos + a sin.
    first, second = angle_Nd.sin().unflatten(-1, (-1, 2)).unbind(-1)
    signed_Nd = torch.stack([-first, second], dim=-1).flatten(-2)
    return torch.cat([angle_Nd.cos(), signed_Nd], dim=-1).float().to(device)
