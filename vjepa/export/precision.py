"""Weights in fewer bits, for faster or smaller inference on a CPU.

Inputs and outputs of the networks stay float32. The result cannot be trained.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from vjepa.models.classifier import Classifier
from vjepa.models.video_model import VideoModel
from vjepa.packages import need_packages

Kind = Literal["int8", "bf16"]
M = TypeVar("M", VideoModel, Classifier)

_PARTS = ("encoder", "predictor", "decoder", "teacher", "head")


def reduce_precision(network: M, kind: Kind) -> M:
    """Store the weights of a model's networks in fewer bits, in place, and return the model.

    Args:
        network: `VideoModel` or `Classifier` in evaluation mode.
        kind: Format of the weights. `int8` stores the matrices of linear layers as integers with one scale
            for each row (package torchao) and computes in float32; it takes a quarter of the memory. `bf16`
            stores and computes in bfloat16; it takes half the memory, and is faster on processors with
            bfloat16 arithmetic.

    Raises:
        ModuleNotFoundError: `kind` is `int8` and torchao is not installed.
        ValueError: `kind` is another format, or `network` another kind of object.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is {kind}: give one of {', '.join(get_args(Kind))}")
    if not isinstance(network, VideoModel | Classifier):
        raise ValueError(
            f"network is a {type(network).__name__}: give a VideoModel or a Classifier, such as the network "
            "of a VideoClassifier"
        )
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
    need_packages("int8", "torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(part, Int8WeightOnlyConfig())


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
