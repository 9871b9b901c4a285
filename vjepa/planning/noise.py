"""Noise over the steps of a horizon. Shape letters as in `vjepa.planning.plan`."""

from __future__ import annotations

import torch
from torch import Tensor


def coloured_noise(
    shape: tuple[int, int, int, int], exponent: float, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Gaussian noise ``(B, S, H, A)`` of mean 0 and deviation 1 whose power falls as ``1 / frequency ** exponent`` over H.

    With exponent 0 it is white; with 2 to 3, neighbouring steps point the same way, so that candidates go somewhere
    instead of trembling on the spot (iCEM, arXiv 2008.06389).
    """
    white_BSHA = torch.randn(shape, generator=generator, device=device)
    steps = shape[2]
    if exponent == 0 or steps < 2:
        return white_BSHA
    frequency_F = torch.fft.rfftfreq(steps, device=device)
    frequency_F[0] = frequency_F[1]  # the mean, as strong as the slowest wave
    scale_F = frequency_F ** (-exponent / 2)
    # Every wave but the mean, and the fastest of an even number, stands for two of the full spectrum.
    twice_F = torch.full_like(scale_F, 2.0)
    twice_F[0] = 1.0
    if steps % 2 == 0:
        twice_F[-1] = 1.0
    scale_F = scale_F / ((scale_F.square() * twice_F).sum() / steps).sqrt()
    spectrum = torch.fft.rfft(white_BSHA, dim=2) * scale_F[:, None]
    return torch.fft.irfft(spectrum, n=steps, dim=2)
