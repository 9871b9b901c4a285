"""A small decoder from frozen tokens to pixels, to see what embeddings kept."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.double_precision import in_double
from vjepa.grid import Grid, Tubelet
from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.pixels import unit_pixels
from vjepa.schedules import warm_up_then_anneal
from vjepa.seeding import seeded
from vjepa.tokens import patchify

WIDTH, DEPTH, HEADS = 128, 2, 4
STEPS = 600
BATCH = 32
PEAK_LR = 2e-3
WARMUP = 50

Encode = Callable[[Tensor], Tensor]  # uint8 (B, T, C, H, W) to tokens (B, N, D)


class PixelDecoder(nn.Module):
    """Maps all tokens of a clip to the pixels of their tubelets, in [0, 1].

    Args:
        in_dim: Embedding dimension of the tokens.
        out_dim: Number of pixel values of a tubelet.
        grid: Token grid of the clips.
    """

    def __init__(self, in_dim: int, out_dim: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.embed = nn.Linear(in_dim, WIDTH)
        self.transformer = TokenTransformer(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
        self.proj = nn.Linear(WIDTH, out_dim)
        init_weights(self)
        nn.init.constant_(self.proj.bias, 0.5)  # grey

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Decode tokens to tubelets, ``(B, N, D) -> (B, N, P)``."""
        return self.proj(self.transformer(self.embed(tokens_BND), self.grid))


def train_pixel_decoder(
    encode: Encode, video_VTCHW: Tensor, tubelet: Tubelet, seed: int, steps: int = STEPS
) -> PixelDecoder:
    """Fit a decoder to a frozen encoder's embeddings by squared error.

    The clips are encoded once, without gradient, before the decoder exists: no gradient can reach the
    encoder.

    Args:
        encode: Frozen encoder of uint8 clips ``(B, T, C, H, W)``; returns all their tokens ``(B, N, D)``.
        video_VTCHW: Uint8 clips to learn from.
        tubelet: Tubelet of the tokens.
        seed: Random seed of the initial weights and the batches; the caller's random state does not change.
        steps: Number of updates.

    Returns:
        The decoder in evaluation mode.
    """
    with torch.no_grad():
        tokens_VND = torch.cat([encode(video_BTCHW).float() for video_BTCHW in video_VTCHW.split(BATCH)])
    frames, _, height, width = video_VTCHW.shape[1:]
    grid = tubelet.grid_of(frames, height, width)
    with seeded(seed):
        pixels = math.prod(tubelet) * video_VTCHW.shape[2]
        decoder = PixelDecoder(tokens_VND.shape[-1], pixels, grid)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=PEAK_LR, weight_decay=0.01, fused=True)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = warm_up_then_anneal(
                step,
                total=steps,
                warmup=min(WARMUP, steps),
                start=0.0,
                peak=PEAK_LR,
                final=0.0,
                shape="cosine",
            )
            chosen = torch.randint(len(video_VTCHW), (min(BATCH, len(video_VTCHW)),))
            true_BNP = unit_pixels(patchify(video_VTCHW[chosen].transpose(1, 2), tubelet))
            F.mse_loss(decoder(tokens_VND[chosen]), true_BNP).backward()
            optimizer.step()
            optimizer.zero_grad()
    return decoder.eval()


def psnr(first: Tensor, second: Tensor) -> float:
    """Peak signal-to-noise ratio, in decibels, of pixels in [0, 1]; infinite where they are equal."""
    error = (in_double(first) - in_double(second)).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)
