"""Stems: what makes a token of the pixels of each tubelet."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.choices import Stem
from vjepa.grid import SMALLEST_CONVOLVED_SIDE, Tubelet
from vjepa.layers.tubelet import TubeletEmbed, kept_tubelets


def build_stem(
    kind: Stem, embed_dim: int, tubelet: Tubelet, channels: int = 3, *, norm_eps: float = 1e-6
) -> TubeletEmbed | ConvolutionalStem:
    """Build a stem.

    Args:
        kind: Kind of stem. `linear` is a `TubeletEmbed`, `convolutional` a `ConvolutionalStem`.
        embed_dim: Embedding dimension D.
        tubelet: Extent of a token in frames, rows and columns.
        channels: Number of pixel channels.
        norm_eps: Epsilon of the norms of a convolutional stem.

    Raises:
        ValueError: If there is no such kind, or if tubelets are too small for convolutions.
    """
    if kind == "linear":
        return TubeletEmbed(embed_dim, tubelet, channels)
    if kind == "convolutional":
        return ConvolutionalStem(embed_dim, tubelet, channels, norm_eps)
    raise ValueError(f"stem is {kind!r}: give 'linear' or 'convolutional'")


class ConvolutionalStem(nn.Module):
    """Convolutions inside each tubelet, computed only for the kept ones.

    A stack of 3 x 3 convolutions of stride 2, each followed by a norm and a GELU, halves rows and columns
    until the shorter side is 1. The first one takes all frames of the tubelet together, and the width doubles
    from each to the next, up to D. A linear layer makes the token of what is left.

    The stack is that of arXiv 2106.14881 with three changes. Convolutions never cross the border of a
    tubelet: no pixel of a hidden tubelet can reach a context token, and the cost falls with the share of
    tubelets that is hidden. Norms take the statistics of one tubelet instead of those of a batch. ReLU is
    replaced by GELU.

    Args:
        embed_dim: Embedding dimension D.
        tubelet: Extent of a token in frames, rows and columns.
        channels: Number of pixel channels.
        norm_eps: Epsilon of the norms.

    Raises:
        ValueError: If tubelets have fewer than 4 rows or columns.
    """

    def __init__(self, embed_dim: int, tubelet: Tubelet, channels: int = 3, norm_eps: float = 1e-6) -> None:
        super().__init__()
        shorter = min(tubelet.h, tubelet.w)
        if shorter < SMALLEST_CONVOLVED_SIDE:
            raise ValueError(
                f"a convolutional stem cannot halve patches of {tubelet.h} x {tubelet.w} pixels twice: give "
                f"tubelets of {SMALLEST_CONVOLVED_SIDE} rows and columns or more, or a linear stem"
            )
        halvings = math.ceil(math.log2(shorter))
        widths = [math.ceil(embed_dim / 2**number) for number in reversed(range(halvings))]
        self.tubelet = tubelet
        self.channels = channels
        # Its weight is that of a 3-D convolution, so that channels and frames have axes of their own.
        self.first = nn.Conv3d(channels, widths[0], kernel_size=(tubelet.t, 3, 3))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, kernel_size=3, stride=2, padding=1)
            for before, width in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, eps=norm_eps) for width in widths)
        rows, columns = (math.ceil(side / 2**halvings) for side in (tubelet.h, tubelet.w))
        self.last = nn.Linear(embed_dim * rows * columns, embed_dim)

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
        batch = tubelets_BKP.shape[:2]
        # From here on B counts tubelets, and C all channels of all their frames.
        maps_BCHW = tubelets_BKP.flatten(0, 1).unflatten(1, (-1, self.tubelet.h, self.tubelet.w))
        maps_BCHW = maps_BCHW.to(self.first.weight.dtype)
        # Zeros around the pixels would draw an edge around each tubelet; its own border goes on instead.
        maps_BCHW = F.pad(maps_BCHW, (1, 1, 1, 1), mode="replicate")
        maps_BCHW = F.conv2d(maps_BCHW, self.first.weight.flatten(1, 2), self.first.bias, stride=2)
        maps_BCHW = F.gelu(self.norms[0](maps_BCHW))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            maps_BCHW = F.gelu(norm(convolution(maps_BCHW)))
        tokens_BKD: Tensor = self.last(maps_BCHW.flatten(1)).unflatten(0, batch)
        return tokens_BKD
