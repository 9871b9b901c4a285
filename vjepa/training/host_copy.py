"""Numbers on their way from the device to the host, without a wait for work that is queued later."""

from __future__ import annotations

import torch
from torch import Tensor


class HostCopy:
    """Copy of a tensor's values, begun when it is made and awaited when it is read.

    On a CUDA device, reading a tensor waits for everything that is queued, so that the device idles until the
    host has queued more. Here an event marks the end of the copy, which lands in pinned memory; reading waits
    for the event alone.

    Args:
        values: One-dimensional tensor on any device.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._copied: torch.cuda.Event | None = None
        if values.is_cuda:
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def read(self) -> list[float]:
        """Return the values; waits until they have been copied."""
        if self._copied is not None:
            self._copied.synchronize()
        numbers: list[float] = self._values.tolist()
        return numbers
