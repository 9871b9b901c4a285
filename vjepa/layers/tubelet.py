"""Tubelets to tokens. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.grid import Tubelet
from vjepa.tokens import gather_tokens, patchify


class TubeletEmbed(nn.Module):
    """Linear embedding of tubelets; only the kept ones are multiplied.

    The weight has the shape of a 3-D convolution ``(D, C, t, h, w)``, which is how every released
    video ViT stores it, but a strided convolution without overlap is one matrix product, and as
    one it can skip the tubelets that a mask hides.
    """

    def __init__(self, width: int, tubelet: Tubelet, channels: int = 3) -> None:
        super().__init__()
        self.tubelet = tubelet
        self.channels = channels
        self.proj = nn.Conv3d(channels, width, kernel_size=tubelet, stride=tubelet)

    def forward(self, video_BCTHW: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """``(B, C, T, H, W)`` and optional kept indices ``(B, K)`` to tokens ``(B, K or N, D)``."""
        if video_BCTHW.ndim != 5 or video_BCTHW.shape[1] != self.channels:
            raise ValueError(
                f"a video of shape {tuple(video_BCTHW.shape)} does not fit: "
                f"give (B, {self.channels}, T, H, W), or build the encoder with other channels"
            )
        if not video_BCTHW.is_floating_point():
            raise ValueError(
                f"a video of {video_BCTHW.dtype} is given where normalised floats belong: the model's normalizer makes them"
            )
        tubelets_BNP = patchify(video_BCTHW, self.tubelet)
        if keep_BK is not None:
            tubelets_BNP = gather_tokens(tubelets_BNP, keep_BK)
        # Pixels are float32; weights may be sharded in a narrower type.
        tubelets_BNP = tubelets_BNP.to(self.proj.weight.dtype)
        return F.linear(tubelets_BNP, self.proj.weight.flatten(1), self.proj.bias)
