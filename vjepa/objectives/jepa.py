"""Predict embeddings of what is hidden from embeddings of what is seen (V-JEPA, arXiv 2404.08471).

Shape letters as in `vjepa.tokens`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import Batch, TokenMask
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.tokens import Grid, gather_tokens


class JEPA(nn.Module):
    """A joint-embedding predictive architecture with a slowly moving target encoder.

    Args:
        encoder: sees context tokens only; trained.
        predictor: predicts target embeddings; trained.
        normalizer: bytes to pixels.
        momentum: share of itself that the target encoder keeps after an optimiser step, as a function of
            the number of steps taken.
        loss_exponent: p in ``|difference|^p / p``; 1 as published.
    """

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        predictor: Predictor,
        normalizer: PixelNormalizer,
        momentum: Callable[[int], float],
        loss_exponent: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.predictor = predictor
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.normalizer = normalizer
        self.momentum = momentum
        self.loss_exponent = loss_exponent

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and what tells whether it means anything.

        Returns:
            ``loss``: mean over masks, targets and dimensions. ``relative_error``: the loss over that of
            predicting, at each position, the mean target of the batch (of two clips or more); 1 has learnt
            nothing that differs between clips. ``context_BD``, ``target_BD``, ``predicted_BD``: embeddings averaged over tokens,
            before any LayerNorm of the targets.
        """
        video_BCTHW = self.normalizer(batch.video_BTCHW)
        grid = self.encoder.grid_of(video_BCTHW)
        embedding_BND = self.forward_target(video_BCTHW)
        target_BND = F.layer_norm(embedding_BND, embedding_BND.shape[-1:])
        mean_target_ND = target_BND.mean(dim=0)

        losses, mean_losses = [], []
        for number, mask in enumerate(batch.masks):
            context_BKD, predicted_BMD = self.forward_context(video_BCTHW, grid, mask, number)
            target_BMD = gather_tokens(target_BND, mask.target_BM)
            losses.append(self._distance(predicted_BMD, target_BMD))
            with torch.no_grad():
                mean_losses.append(self._distance(mean_target_ND[mask.target_BM], target_BMD))

        loss = torch.stack(losses).mean()
        outputs = {
            "loss": loss,
            "context_BD": context_BKD.detach().mean(dim=1),
            "target_BD": embedding_BND.mean(dim=1),
            "predicted_BD": predicted_BMD.detach().mean(dim=1),
        }
        if len(video_BCTHW) > 1:
            outputs["relative_error"] = loss.detach() / torch.stack(mean_losses).mean()
        return outputs

    @torch.no_grad()
    def forward_target(self, video_BCTHW: Tensor) -> Tensor:
        """Embeddings of all tokens by the target encoder, ``(B, N, D)``."""
        return self.target_encoder(video_BCTHW)

    def forward_context(
        self, video_BCTHW: Tensor, grid: Grid, mask: TokenMask, mask_token: int
    ) -> tuple[Tensor, Tensor]:
        """Embeddings of the context, ``(B, K, D)``, and predictions of the targets, ``(B, M, D)``."""
        context_BKD = self.encoder(video_BCTHW, mask.context_BK)
        predicted_BMD = self.predictor(context_BKD, mask.context_BK, mask.target_BM, grid, mask_token)
        return context_BKD, predicted_BMD

    def _distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        difference = (predicted.float() - target.float()).abs()
        return difference.pow(self.loss_exponent).mean() / self.loss_exponent

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the target encoder towards the encoder; `step` optimiser steps have been taken."""
        torch._foreach_lerp_(
            list(self.target_encoder.parameters()),
            list(self.encoder.parameters()),
            1 - self.momentum(step),
        )

    def train(self, mode: bool = True) -> JEPA:
        """Training mode; the target encoder never drops paths."""
        super().train(mode)
        self.target_encoder.eval()
        return self
