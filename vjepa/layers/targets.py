"""Prediction targets: what is computed from an encoder's tokens for the predictor to predict, and back."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.choices import TargetNorm

_DECAY = 0.9  # share of the running statistics that a step keeps, as in torch's BatchNorm
_EPSILON = 1e-5  # that of torch's LayerNorm and BatchNorm


class TokenEncoder(Protocol):
    """What targets need of an encoder; `VideoEncoder` has it."""

    def __call__(self, video_BCTHW: Tensor, *, levels: bool) -> Tensor:
        """Compute the tokens of all levels, ``(B, N, Y)``."""
        ...

    def forward_intermediates(self, video_BCTHW: Tensor, indices: int) -> tuple[Tensor, list[Tensor]]:
        """Compute tokens after the last norm and after each of the last `indices` blocks, ``(B, N, D)``."""
        ...


class PredictionTargets(nn.Module):
    """Normalisation of an encoder's tokens into prediction targets.

    Args:
        norm: Normalisation of the targets. `layer_norm` gives every token mean 0 and standard deviation 1
            over its features, as V-JEPA does (arXiv 2404.08471). `batch` does the same for every dimension
            over all tokens of a batch, which removes what all clips have in common; it uses running
            statistics of the steps before, so that targets do not depend on the division into micro-batches
            and processes. `none` leaves the tokens as they are.
        embed_dim: Embedding dimension D of the encoder.
        levels: Number of levels that the encoder returns together (V-JEPA 2.1).
        blocks: Number of blocks, counted from the last, whose outputs are normalised and averaged, as in
            data2vec 2.0 (facebookresearch/fairseq at 26323eb, ``make_targets`` in data2vec2.py with
            ``layer_norm_target_layer`` or ``batch_norm_target_layer``). 1 takes the encoder's output, after
            its last norm.

    Raises:
        ValueError: If several blocks are averaged of an encoder with several levels, or without a norm.
    """

    mean_Y: Tensor
    variance_Y: Tensor
    updates: Tensor

    def __init__(self, norm: TargetNorm, embed_dim: int, *, levels: int = 1, blocks: int = 1) -> None:
        super().__init__()
        if blocks > 1 and (levels > 1 or norm == "none"):
            raise ValueError(
                f"blocks is {blocks}, levels {levels} and norm {norm}: the outputs of several blocks are "
                "averaged after a norm, and only of an encoder with one level"
            )
        self.norm = norm
        self.embed_dim = embed_dim
        self.blocks = blocks
        self.sums: tuple[Tensor, Tensor, Tensor] | None = None
        if norm == "batch":
            width = max(levels, blocks) * embed_dim
            self.register_buffer("mean_Y", torch.zeros(width))
            self.register_buffer("variance_Y", torch.ones(width))
            self.register_buffer("updates", torch.zeros(()))

    def alike(self, other: PredictionTargets) -> bool:
        """Return whether both compute targets of the same width in the same way."""
        widths = [{name: value.shape for name, value in one.named_buffers()} for one in (self, other)]
        return (self.norm, self.blocks, widths[0]) == (other.norm, other.blocks, widths[1])

    def forward(self, encoder: TokenEncoder, video_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute embeddings ``(B, N, D)`` and targets ``(B, N, Y)`` of all tokens of normalised clips.

        In training mode, statistics of the tokens are collected for `update`.

        Args:
            encoder: Encoder that the targets come from (`VideoEncoder`).
            video_BCTHW: Normalised pixels.
        """
        if self.blocks == 1:
            tokens_BNY = encoder(video_BCTHW, levels=True)
            return tokens_BNY[..., -self.embed_dim :], self._collected(tokens_BNY)
        embedding_BND, outputs = encoder.forward_intermediates(video_BCTHW, self.blocks)
        normalised_BNY = self._collected(torch.cat(outputs, dim=-1))
        return embedding_BND, normalised_BNY.unflatten(-1, (self.blocks, -1)).mean(dim=-2)

    def _collected(self, tokens_BNY: Tensor) -> Tensor:
        """Normalise tokens, and in training collect their statistics."""
        if self.norm == "batch" and self.training:
            self._collect(tokens_BNY.detach().float())
        return self.normalise(tokens_BNY)

    def normalise(self, tokens_BNY: Tensor) -> Tensor:
        """Normalise tokens of all levels, or of all averaged blocks, ``(B, N, Y)``, as those of targets."""
        if self.norm == "none":
            return tokens_BNY
        if self.norm == "layer_norm":
            levels_BNLD = tokens_BNY.unflatten(-1, (-1, self.embed_dim))
            return F.layer_norm(levels_BNLD, (self.embed_dim,)).flatten(-2)
        return (tokens_BNY - self.mean_Y) * (self.variance_Y + _EPSILON).rsqrt()

    def _collect(self, tokens_BNY: Tensor) -> None:
        """Add the tokens to the sums of this step; deviations from the running mean lose no digits."""
        deviation_BNY = tokens_BNY - self.mean_Y
        found = (
            deviation_BNY.sum(dim=(0, 1)),
            deviation_BNY.square().sum(dim=(0, 1)),
            torch.full((), float(tokens_BNY[..., 0].numel()), device=tokens_BNY.device),
        )
        known = self.sums
        self.sums = (
            found if known is None else (known[0] + found[0], known[1] + found[1], known[2] + found[2])
        )

    @torch.no_grad()
    def update(self) -> None:
        """Fold the statistics of a step, over all its micro-batches and processes, into the running ones.

        The running statistics are weighted so that the first steps count in full: after the first step they
        are those of its batch.
        """
        if self.sums is None:
            return
        packed = torch.cat([part.reshape(-1) for part in self.sums])
        self.sums = None
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(packed)
        sum_Y, square_Y, count = packed[: len(self.mean_Y)], packed[len(self.mean_Y) : -1], packed[-1]
        shift_Y = sum_Y / count
        variance_Y = (square_Y / count - shift_Y.square()).clamp(min=0)
        self.updates += 1
        share = (1 - _DECAY) / (1 - _DECAY**self.updates)
        self.mean_Y += share * shift_Y
        self.variance_Y.lerp_(variance_Y, share)

    @property
    def restorable(self) -> bool:
        """Whether predictions that are as wide as the encoder's tokens can become such, see `restore`."""
        return self.blocks == 1

    def restore(self, normalised_BMY: Tensor, like_BKY: Tensor) -> Tensor:
        """Undo the normalisation: predictions become tokens of the encoder, ``(B, M, Y)``.

        That is exact for `batch` and `none`. Of `layer_norm`, the mean and deviation of each token are lost,
        so the averages over a clip's other tokens replace them, level by level.

        Args:
            normalised_BMY: Predictions, or targets.
            like_BKY: Other tokens of the same clips, which are not normalised.

        Raises:
            ValueError: Targets are averages of several blocks, or of another width than the tokens.
        """
        if normalised_BMY.shape[-1] != like_BKY.shape[-1]:
            raise ValueError(
                f"predictions have width {normalised_BMY.shape[-1]} and the encoder's tokens "
                f"{like_BKY.shape[-1]}: only predictions of the encoder's own tokens can stand beside them"
            )
        if self.blocks > 1:
            raise ValueError(
                f"targets are averages of {self.blocks} blocks: only predictions of the encoder's own tokens "
                "can stand beside them"
            )
        if self.norm == "none":
            return normalised_BMY
        if self.norm == "batch":
            return normalised_BMY * (self.variance_Y + _EPSILON).sqrt() + self.mean_Y
        like_BKLD = like_BKY.unflatten(-1, (-1, self.embed_dim))
        mean_B1L1 = like_BKLD.mean(dim=-1, keepdim=True).mean(dim=1, keepdim=True)
        std_B1L1 = like_BKLD.std(dim=-1, unbiased=False, keepdim=True).mean(dim=1, keepdim=True)
        levels_BMLD = normalised_BMY.unflatten(-1, (-1, self.embed_dim))
        return (levels_BMLD * std_B1L1 + mean_B1L1).flatten(-2)
