"""The one way to numbers in double precision.

Some devices have none (Apple's GPUs, whose backend is called MPS), so what needs doubles is computed on the CPU. Nothing else
in the library makes a float64 tensor, unless it names the CPU as its device; `tests/test_double_precision.py` looks.
"""

from __future__ import annotations

from torch import Tensor


def in_double(values: Tensor) -> Tensor:
    """The values in double precision, on the CPU."""
    return values.cpu().double()
