"""The only way to compute in double precision.

Some devices (Apple's GPUs, with torch's MPS backend) do not support float64, so what needs it is computed on
the CPU. Nothing else in the library makes a float64 tensor without naming the CPU as its device;
`tests/test_double_precision.py` checks this.
"""

from __future__ import annotations

from torch import Tensor


def in_double(values: Tensor) -> Tensor:
    """Convert a tensor to float64 on the CPU."""
    return values.cpu().double()
