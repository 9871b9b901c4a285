"""Embedding of tubelets as tokens."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.grid import Tubelet
from vjepa.tokens import gather_tokens, patchify


class TubeletEmbed(nn.Module):
    """Linear embedding of tubelets, computed only for the kept ones.

    The weight has the shape of a 3-D convolution, ``(D, C, frames, rows, columns)``, as in all released video
    ViTs. A convolution whose stride equals its kernel is one matrix product, and as such it can skip the
    tubelets that a mask hides.

    Args:
        embed_dim: Embedding dimension D.
        tubelet: Extent of a token in frames, rows and columns.
        channels: Number of pixel channels.
    """

    def __init__(self, embed_dim: int, tubelet: Tubelet, channels: int = 3) -> None:
        super().__init__()
        self.tubelet = tubelet
        self.channels = channels
        self.proj = nn.Conv3d(channels, embed_dim, kernel_size=tubelet, stride=tubelet)

    def forward(self, video_BCTHW: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Embed tubelets.

        Args:
            video_BCTHW: Normalised float pixels, ``(B, C, T, H, W)``.
            keep_BK: Int64 indices of the tubelets to embed, in ``[0, N)``. None embeds all.

        Returns:
            Tokens ``(B, K, D)`` in the order of `keep_BK`, or ``(B, N, D)``.

        Raises:
            ValueError: If the video has another layout or number of channels, or is not of floats.
        """
        tubelets_BKP = kept_tubelets(video_BCTHW, self.tubelet, self.channels, keep_BK)
        # Pixels are float32; sharded weights may have lower precision.
        tubelets_BKP = tubelets_BKP.to(self.proj.weight.dtype)
        return F.linear(tubelets_BKP, self.proj.weight.flatten(1), self.proj.bias)


def kept_tubelets(
    video_BCTHW: Tensor, tubelet: Tubelet, channels: int, keep_BK: Tensor | None = None
) -> Tensor:
    """Check a video, cut it into tubelets, and pick the kept ones: no pixel of the others goes any further.

    Args:
        video_BCTHW: Normalised float pixels, ``(B, C, T, H, W)``.
        tubelet: Extent of a token in frames, rows and columns.
        channels: Number of channels that the video must have.
        keep_BK: Int64 indices of the kept tubelets, in ``[0, N)``. None keeps all.

    Returns:
        Pixels of the tubelets, ``(B, K, P)`` in the order of `keep_BK`, or ``(B, N, P)``.

    Raises:
        ValueError: If the video has another layout or number of channels, or is not of floats.
    """
    if video_BCTHW.ndim != 5 or video_BCTHW.shape[1] != channels:
        raise ValueError(
            f"a video of shape {tuple(video_BCTHW.shape)} does not fit: "
            f"give (B, {channels}, T, H, W), or build the encoder with other channels"
        )
    if not video_BCTHW.is_floating_point():
        raise ValueError(
            f"a video of {video_BCTHW.dtype} is given where normalised floats belong: "
            "the model's normalizer makes them"
        )
    tubelets_BNP = patchify(video_BCTHW, tubelet)
    return tubelets_BNP if keep_BK is None else gather_tokens(tubelets_BNP, keep_BK)
