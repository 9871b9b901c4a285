"""How much of its own pixels a linear map reads out of each token."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features.extract import extract_features, spread_rows
from vjepa.evaluation.probes.linear import ridge_regression
from vjepa.grid import Tubelet
from vjepa.tokens import patchify

_VIDEOS = 256  # of each split: their thousands of tokens are plenty for a linear map


def pixel_r2(
    encode: Callable[[Tensor], Tensor], train: ClipDataset, test: ClipDataset, tubelet: tuple[int, int, int]
) -> float | None:
    """R2, over all pixels of the test split, of a ridge regression from a token to its tubelet's pixels.

    It measures what embeddings keep of the image, noise included: a model that predicts embeddings is free
    to drop what cannot be predicted.

    Args:
        encode: Encoder of uint8 clips ``(B, T, C, H, W)`` to tokens ``(B, N, D)``.
        train: Clips to fit on.
        test: Clips to measure on.
        tubelet: Frames, rows and columns of a tubelet.

    Returns:
        R2; None where `encode` does not give one token for each tubelet.
    """
    parts = [_tokens_and_pixels(encode, dataset, Tubelet(*tubelet)) for dataset in (train, test)]
    if parts[0] is None or parts[1] is None:
        return None
    per_pixel_P = ridge_regression(parts[0], parts[1])
    variance_P = parts[1][1].var(dim=0)
    return float((per_pixel_P * variance_P).sum() / variance_P.sum())


def _tokens_and_pixels(
    encode: Callable[[Tensor], Tensor], dataset: ClipDataset, tubelet: Tubelet
) -> tuple[Tensor, Tensor] | None:
    """Tokens ``(V * R * N, D)`` and their tubelets' pixels ``(V * R * N, P)``, of evenly chosen videos."""
    chosen = spread_rows(len(dataset), _VIDEOS)
    pixels_VRNP, _ = extract_features(
        lambda video: patchify(video.transpose(1, 2), tubelet), dataset, rows=chosen, average=False
    )
    tokens_VRND, _ = extract_features(encode, dataset, rows=chosen, average=False)
    if tokens_VRND.shape[2] != pixels_VRNP.shape[2]:
        return None
    return tokens_VRND.flatten(0, 2), pixels_VRNP.flatten(0, 2) / 255
