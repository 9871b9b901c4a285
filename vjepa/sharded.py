"""Parts of tensors that are sharded over processes (FSDP2); ordinary tensors are returned as they are."""

from __future__ import annotations

from typing import cast

from torch import Tensor


def local_part(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, without gradient."""
    to_local = getattr(tensor, "to_local", None)
    return (tensor if to_local is None else cast(Tensor, to_local())).detach()


def whole(tensor: Tensor) -> Tensor:
    """Return the whole of a tensor; every process must call this."""
    full_tensor = getattr(tensor, "full_tensor", None)
    return tensor if full_tensor is None else cast(Tensor, full_tensor())
