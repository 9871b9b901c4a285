"""Pixels read out of frozen tokens, by a linear map or a small transformer, to see what embeddings keep."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.data.dataset import ClipDataset
from vjepa.double_precision import in_double
from vjepa.evaluation.features.extract import extract_features, spread_rows
from vjepa.evaluation.probes.fit import fit_probe
from vjepa.evaluation.probes.linear import ridge_regression
from vjepa.grid import Grid, Tubelet
from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.pixels import unit_pixels
from vjepa.seeding import seeded
from vjepa.tokens import patchify

LINEAR_VIDEOS = 256  # of each split; their thousands of tokens are enough for a linear map
WIDTH, DEPTH, HEADS = 128, 2, 4
STEPS, BATCH, WARMUP = 600, 32, 50
PEAK_LR, WEIGHT_DECAY = 2e-3, 0.01

Encode = Callable[[Tensor], Tensor]  # uint8 (B, T, C, H, W) to tokens (B, N, D)


def pixel_r2(
    encode: Encode, train: ClipDataset, test: ClipDataset, tubelet: tuple[int, int, int]
) -> float | None:
    """Fit a ridge regression from a token to its tubelet's pixels, and return its R2 on the test split.

    R2 is over all pixels. It measures how much of the image, including noise, the embeddings keep: a model
    that predicts embeddings is free to drop what cannot be predicted.

    Args:
        encode: Encoder of uint8 clips ``(B, T, C, H, W)`` to tokens ``(B, N, D)``.
        train: Clips to fit on.
        test: Clips to measure on.
        tubelet: Frames, rows and columns of a tubelet.

    Returns:
        R2; None if `encode` does not return one token for each tubelet.
    """
    parts = [_tokens_and_pixels(encode, dataset, Tubelet(*tubelet)) for dataset in (train, test)]
    if parts[0] is None or parts[1] is None:
        return None
    per_pixel_P = ridge_regression(parts[0], parts[1])
    variance_P = parts[1][1].var(dim=0)
    return float((per_pixel_P * variance_P).sum() / variance_P.sum())


def _tokens_and_pixels(
    encode: Encode, dataset: ClipDataset, tubelet: Tubelet
) -> tuple[Tensor, Tensor] | None:
    """Return tokens ``(V * R * N, D)`` and their pixels ``(V * R * N, P)`` of evenly chosen videos."""
    chosen = spread_rows(len(dataset), LINEAR_VIDEOS)
    pixels_VRNP, _ = extract_features(
        lambda video: patchify(video.transpose(1, 2), tubelet), dataset, rows=chosen, average=False
    )
    tokens_VRND, _ = extract_features(encode, dataset, rows=chosen, average=False)
    if tokens_VRND.shape[2] != pixels_VRNP.shape[2]:
        return None
    return tokens_VRND.flatten(0, 2), pixels_VRNP.flatten(0, 2) / 255


class PixelDecoder(nn.Module):
    """Transformer that maps all tokens of a clip to the pixels of their tubelets, in [0, 1].

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

    The clips are encoded once, without gradient, so no gradient can reach the encoder.

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
    true_VNP = patchify(video_VTCHW.transpose(1, 2), tubelet)
    frames, _, height, width = video_VTCHW.shape[1:]
    with seeded(seed):
        grid = tubelet.grid_of(frames, height, width)
        decoder = PixelDecoder(tokens_VND.shape[-1], true_VNP.shape[-1], grid)
        fit_probe(
            decoder, tokens_VND, true_VNP, lambda shown, true: F.mse_loss(shown, unit_pixels(true)),
            steps=steps, batch=BATCH, peak_lr=PEAK_LR, weight_decay=WEIGHT_DECAY,
            warmup=min(WARMUP, steps), fused=True,
        )  # fmt: skip
    return decoder


def psnr(first: Tensor, second: Tensor) -> float:
    """Compute the peak signal-to-noise ratio in decibels of pixels in [0, 1]; infinite if they are equal."""
    error = (in_double(first) - in_double(second)).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)
