"""The tubelet ViT encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vjepa.choices import PositionKind, RotaryLayout, Stem
from vjepa.grid import Grid, Tubelet
from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.stem import build_stem
from vjepa.models.network import Network, in_own_precision

_MODALITY_STD = 1e-6  # V-JEPA 2.1: both modality tokens are almost equal until training separates them


class VideoEncoder(Network):
    """A ViT over tubelets that encodes all tokens of a video or only the given ones.

    Frames, height and width may be any that tubelets can tile. A single frame is an image.

    Args:
        embed_dim: Embedding dimension D (`vjepa.models.sizes.SIZES` lists common sizes).
        depth: Number of blocks.
        num_heads: Number of attention heads per block; it must divide `embed_dim`.
        mlp_ratio: Width of each block's MLP divided by `embed_dim`.
        tubelet: Extent of a token in frames, rows and columns.
        channels: Number of pixel channels.
        stem: What makes a token of the pixels of a tubelet: `linear`, one layer, as in all released video
            ViTs, or `convolutional`, a stack of convolutions inside each tubelet (`ConvolutionalStem`).
        positions: Kind of positions. `rotary` is relative and extends past the trained grid. The others are
            fixed and added to the tokens: `sincos` (3-D, V-JEPA), `sincos_plane` (2-D, MAE and I-JEPA),
            `sinusoid` (1-D, VideoMAE).
        rotary_layout: Layout of rotary positions: `interleave` for new models, `tile` for released V-JEPA 2
            weights.
        drop_path: Stochastic depth rate of the last block. The rates rise linearly from 0 in the first block.
        causal: Let tokens attend to their own and earlier time steps only, so that later frames do not change
            them.
        class_token: Add a learnt class token, as in MAE. It takes part in attention; `forward` returns it on
            request only.
        image_tokenizer: Give single frames a patch embedding of their own, one frame deep, and add a learnt
            vector to the tokens of images and another to those of videos (V-JEPA 2.1, arXiv 2603.14482).
        levels: Indices of the blocks whose outputs `forward` can return together, ascending, with the last
            block at the end (V-JEPA 2.1). Empty for the last block alone.
        trained_side: Number of rows and columns of the grid that rotary positions are stretched to (V-JEPA
            2.1). None does not stretch them.
        last_norm: Apply a norm after the last block. VideoMAE's encoders have none if their head has its own.
        norm_eps: Epsilon of all norms.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        tubelet: tuple[int, int, int] = (2, 16, 16),
        channels: int = 3,
        stem: Stem = "linear",
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
        drop_path: float = 0.0,
        causal: bool = False,
        class_token: bool = False,
        image_tokenizer: bool = False,
        levels: Sequence[int] = (),
        trained_side: int | None = None,
        last_norm: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.tubelet = Tubelet(*tubelet)
        self.patch_embed = build_stem(stem, embed_dim, self.tubelet, channels, norm_eps=norm_eps)
        self.transformer = TokenTransformer(
            embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio, positions=positions,
            rotary_layout=rotary_layout, drop_path=drop_path, causal=causal, levels=levels,
            trained_side=trained_side, last_norm=last_norm, norm_eps=norm_eps,
        )  # fmt: skip
        self.image_embed = (
            build_stem(stem, embed_dim, self.tubelet._replace(t=1), channels, norm_eps=norm_eps)
            if image_tokenizer
            else None
        )
        init_weights(self)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, embed_dim)) if class_token else None
        self.modality_tokens = (
            nn.Parameter(_MODALITY_STD * torch.randn(2, embed_dim)) if image_tokenizer else None
        )

    def grid_of(self, video_BCTHW: Tensor) -> Grid:
        """The token grid ``(t, h, w)`` of a video ``(B, C, T, H, W)``."""
        return self.tubelet.grid_of(*video_BCTHW.shape[2:])

    @in_own_precision
    def forward(
        self,
        video_BCTHW: Tensor,
        keep_BK: Tensor | None = None,
        *,
        levels: bool = False,
        class_token: bool = False,
    ) -> Tensor:
        """Encode normalised float pixels.

        Args:
            video_BCTHW: Normalised pixels, ``(B, C, T, H, W)``.
            keep_BK: Int64 indices of the tokens to encode, in ``[0, N)``. The other tokens enter no
                computation. None encodes all tokens.
            levels: Return the tokens of all levels, concatenated along the last axis, the last block's at the
                end.
            class_token: Return the class token, too, in front of the others, if there is one. Pixel decoders
                use it.

        Returns:
            Tokens after the last norm, ``(B, K, D)`` in the order of `keep_BK`, or ``(B, N, D)``. With
            `levels`, the last axis is Y, the width of all levels together.
        """
        tokens_BND, in_front = self._embed(video_BCTHW, keep_BK)
        tokens_BNY = self.transformer(tokens_BND, self.grid_of(video_BCTHW), keep_BK, levels=levels)
        return tokens_BNY if class_token else tokens_BNY[:, in_front:]

    @in_own_precision
    def forward_intermediates(
        self, video_BCTHW: Tensor, indices: int | Sequence[int] | None = None, *, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute tokens after the last norm and after some of the blocks.

        The interface is that of timm (1.0.31, ``VisionTransformer.forward_intermediates``) without its
        formats and shortcuts: tokens are ``(B, N, D)`` (timm's NLC), both results are always returned, and
        intermediates are in the order of `indices`.

        Args:
            video_BCTHW: Normalised pixels, ``(B, C, T, H, W)``.
            indices: Indices of the blocks, negative ones counted from the last (-1). A single integer is a
                number of blocks, counted from the end. None takes all blocks.
            norm: Apply the last norm to the intermediates, too.

        Returns:
            The same tokens as `forward`, ``(B, N, D)``, and a list of tokens ``(B, N, D)``, one for each
            block, without the class token.

        Raises:
            ValueError: If the encoder has no such block.
        """
        depth = len(self.transformer.blocks)
        tokens_BND, in_front = self._embed(video_BCTHW, None)
        numbers = [*_block_numbers(indices, depth), depth - 1]
        *outputs, last_BND = self.transformer.intermediates(tokens_BND, self.grid_of(video_BCTHW), numbers)
        normed = [self.transformer.norm(tokens) if norm else tokens for tokens in outputs]
        # Weights may have lower precision than input and output (`vjepa.export.precision`).
        final_BND, *intermediates = (
            tokens[:, in_front:].to(video_BCTHW.dtype)
            for tokens in (self.transformer.norm(last_BND), *normed)
        )
        return final_BND, intermediates

    def _embed(self, video_BCTHW: Tensor, keep_BK: Tensor | None) -> tuple[Tensor, int]:
        """Tokens before the first block, and how many of them are in front of those on the grid."""
        tokens_BKD = self.embed_tubelets(video_BCTHW, keep_BK, is_image=video_BCTHW.shape[2] == 1)
        if self.class_token is None:
            return tokens_BKD, 0
        class_B1D = self.class_token.to(tokens_BKD.dtype).expand(tokens_BKD.shape[0], -1, -1)
        return torch.cat([class_B1D, tokens_BKD], dim=1), 1

    def embed_tubelets(self, video_BCTHW: Tensor, keep_BK: Tensor | None = None, *, is_image: bool) -> Tensor:
        """Embed tubelets as tokens without positions, as they enter the first block.

        Args:
            video_BCTHW: Normalised pixels, ``(B, C, T, H, W)``.
            keep_BK: Int64 indices of the tokens to embed, in ``[0, N)``. None embeds all tokens.
            is_image: Whether the pixels are an image, which an image tokenizer embeds differently, rather
                than a video or a part of one. Tubelets of one frame do not tell them apart.

        Returns:
            Tokens ``(B, K, D)`` in the order of `keep_BK`, or ``(B, N, D)``, without a class token.
        """
        if self.image_embed is None or self.modality_tokens is None:
            return self.patch_embed(video_BCTHW, keep_BK)
        embed = self.image_embed if is_image else self.patch_embed
        return embed(video_BCTHW, keep_BK) + self.modality_tokens[int(is_image)]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.transformer.grad_checkpointing = enable


def _block_numbers(indices: int | Sequence[int] | None, depth: int) -> list[int]:
    """Indices of the blocks, counted from 0; ValueError if there is no such block."""
    if indices is None:
        return list(range(depth))
    if isinstance(indices, int | np.integer):
        if not 1 <= indices <= depth:
            raise ValueError(
                f"indices is {indices}, a number of blocks counted from the end, and the encoder has "
                f"{depth} blocks: give 1 to {depth}, or a list of block indices"
            )
        return list(range(depth - int(indices), depth))
    if not all(isinstance(index, int | np.integer) and -depth <= index < depth for index in indices):
        raise ValueError(
            f"indices are {list(indices)}, and the encoder has {depth} blocks: "
            f"give whole numbers from -{depth} to {depth - 1}"
        )
    return [int(index) % depth for index in indices]
