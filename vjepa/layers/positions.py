"""Where a token is: sin-cos and 3-D rotary tables, for any grid.

Shape letters as in `vjepa.tokens`; d is the width of one attention head.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from vjepa.choices import RotaryLayout
from vjepa.double_precision import in_double
from vjepa.grid import Grid

_PERIOD = 10_000.0


def grid_coordinates(grid: Grid, device: torch.device | None = None) -> Tensor:
    """Coordinates (time, row, column) of every token: float32 ``(N, 3)`` in token order."""
    axes = [torch.arange(length, dtype=torch.float32, device=device) for length in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def _angles(position_N: Tensor, num_frequencies: int) -> Tensor:
    """``position * 10000^(-i / num_frequencies)``: ``(N,) -> (N, num_frequencies)``."""
    exponent = torch.arange(num_frequencies, dtype=position_N.dtype, device=position_N.device)
    return position_N[:, None] * _PERIOD ** -(exponent / num_frequencies)


def sincos_table(grid: Grid, width: int, device: torch.device | None = None) -> Tensor:
    """Fixed 3-D sin-cos embedding ``(N, D)``, the width shared equally by the three axes.

    The `uniform_power` form of V-JEPA (arXiv 2404.08471): each axis has ``2 * ceil(D / 6)`` values
    (sines, then cosines), the axes follow as time, row, column, and the surplus is cut at the end.
    """
    num_frequencies = -(-width // 6)
    parts = [_angles(position_N, num_frequencies) for position_N in grid_coordinates(grid, device).unbind(-1)]
    table_ND = torch.cat([torch.cat([part.sin(), part.cos()], dim=-1) for part in parts], dim=-1)
    return table_ND[:, :width]


def sincos_plane_table(grid: Grid, width: int, device: torch.device | None = None) -> Tensor:
    """Fixed 2-D sin-cos embedding ``(N, D)`` of MAE (arXiv 2111.06377) and I-JEPA; time plays no part.

    One half of the values for the column, then one for the row; in each half sines, then cosines.
    """
    if width % 4:
        raise ValueError(f"width {width} cannot hold sines and cosines of two axes: give a multiple of 4")
    _, row_N, column_N = grid_coordinates(grid, device).unbind(-1)
    parts = [_angles(position_N, width // 4) for position_N in (column_N, row_N)]
    return torch.cat([torch.cat([part.sin(), part.cos()], dim=-1) for part in parts], dim=-1)


def sinusoid_table(grid: Grid, width: int, device: torch.device | None = None) -> Tensor:
    """Fixed 1-D embedding ``(N, D)`` of a token's number, sine and cosine in turn (VideoMAE, arXiv 2203.12602)."""
    if width % 2:
        raise ValueError(f"width {width} cannot hold pairs of sine and cosine: give an even width")
    where = torch.empty(0, device=device)
    # While a graph is traced or exported, tensors are stand-ins for others: these must not be kept.
    stands_in = torch.compiler.is_compiling() or type(where) is not Tensor
    return (_sinusoids if stands_in else _kept_sinusoids)(grid.size, width, where.device)


def _sinusoids(positions: int, width: int, device: torch.device) -> Tensor:
    # In double precision: the published table is made in numpy, and a token's number may be large.
    angle = _angles(in_double(torch.arange(positions, device="cpu")), width // 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float().to(device)


@lru_cache(maxsize=32)
def _kept_sinusoids(positions: int, width: int, device: torch.device) -> Tensor:
    """Made once for each size and device: it comes from the CPU, and no step should wait for that."""
    with torch.inference_mode(False):  # a table made in a prediction may be used in training
        return _sinusoids(positions, width, device)


POSITION_TABLES = {
    "sincos": sincos_table,
    "sincos_plane": sincos_plane_table,
    "sinusoid": sinusoid_table,
}
"""What is added to tokens, by kind of position; `rotary` is turned into queries and keys instead."""


def rotary_table(
    grid: Grid,
    head_width: int,
    layout: RotaryLayout = "interleave",
    device: torch.device | None = None,
    first_step: int = 0,
    trained_side: int | None = None,
) -> Tensor:
    """3-D rotary table for `vjepa.layers.attention.rotate`: ``(N, 2 d)``, cosines, then signed sines.

    Each axis turns ``2 * ((d // 3) // 2)`` values of a head; what is left over is not turned
    (angle 0). V-JEPA 2, arXiv 2506.09985.

    `layout` says which values share an angle. ``"interleave"`` gives each neighbouring pair, the pair
    that is turned, one angle: a true rotation, so attention depends on differences of positions
    alone. ``"tile"`` repeats the list of angles as a whole, so the two values of a pair get different
    angles: not a rotation, but what the released V-JEPA 2 weights were trained with.

    `first_step` is the number of the grid's first time step, in a stream. With `trained_side`, rows and columns are stretched
    or shrunk so that they reach from 0 to that side less one, whatever the grid: V-JEPA 2.1 (arXiv 2603.14482), trained with
    256 x 256 pixels, sees other sizes so.
    """
    num_frequencies = (head_width // 3) // 2
    if num_frequencies == 0 or head_width % 2:
        raise ValueError(
            f"a head of width {head_width} cannot hold 3-D rotary positions: give an even width of 6 or more"
        )
    coordinates_N3 = grid_coordinates(grid, device)
    if trained_side is not None:
        for axis, length in ((1, grid.h), (2, grid.w)):
            coordinates_N3[:, axis] *= (trained_side - 1) / max(length - 1, 1)
    if first_step:
        # An hour is some 30,000 steps: in single precision neighbours would drift apart.
        coordinates_N3 = in_double(coordinates_N3)
        coordinates_N3[:, 0] += first_step
    axes = []
    for position_N in coordinates_N3.unbind(-1):
        angle = _angles(position_N, num_frequencies)
        axes.append(angle.repeat_interleave(2, dim=-1) if layout == "interleave" else angle.repeat(1, 2))
    unturned = coordinates_N3.new_zeros(grid.size, head_width - 6 * num_frequencies)
    angle_Nd = torch.cat([*axes, unturned], dim=-1)
    # The first value of a pair (a, b) becomes a cos - b sin, the second b cos + a sin.
    sign_d = angle_Nd.new_tensor([-1.0, 1.0]).repeat(head_width // 2)
    return torch.cat([angle_Nd.cos(), angle_Nd.sin() * sign_d], dim=-1).float().to(device)
