"""Tables that map this library's tensors to those of another layout; one table is used in both directions.

`ours` stands for this library's layout, `theirs` for the other one: the authors' code's or transformers'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Join(NamedTuple):
    """Conversion between one tensor of this library and the tensors of another layout that it is made of.

    Attributes:
        inwards: Makes this library's tensor of the other layout's tensors.
        outwards: Makes the other layout's tensors of this library's tensor.
    """

    inwards: Callable[[list[Tensor]], Tensor]
    outwards: Callable[[Tensor], list[Tensor]]


class Row(NamedTuple):
    """One row of a table: a tensor of this library, and the other layout's tensors that it is made of.

    Attributes:
        ours: Name of the tensor in this library.
        theirs: Names of the tensors in the other layout; empty where that has none.
        join: Conversion between them.
    """

    ours: str
    theirs: tuple[str, ...]
    join: Join


SAME = Join(lambda parts: parts[0], lambda tensor: [tensor])
VECTOR = Join(lambda parts: parts[0].flatten(0, -2), lambda tensor: [tensor.unsqueeze(0)])
"""Learnt tokens, ``(1, N, D)`` in the other layout, ``(N, D)`` here."""
IMAGE_PATCH = Join(lambda parts: parts[0].unsqueeze(2), lambda tensor: [tensor.squeeze(2)])
"""Kernels of an image patch embedding: 2-D in the other layout, 3-D over one frame here."""
TOKEN_LIST = Join(
    lambda parts: torch.cat([part.flatten(0, -2) for part in parts]),
    lambda tensor: [token.view(1, 1, -1) for token in tensor],
)
"""Tokens as single tensors ``(1, 1, D)`` in the other layout, as one tensor ``(N, D)`` here."""
TOKEN_STACK = Join(lambda parts: parts[0].flatten(0, -2), lambda tensor: [tensor[:, None, None]])
"""Tokens, ``(N, 1, 1, D)`` in the other layout, ``(N, D)`` here."""
# A key bias adds the same number to all scores of a query, which softmax cancels: it may be dropped.
NO_KEY_BIAS = Join(
    lambda parts: torch.cat([parts[0], torch.zeros_like(parts[0]), parts[1]]),
    lambda tensor: [tensor.chunk(3)[0], tensor.chunk(3)[2]],
)
"""Joint bias of query, key and value here; biases of query and value alone in the other layout (VideoMAE)."""


def rows_of(count: int) -> Join:
    """Join for matrices such as query, key and value: separate in the other layout, stacked by rows here.

    Args:
        count: Number of matrices.
    """
    return Join(torch.cat, lambda tensor: list(tensor.chunk(count)))


def _nothing(_: list[Tensor]) -> Tensor:
    raise AssertionError("an unused tensor is never read")


UNUSED = Join(_nothing, lambda _: [])
"""A tensor that the model does not use and the other layout does not have: it is not written."""


def zeros(name: str, embed_dim: int) -> Join:
    """Join for a tensor that the other layout lacks and that is zero in its models.

    Writing raises ValueError where this library's tensor is not zero, because its values would be lost.

    Args:
        name: Name of the tensor in this library, for the message.
        embed_dim: Length of the tensor.
    """

    def outwards(tensor: Tensor) -> list[Tensor]:
        if bool(tensor.any()):
            raise ValueError(
                f"{name} has values, and the other layout has no place for it: it cannot be written"
            )
        return []

    return Join(lambda _: torch.zeros(embed_dim), outwards)


def pixel_order(channels: int) -> Join:
    """Join for a pixel decoder's last layer, whose rows are the pixels of a tubelet.

    Their order is (frame, row, column, channel) in the other layout, and (channel, frame, row, column) here.
    """

    def turned(tensor: Tensor, split: tuple[int, int]) -> Tensor:
        return tensor.unflatten(0, split).transpose(0, 1).flatten(0, 1)

    return Join(
        lambda parts: turned(parts[0], (-1, channels)), lambda tensor: [turned(tensor, (channels, -1))]
    )


def row(ours: str, theirs: str | Sequence[str] = (), join: Join = SAME) -> Row:
    """Make the row of one tensor, from one name or several in the other layout."""
    return Row(ours, (theirs,) if isinstance(theirs, str) else tuple(theirs), join)


def layer(ours: str, theirs: str | Sequence[str], join: Join = SAME) -> Iterator[Row]:
    """Yield the rows of a layer's weight and bias."""
    names = (theirs,) if isinstance(theirs, str) else tuple(theirs)
    for kind in ("weight", "bias"):
        yield row(f"{ours}.{kind}", [f"{name}.{kind}" for name in names], join)


def layers(ours: str, theirs: str, names: Mapping[str, str | Sequence[str]]) -> Iterator[Row]:
    """Yield the rows of several layers.

    Args:
        ours: Prefix of the names in this library.
        theirs: Prefix of the names in the other layout.
        names: Layer names in this library, each with its name in the other layout, or with several, whose
            weights are stacked by rows here.
    """
    for name, other in names.items():
        others = (other,) if isinstance(other, str) else tuple(other)
        join = rows_of(len(others)) if len(others) > 1 else SAME
        yield from layer(f"{ours}.{name}", [f"{theirs}.{part}" for part in others], join)


def read_rows(
    rows: Iterable[Row], state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> tuple[dict[str, Tensor], list[str]]:
    """Convert tensors of another layout to this library's names and shapes.

    Args:
        rows: Table of the layout.
        state: Tensors of the other layout by name.
        shapes: Shapes that this library's tensors must have, by name.

    Returns:
        The converted tensors, float32, by name in this library; and the problems, one line for each missing,
        unexpected or reshaped name.
    """
    tensors: dict[str, Tensor] = {}
    problems: list[str] = []
    known: set[str] = set()
    for ours, theirs, join in rows:
        known.update(theirs)
        missing = [name for name in theirs if name not in state]
        problems += [f"missing {name}" for name in missing]
        if missing:
            continue
        found = _joined(join, [state[name] for name in theirs])
        if found is not None and found.shape == shapes[ours]:
            tensors[ours] = found
            continue
        given = ", ".join(f"{name}: {tuple(state[name].shape)}" for name in theirs)
        problems.append(f"reshaped {given}, which do not make {tuple(shapes[ours])} ({ours})")
    problems += [f"unexpected {name}: {tuple(state[name].shape)}" for name in state if name not in known]
    return tensors, sorted(problems)


def _joined(join: Join, parts: list[Tensor]) -> Tensor | None:
    try:
        return join.inwards([part.float() for part in parts])
    except (RuntimeError, ValueError, IndexError):
        return None  # shapes that cannot be joined


def write_rows(rows: Iterable[Row], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert this library's tensors to another layout.

    Args:
        rows: Table of the layout.
        tensors: Tensors of this library by name.

    Returns:
        Tensors by name in the other layout.

    Raises:
        ValueError: The other layout has no place for a tensor.
    """
    state: dict[str, Tensor] = {}
    written: set[str] = set()
    for ours, theirs, join in rows:
        written.add(ours)
        parts = [part.detach().contiguous().clone() for part in join.outwards(tensors[ours])]
        state.update(zip(theirs, parts, strict=True))
    left = sorted(tensors.keys() - written)
    if left:
        raise ValueError(f"the other layout has no place for {', '.join(left)}")
    return state
