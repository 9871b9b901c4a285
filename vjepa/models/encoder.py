"""The tubelet ViT encoder. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.positions import PositionKind, RotaryLayout
from vjepa.layers.tubelet import TubeletEmbed
from vjepa.tokens import Grid, Tubelet

_MODALITY_STD = 1e-6  # V-JEPA 2.1: alike at first, told apart as training goes


class VideoEncoder(nn.Module):
    """A ViT over tubelets that sees all tokens of a video or only the kept ones.

    Any number of frames, height and width that tubelets can tile; one frame is an image.

    Args:
        width, depth, heads, mlp_ratio: size of the transformer (`vjepa.models.sizes.SIZES`).
        tubelet: extent of a token in frames, rows, columns.
        channels: of the pixels.
        positions: `rotary` (relative; extends past the trained grid); or fixed and added: `sincos` (3-D,
            V-JEPA), `sincos_plane` (2-D, MAE and I-JEPA), `sinusoid` (1-D, VideoMAE).
        rotary_layout: `interleave` for new models, `tile` for released V-JEPA 2 weights.
        drop_path: stochastic depth of the last block; the rates rise linearly to it.
        causal: tokens see their own and earlier time steps only, so that what comes later changes nothing.
        class_token: one learnt token more, as in MAE; it takes part and is not returned by `forward`.
        image_tokenizer: single frames have a patch embedding of their own, one frame deep, and both kinds a
            learnt vector that tells them apart (V-JEPA 2.1, arXiv 2603.14482).
        levels: blocks whose outputs `forward` gives if asked to, ascending to the last (V-JEPA 2.1).
        trained_side: rotary positions of rows and columns are stretched to a grid of so many (V-JEPA 2.1); None for no.
        last_norm: tokens pass a norm after the last block. VideoMAE's encoders have none under a head that has its own.
        norm_eps: epsilon of all norms.
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
        causal: bool = False,
        class_token: bool = False,
        image_tokenizer: bool = False,
        levels: Sequence[int] = (),
        trained_side: int | None = None,
        last_norm: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.width = width
        self.tubelet = Tubelet(*tubelet)
        self.patch_embed = TubeletEmbed(width, self.tubelet, channels)
        self.transformer = TokenTransformer(
            width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, positions=positions,
            rotary_layout=rotary_layout, drop_path=drop_path, causal=causal, levels=levels,
            trained_side=trained_side, last_norm=last_norm, norm_eps=norm_eps,
        )  # fmt: skip
        self.image_embed = (
            TubeletEmbed(width, self.tubelet._replace(t=1), channels) if image_tokenizer else None
        )
        init_weights(self)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, width)) if class_token else None
        self.modality_tokens = (
            nn.Parameter(_MODALITY_STD * torch.randn(2, width)) if image_tokenizer else None
        )

    def grid_of(self, video_BCTHW: Tensor) -> Grid:
        """The token grid ``(t, h, w)`` of a video."""
        return self.tubelet.grid_of(*video_BCTHW.shape[2:])

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
            video_BCTHW: ``(B, C, T, H, W)``.
            keep_BK: int64 indices of the tokens to see, in ``[0, N)``; None sees all. Tokens that are
                not kept do not enter any computation.
            levels: give the tokens of all levels, side by side, the last block's at the end.
            class_token: give the class token, too, in front, where there is one: a decoder wants it.

        Returns:
            Tokens after the last norm, ``(B, K, D)`` in the order of `keep_BK`, or ``(B, N, D)``.
        """
        tokens_BXD, in_front = self._embed(video_BCTHW, keep_BK)
        tokens_BXY = self.transformer(tokens_BXD, self.grid_of(video_BCTHW), keep_BK, levels=levels)
        return tokens_BXY if class_token else tokens_BXY[:, in_front:]

    def forward_intermediates(
        self, video_BCTHW: Tensor, indices: int | Sequence[int] | None = None, *, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Tokens after the last norm, and after some of the blocks.

        The contract is timm's (1.0.31, ``VisionTransformer.forward_intermediates``), but for its formats and shortcuts:
        tokens are ``(B, N, D)`` (timm's NLC), the pair is always given, and intermediates come in the order of `indices`.

        Args:
            video_BCTHW: normalised pixels ``(B, C, T, H, W)``.
            indices: numbers of blocks, negative ones counted from the last (-1); or how many of the last blocks; None is
                all.
            norm: apply the last norm to the intermediates, too.

        Returns:
            What `forward` gives, ``(B, N, D)``, and a list of the same shape for each block, without the class token.

        Raises:
            ValueError: the encoder has no such block.
        """
        depth = len(self.transformer.blocks)
        tokens_BXD, in_front = self._embed(video_BCTHW, None)
        numbers = [*_block_numbers(indices, depth), depth - 1]
        *outputs, last_BXD = self.transformer.intermediates(tokens_BXD, self.grid_of(video_BCTHW), numbers)
        normed = [self.transformer.norm(tokens) if norm else tokens for tokens in outputs]
        # Weights may be of a narrower type than what goes in and comes out (`vjepa.export.precision`).
        final_BND, *intermediates = (
            tokens[:, in_front:].to(video_BCTHW.dtype)
            for tokens in (self.transformer.norm(last_BXD), *normed)
        )
        return final_BND, intermediates

    def _embed(self, video_BCTHW: Tensor, keep_BK: Tensor | None) -> tuple[Tensor, int]:
        """Tokens before the first block, and how many stand in front of those on the grid."""
        tokens_BKD = self._embed_tubelets(video_BCTHW, keep_BK)
        if self.class_token is None:
            return tokens_BKD, 0
        class_B1D = self.class_token.to(tokens_BKD.dtype).expand(tokens_BKD.shape[0], -1, -1)
        return torch.cat([class_B1D, tokens_BKD], dim=1), 1

    def _embed_tubelets(self, video_BCTHW: Tensor, keep_BK: Tensor | None) -> Tensor:
        if self.image_embed is None or self.modality_tokens is None:
            return self.patch_embed(video_BCTHW, keep_BK)
        is_image = video_BCTHW.shape[2] == 1
        embed = self.image_embed if is_image else self.patch_embed
        return embed(video_BCTHW, keep_BK) + self.modality_tokens[int(is_image)]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.transformer.grad_checkpointing = enable


def _block_numbers(indices: int | Sequence[int] | None, depth: int) -> list[int]:
    """From 0 on; ValueError where there is no such block."""
    if indices is None:
        return list(range(depth))
    if isinstance(indices, int | np.integer):
        if not 1 <= indices <= depth:
            raise ValueError(
                f"indices is {indices}, the last so many of {depth} blocks: give 1 to {depth}, or a list of numbers of blocks"
            )
        return list(range(depth - int(indices), depth))
    if not all(isinstance(index, int | np.integer) and -depth <= index < depth for index in indices):
        raise ValueError(
            f"indices are {list(indices)}, and the encoder has {depth} blocks: give whole numbers from -{depth} to {depth - 1}"
        )
    return [int(index) % depth for index in indices]
