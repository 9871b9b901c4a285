"""How networks compute, outside of a training step as well as in it: precision, memory, compilation."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

import torch
from torch import Tensor, nn

from vjepa.choices import Precision
from vjepa.layers.blocks import TokenTransformer

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N", bound="Network")


class Network(nn.Module):
    """A network that computes in the precision that `set_precision` gives it.

    Weights, inputs and outputs stay float32. As in training, torch's autocast decides which operations
    compute in fewer bits: matrix products do, norms and softmax do not.

    Attributes:
        precision: Precision of the network; `no` computes as the code around it does, that is, in float32
            unless that is under torch's autocast.
    """

    precision: Precision = "no"

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the network computes in its precision."""
        if self.precision == "no":
            return contextlib.nullcontext()
        return torch.autocast(next(self.parameters()).device.type, _DTYPES[self.precision])


def in_own_precision(method: Callable[Concatenate[N, P], R]) -> Callable[Concatenate[N, P], R]:
    """Let a method of a `Network` compute in the network's precision, with float32 results."""

    @functools.wraps(method)
    def computed(self: N, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.precision == "no":
            return method(self, *args, **kwargs)
        with self.computing():
            return _in_float32(method(self, *args, **kwargs))

    return computed


def set_execution(model: nn.Module, *, activation_checkpointing: bool, compiled: bool) -> None:
    """Let the transformers of a model trade time for memory, or compile their blocks.

    Args:
        model: A model, or an objective with all its networks.
        activation_checkpointing: Whether blocks recompute their activations in the backward pass.
        compiled: Whether blocks are compiled.
    """
    for network in model.modules():
        if isinstance(network, TokenTransformer):
            network.grad_checkpointing = activation_checkpointing
            if compiled:
                network.compile_blocks()


def set_precision(model: nn.Module, precision: Precision) -> None:
    """Let all networks of a model compute in a precision from now on.

    Args:
        model: A model, or an objective.
        precision: `no` (float32), `bf16` or `fp16`.

    Raises:
        ValueError: There is no such precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision is {precision!r}: give one of {', '.join(get_args(Precision))}")
    for module in model.modules():
        if isinstance(module, Network):
            module.precision = precision


def _in_float32(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.float() if result.dtype in _DTYPES.values() else result
    if isinstance(result, list):
        return [_in_float32(each) for each in result]
    if isinstance(result, tuple):
        values = [_in_float32(each) for each in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    return result
