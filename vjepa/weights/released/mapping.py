"""Others' names and shapes of weights, row by row: one table is read in both directions.

Shape letters as in `vjepa.tokens`; S counts the pixels of a tubelet in one channel, so that P = C * S.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Join(NamedTuple):
    """How a tensor of ours is made of theirs, and theirs of ours."""

    inwards: Callable[[list[Tensor]], Tensor]
    outwards: Callable[[Tensor], list[Tensor]]


class Row(NamedTuple):
    """A tensor of ours, and the tensors that it is made of, under their names."""

    ours: str
    theirs: tuple[str, ...]
    join: Join


SAME = Join(lambda parts: parts[0], lambda tensor: [tensor])
VECTOR = Join(lambda parts: parts[0].flatten(0, -2), lambda tensor: [tensor.unsqueeze(0)])
"""A learnt token or several: ``(1, n, D)`` there, ``(n, D)`` here."""
IMAGE_PATCH = Join(lambda parts: parts[0].unsqueeze(2), lambda tensor: [tensor.squeeze(2)])
"""A patch embedding of images, ``(D, C, h, w)`` there, ``(D, C, 1, h, w)`` here."""
TOKEN_LIST = Join(
    lambda parts: torch.cat([part.flatten(0, -2) for part in parts]),
    lambda tensor: [token.view(1, 1, -1) for token in tensor],
)
"""Tokens one by one, ``(1, 1, D)`` each there, ``(n, D)`` here."""
TOKEN_STACK = Join(lambda parts: parts[0].flatten(0, -2), lambda tensor: [tensor[:, None, None]])
"""Tokens ``(n, 1, 1, D)`` there, ``(n, D)`` here."""
# A bias of the keys adds the same to all scores of a query, so that softmax does not see it: it may go.
NO_KEY_BIAS = Join(
    lambda parts: torch.cat([parts[0], torch.zeros_like(parts[0]), parts[1]]),
    lambda tensor: [tensor.chunk(3)[0], tensor.chunk(3)[2]],
)
"""Query and value have a bias there, and the key has none (VideoMAE)."""


def rows_of(count: int) -> Join:
    """Matrices one by one there, one on top of the other here: query, key and value; key and value."""
    return Join(torch.cat, lambda tensor: list(tensor.chunk(count)))


def _nothing(_: list[Tensor]) -> Tensor:
    raise AssertionError("what is not used is never read")


UNUSED = Join(_nothing, lambda _: [])
"""A tensor of ours that the model does not use, and the other layout does not have: it is not written."""


def zeros(name: str, width: int) -> Join:
    """What is not there and counts as zero; ValueError where ours is something else, and would be lost."""

    def outwards(tensor: Tensor) -> list[Tensor]:
        if bool(tensor.any()):
            raise ValueError(
                f"{name} has values, and the other layout has no place for it: it cannot be written"
            )
        return []

    return Join(lambda _: torch.zeros(width), outwards)


def pixel_order(channels: int) -> Join:
    """Rows of a decoder's last layer: (frame, row, column, channel) there, the channel first here."""

    def turned(tensor: Tensor, split: tuple[int, int]) -> Tensor:
        return tensor.unflatten(0, split).transpose(0, 1).flatten(0, 1)

    return Join(
        lambda parts: turned(parts[0], (-1, channels)), lambda tensor: [turned(tensor, (channels, -1))]
    )


def row(ours: str, theirs: str | Sequence[str] = (), join: Join = SAME) -> Row:
    """A row of one tensor."""
    return Row(ours, (theirs,) if isinstance(theirs, str) else tuple(theirs), join)


def layer(ours: str, theirs: str | Sequence[str], join: Join = SAME) -> Iterator[Row]:
    """The rows of a layer's weight and bias."""
    names = (theirs,) if isinstance(theirs, str) else tuple(theirs)
    for kind in ("weight", "bias"):
        yield row(f"{ours}.{kind}", [f"{name}.{kind}" for name in names], join)


def layers(ours: str, theirs: str, names: Mapping[str, str | Sequence[str]]) -> Iterator[Row]:
    """The rows of several layers; those of several of theirs lie on top of one another in ours."""
    for name, other in names.items():
        others = (other,) if isinstance(other, str) else tuple(other)
        join = rows_of(len(others)) if len(others) > 1 else SAME
        yield from layer(f"{ours}.{name}", [f"{theirs}.{part}" for part in others], join)


def read_rows(
    rows: Iterable[Row], state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors under our names, and all that does not fit: a line for each missing, unexpected or reshaped name.

    Args:
        rows: of the layout.
        state: their tensors.
        shapes: that ours must have.
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
        return None  # shapes that cannot even be put together


def write_rows(rows: Iterable[Row], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under their names; ValueError where a tensor of ours has no place there."""
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
