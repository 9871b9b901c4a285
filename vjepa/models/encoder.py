"""The tubelet ViT encoder. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from torch import Tensor, nn

from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.positions import PositionKind, RotaryLayout
from vjepa.layers.tubelet import TubeletEmbed
from vjepa.tokens import Grid, Tubelet


class VideoEncoder(nn.Module):
    """A ViT over tubelets that sees all tokens of a video or only the kept ones.

    Any number of frames, height and width that tubelets can tile; one frame is an image.

    Args:
        width, depth, heads, mlp_ratio: size of the transformer (`vjepa.models.sizes.SIZES`).
        tubelet: extent of a token in frames, rows, columns.
        channels: of the pixels.
        positions: `rotary` (relative; extends past the trained grid) or `sincos` (absolute).
        rotary_layout: `interleave` for new models, `tile` for released V-JEPA 2 weights.
        drop_path: stochastic depth of the last block; the rates rise linearly to it.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        tubelet: tuple[int, int, int] = (2, 16, 16),
        channels: int = 3,
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.tubelet = Tubelet(*tubelet)
        self.patch_embed = TubeletEmbed(width, self.tubelet, channels)
        self.transformer = TokenTransformer(
            width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio,
            positions=positions, rotary_layout=rotary_layout, drop_path=drop_path,
        )  # fmt: skip
        init_weights(self)

    def grid_of(self, video_BCTHW: Tensor) -> Grid:
        """The token grid ``(t, h, w)`` of a video."""
        return self.tubelet.grid_of(*video_BCTHW.shape[2:])

    def forward(self, video_BCTHW: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Encode normalised float pixels.

        Args:
            video_BCTHW: ``(B, C, T, H, W)``.
            keep_BK: int64 indices of the tokens to see, in ``[0, N)``; None sees all. Tokens that are
                not kept do not enter any computation.

        Returns:
            Tokens after the last norm, ``(B, K, D)`` in the order of `keep_BK`, or ``(B, N, D)``.
        """
        tokens_BKD = self.patch_embed(video_BCTHW, keep_BK)
        return self.transformer(tokens_BKD, self.grid_of(video_BCTHW), keep_BK)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.transformer.grad_checkpointing = enable
