"""Reconstruct the pixels of what is hidden: VideoMAE (arXiv 2203.12602) and, on images, MAE (arXiv 2111.06377).

The rival of predicting embeddings, on the same data, encoder, masks and trainer. Shape letters as in
`vjepa.tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import Batch, TokenMask
from vjepa.layers.pixel_targets import PixelTargets, pixel_targets, restore_pixels
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.batch_metric import BatchMetric, ratio
from vjepa.tokens import gather_tokens, patchify


class PixelReconstruction(nn.Module):
    """An asymmetric masked auto-encoder.

    Args:
        encoder: sees context tokens only.
        decoder: predicts the pixels of the targets, ``out_width = P``.
        normalizer: bytes to the encoder's pixels.
        targets: what is asked for, see `vjepa.layers.pixel_targets`.
    """

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        decoder: Predictor,
        normalizer: PixelNormalizer,
        targets: PixelTargets = "tubelet",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.normalizer = normalizer
        self.targets = targets

    def forward(self, batch: Batch) -> dict[str, Any]:
        """The loss, and what tells whether it means anything.

        Returns:
            ``loss``: mean squared error over masks, targets and values. ``relative_error``: the loss over that
            of predicting the mean of the whole batch's targets. ``context_BD``: embeddings
            averaged over tokens.
        """
        video_BCTHW = self.normalizer(batch.video_BTCHW)
        tubelets_BNP = patchify(batch.video_BTCHW.transpose(1, 2), self.encoder.tubelet)
        losses, targets = [], []
        for mask in batch.masks:
            context_BXD, predicted_BMP = self.forward_context(video_BCTHW, mask)
            target_BMP = self.target_pixels(gather_tokens(tubelets_BNP, mask.target_BM))
            losses.append(F.mse_loss(predicted_BMP.float(), target_BMP))
            targets.append(target_BMP)
        loss = torch.stack(losses).mean()
        return {
            "loss": loss,
            "context_BD": context_BXD.detach().mean(dim=1),
            "relative_error": _relative_error(loss.detach(), targets),
        }

    def forward_context(self, video_BCTHW: Tensor, mask: TokenMask) -> tuple[Tensor, Tensor]:
        """Embeddings of the context (class token in front) and predictions of the targets, ``(B, M, P)``."""
        context_BXD = self.encoder(video_BCTHW, mask.context_BK, class_token=True)
        grid = self.encoder.grid_of(video_BCTHW)
        return context_BXD, self.decoder(
            context_BXD, mask.context_BK, mask.target_BM, grid, mask.mask_token, mask.groups
        )

    def target_pixels(self, tubelets_BMP: Tensor) -> Tensor:
        """What the decoder should have said of these uint8 tubelets."""
        return pixel_targets(tubelets_BMP, self.targets, self.normalizer.mean, self.normalizer.std)

    def restore(self, predicted_BMP: Tensor, tubelets_BMP: Tensor) -> Tensor:
        """Predictions as pixels in [0, 1]; see `vjepa.layers.pixel_targets.restore_pixels`."""
        return restore_pixels(
            predicted_BMP, tubelets_BMP, self.targets, self.normalizer.mean, self.normalizer.std
        )

    def after_step(self, step: int) -> None:
        """Nothing follows the encoder."""


def _relative_error(loss: Tensor, targets: Sequence[Tensor]) -> BatchMetric:
    """`loss` over the variance of the whole batch's targets ``(B, M, P)``, mask by mask and value by value."""
    mean_XP = torch.stack([target_BMP.mean(dim=(0, 1)) for target_BMP in targets])
    variance_XP = torch.stack([target_BMP.var(dim=(0, 1), unbiased=False) for target_BMP in targets])
    # A part's mean square distance from the whole batch's mean: its own variance, and how far its mean is from there.
    return BatchMetric(
        mean_XP, lambda whole_XP: ratio(loss, (variance_XP + (mean_XP - whole_XP) ** 2).mean())
    )
