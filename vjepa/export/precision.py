"""Networks in fewer bits, for use on a CPU; what goes in and comes out stays float32. Not for training."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

Kind = Literal["int8", "bf16"]
Network = TypeVar("Network", bound=nn.Module)

_PARTS = ("encoder", "predictor", "decoder", "teacher", "head")


def reduce_precision(network: Network, kind: Kind) -> Network:
    """The same model with its networks' weights in fewer bits, changed in place.

    Args:
        network: a `VideoModel` or a `Classifier`, in evaluation mode.
        kind: `int8`, matrices of linear layers as whole numbers with a scale a row, by the package torchao, computed in
            float32: a quarter of the memory; or `bf16`, weights and computation in bfloat16: half of it, and faster where
            the processor multiplies bfloat16.

    Raises:
        ModuleNotFoundError: `int8` without torchao.
    """
    for name in _PARTS:
        part = getattr(network, name, None)
        if part is None:
            continue
        if kind == "int8":
            _to_int8(part)
        else:
            part.to(torch.bfloat16)
            part.register_forward_pre_hook(lambda _, inputs: tuple(_cast(x, torch.bfloat16) for x in inputs))
            part.register_forward_hook(lambda _, inputs, output: _cast(output, torch.float32))
    return network


def _to_int8(part: nn.Module) -> None:
    if importlib.util.find_spec("torchao") is None:
        raise ModuleNotFoundError("int8 needs the package torchao: pip install 'vjepa-world[int8]'")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(part, Int8WeightOnlyConfig())


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
