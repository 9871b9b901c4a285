"""Reconstruct the pixels of target tokens: VideoMAE (arXiv 2203.12602), and MAE (arXiv 2111.06377) on images.

It is the baseline of embedding prediction, on the same data, encoder, masks and trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import Batch, TokenMask
from vjepa.choices import PixelTargets
from vjepa.layers.pixel_targets import pixel_targets, restore_pixels
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.batch_metric import BatchMetric, ratio
from vjepa.tokens import gather_tokens, patchify


class PixelReconstruction(nn.Module):
    """An asymmetric masked auto-encoder: a large encoder and a small decoder.

    Args:
        encoder: Encoder to train; it sees context tokens only.
        decoder: Predictor of the targets' pixels, with ``out_dim = P``.
        normalizer: Module that turns uint8 frames into the encoder's pixels.
        targets: Which pixel values the decoder predicts (see `vjepa.layers.pixel_targets`).
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
        """Compute the loss, and the metrics that show whether the model learns.

        Returns:
            A dictionary:

            - ``loss``: Mean squared error over masks, targets and pixel values.
            - ``relative_error``: Loss divided by the loss of always predicting the mean of the whole batch's
              targets.
            - ``context_BD``: Embeddings of the context, averaged over tokens.

        Raises:
            ValueError: The batch has a separate video for the target encoder.
        """
        if batch.target_video_BTCHW is not None:
            raise ValueError(
                "the batch has a target_video_BTCHW, and a masked auto-encoder has no target encoder: its "
                "targets are the pixels of video_BTCHW, so leave the other video out"
            )
        video_BCTHW = self.normalizer(batch.video_BTCHW)
        tubelets_BNP = patchify(batch.video_BTCHW.transpose(1, 2), self.encoder.tubelet)
        losses, targets = [], []
        for mask in batch.masks:
            context_BND, predicted_BMP = self.forward_context(video_BCTHW, mask)
            target_BMP = self.target_pixels(gather_tokens(tubelets_BNP, mask.target_BM))
            losses.append(F.mse_loss(predicted_BMP.float(), target_BMP))
            targets.append(target_BMP)
        loss = torch.stack(losses).mean()
        return {
            "loss": loss,
            "context_BD": context_BND.detach().mean(dim=1),
            "relative_error": _relative_error(loss.detach(), targets),
        }

    def forward_context(self, video_BCTHW: Tensor, mask: TokenMask) -> tuple[Tensor, Tensor]:
        """Embed the context of normalised clips and predict the pixels of the targets.

        Returns:
            Context tokens ``(B, N, D)``, after the class token if the encoder has one; predictions
            ``(B, M, P)``.
        """
        context_BND = self.encoder(video_BCTHW, mask.context_BK, class_token=True)
        grid = self.encoder.grid_of(video_BCTHW)
        return context_BND, self.decoder(
            context_BND, mask.context_BK, mask.target_BM, grid, mask.mask_token, mask.groups
        )

    def target_pixels(self, tubelets_BMP: Tensor) -> Tensor:
        """Compute the decoder's targets, ``(B, M, P)``, from uint8 tubelets ``(B, M, P)``."""
        return pixel_targets(tubelets_BMP, self.targets, self.normalizer.mean, self.normalizer.std)

    def restore(self, predicted_BMP: Tensor, tubelets_BMP: Tensor) -> Tensor:
        """Turn predictions into pixels in [0, 1]; see `vjepa.layers.pixel_targets.restore_pixels`."""
        return restore_pixels(
            predicted_BMP, tubelets_BMP, self.targets, self.normalizer.mean, self.normalizer.std
        )

    def after_step(self, step: int) -> None:
        """Do nothing: this objective has no target encoder."""


def _relative_error(loss: Tensor, targets: Sequence[Tensor]) -> BatchMetric:
    """`loss` divided by the mean variance of the whole batch's targets, taken per mask and pixel value.

    Args:
        loss: Mean squared error of the micro-batch, a scalar.
        targets: Targets ``(B, M, P)`` of each mask.
    """
    mean = torch.stack([target_BMP.mean(dim=(0, 1)) for target_BMP in targets])
    variance = torch.stack([target_BMP.var(dim=(0, 1), unbiased=False) for target_BMP in targets])
    # A micro-batch's mean squared distance from the whole batch's mean is its own variance plus the squared
    # difference of the two means.
    return BatchMetric(mean, lambda whole: ratio(loss, (variance + (mean - whole) ** 2).mean()))
