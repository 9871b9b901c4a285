"""Predict embeddings of what is hidden from embeddings of what is seen (V-JEPA, arXiv 2404.08471).

The same module is I-JEPA on images, future prediction with future masks, V-JEPA 2.1 with several levels and
a loss at the context: masks and arguments tell them apart. Shape letters as in `vjepa.tokens`; Y is the width of
all levels together, R futures of a clip, Z numbers of their noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vjepa.batch import Batch, TokenMask
from vjepa.layers.levels import normalise_levels
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor, predict_samples
from vjepa.objectives.batch_metric import BatchMetric, divide, ratio
from vjepa.objectives.context_loss import ContextLoss
from vjepa.objectives.distances import DISTANCES, DistanceName
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.regularizers import Regularizer
from vjepa.tokens import Grid, gather_tokens

_KEPT_VALUES = 16_384  # of a clip's targets, until the step's last micro-batch


class Prediction(NamedTuple):
    """What one mask gave: embeddings of the context, predictions of the targets and, with a loss there, of the context.

    Where several futures are predicted, `predicted_BMY` is their mean.
    """

    context_BKD: Tensor
    predicted_BMY: Tensor
    seen_BKY: Tensor
    samples_BsMY: Tensor | None = None


class JEPA(nn.Module):
    """A joint-embedding predictive architecture.

    Constant embeddings would be predicted without error. What keeps them from it is a part: a target encoder
    that follows the encoder slowly (`target_encoder` and `momentum`), one that was trained before and stays as it
    is (`target_encoder` alone), or no target encoder but a `regularizer` of the embeddings.

    Args:
        encoder: sees context tokens only; trained.
        predictor: predicts target embeddings; trained.
        normalizer: bytes to pixels.
        target_encoder: gives the targets, without gradient; None for the encoder itself, with gradient.
        momentum: share of itself that the target encoder keeps after an optimiser step, as a function of
            the number of steps taken; None if it stays as it is.
        regularizer: a further loss on the embeddings.
        distance: of predictions from targets.
        context_loss: also predict what is seen (V-JEPA 2.1).
        futures: predict several futures, one for each noise vector of the batch, and learn their score instead of the
            distance; the predictor must take noise. Not with `context_loss`.
    """

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        predictor: Predictor,
        normalizer: PixelNormalizer,
        target_encoder: VideoEncoder | None,
        momentum: Callable[[int], float] | None = None,
        regularizer: Regularizer | None = None,
        distance: DistanceName = "l1",
        context_loss: ContextLoss | None = None,
        futures: Futures | None = None,
    ) -> None:
        super().__init__()
        if futures is not None and context_loss is not None:
            raise ValueError("what is seen has no several futures: give either futures or context_loss")
        self.encoder = encoder
        self.predictor = predictor
        self.target_encoder = None if target_encoder is None else target_encoder.requires_grad_(False)
        self.normalizer = normalizer
        self.momentum = momentum
        self.regularizer = regularizer
        self.distance = DISTANCES[distance]
        self.context_loss = context_loss
        self.futures = futures

    def forward(self, batch: Batch) -> dict[str, Any]:
        """The loss, and what tells whether it means anything.

        Returns:
            ``loss``: mean over masks, targets and dimensions, with the further losses that there are; those
            are also given by their names. ``relative_error``: the error of prediction over that of predicting, at
            each position, the mean target of the whole batch; 1 has learnt nothing that differs between clips, and a
            batch of a single clip has none (`_relative_error`). ``context_BD``, ``target_BD``, ``predicted_BD``: embeddings averaged over tokens,
            before any LayerNorm of the targets. With several futures, the errors are those of their mean, and
            ``relative_spread`` tells how much they differ, 1 being right on average (`Futures`).
        """
        video_BCTHW = self.normalizer(batch.video_BTCHW)
        grid = self.encoder.grid_of(video_BCTHW)
        embedding_BND, target_BNY = self.forward_target(video_BCTHW)
        predictions = [self._predict(video_BCTHW, grid, mask, batch.noise_BsZ) for mask in batch.masks]
        loss = self._errors(batch.masks, predictions, target_BNY).mean()
        outputs: dict[str, Any] = {
            "target_BD": embedding_BND.detach().mean(dim=1),
            "context_BD": predictions[-1].context_BKD.detach().mean(dim=1),
            "predicted_BD": predictions[-1].predicted_BMY.detach().mean(dim=1),
            "relative_error": self._relative_error(loss.detach(), batch.masks, target_BNY.detach()),
        }
        if self.futures is not None:
            loss, outputs["relative_spread"] = self._score(self.futures, batch.masks, predictions, target_BNY)
        further = self._further_losses(batch, grid, predictions, embedding_BND, target_BNY)
        return {"loss": sum(further.values(), loss), **further, **outputs}

    def forward_target(self, video_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of all tokens ``(B, N, D)``, and the targets made of them ``(B, N, Y)``.

        Of a target encoder, every level is normalised over its features, without learnt parameters. Of the
        encoder itself they stay as they are: their scale is the regularizer's business.
        """
        if self.target_encoder is None:
            target_BNY = self.encoder(video_BCTHW, levels=True)
            return target_BNY[..., -self.encoder.width :], target_BNY
        with torch.no_grad():
            width = self.target_encoder.width
            levels_BNY = self.target_encoder(video_BCTHW, levels=True)
            return levels_BNY[..., -width:], normalise_levels(levels_BNY, width)

    def _predict(
        self, video_BCTHW: Tensor, grid: Grid, mask: TokenMask, noise_BsZ: Tensor | None
    ) -> Prediction:
        context_BKY = self.encoder(video_BCTHW, mask.context_BK, levels=True)
        context_BKD = context_BKY[..., -self.encoder.width :]
        if self.futures is not None:
            if noise_BsZ is None:
                raise ValueError("several futures need noise, and the batch has none: give it a noise_BsZ")
            samples_BsMY = predict_samples(
                self.predictor, context_BKY, mask.context_BK, mask.target_BM, grid, noise_BsZ,
                mask.mask_token, mask.groups,
            )  # fmt: skip
            return Prediction(context_BKD, samples_BsMY.mean(dim=1), context_BKY[:, :0], samples_BsMY)
        predict_context = self.context_loss is not None
        predicted_BXY = self.predictor(
            context_BKY,
            mask.context_BK,
            mask.target_BM,
            grid,
            mask.mask_token,
            mask.groups,
            predict_context=predict_context,
        )
        seen_BKY, predicted_BMY = predicted_BXY.tensor_split(
            [mask.context_BK.shape[1] if predict_context else 0], dim=1
        )
        return Prediction(context_BKD, predicted_BMY, seen_BKY)

    def _errors(
        self, masks: Sequence[TokenMask], predictions: Sequence[Prediction], target_BNY: Tensor
    ) -> Tensor:
        """Error of each mask's predictions."""
        errors = []
        for mask, prediction in zip(masks, predictions, strict=True):
            target_BMY = gather_tokens(target_BNY, mask.target_BM)
            errors.append(self.distance(prediction.predicted_BMY.float(), target_BMY.float()).mean())
        return torch.stack(errors)

    def _relative_error(self, error: Tensor, masks: Sequence[TokenMask], target_BNY: Tensor) -> BatchMetric:
        """`error` over the distance of the targets from the mean targets of the whole batch, at the same positions.

        The mean is known only when all micro-batches have been seen, so values of the targets are kept until then: all
        of them where a clip has 16,384 or fewer, else as many that are evenly spread over positions and dimensions.
        """
        _, positions, width = target_BNY.shape
        kept = min(_KEPT_VALUES, positions * width)
        value_S = torch.arange(kept, device=target_BNY.device) * (positions * width) // kept
        value_BS = target_BNY.flatten(1)[:, value_S].float()
        weight_BS = _target_weights(masks, positions)[:, value_S // width]

        def against(mean_S: Tensor) -> BatchMetric:
            distance_BS = self.distance(mean_S.expand_as(value_BS), value_BS)
            return ratio(error, (weight_BS * distance_BS).sum(dim=1).mean() * positions / kept)

        return BatchMetric(value_BS.mean(dim=0), against)

    def _score(
        self,
        futures: Futures,
        masks: Sequence[TokenMask],
        predictions: Sequence[Prediction],
        target_BNY: Tensor,
    ) -> tuple[Tensor, BatchMetric]:
        """Loss and relative spread of the futures, means over the masks."""
        scores = []
        for mask, prediction in zip(masks, predictions, strict=True):
            assert prediction.samples_BsMY is not None
            target_BMY = gather_tokens(target_BNY, mask.target_BM)
            scores.append(futures(prediction.samples_BsMY.float(), target_BMY.float()))
        losses, spreads, errors = (torch.stack(column) for column in zip(*scores, strict=True))
        spread = BatchMetric(
            torch.stack([spreads, errors]).detach(), lambda means_2K: divide(means_2K).mean()
        )
        return losses.mean(), spread

    def _further_losses(
        self,
        batch: Batch,
        grid: Grid,
        predictions: Sequence[Prediction],
        embedding_BND: Tensor,
        target_BNY: Tensor,
    ) -> dict[str, Tensor]:
        further: dict[str, Tensor] = {}
        if self.context_loss is not None:
            losses = [
                self.context_loss(prediction.seen_BKY, target_BNY, mask, grid, batch.step, self.distance)
                for mask, prediction in zip(batch.masks, predictions, strict=True)
            ]
            further["context_loss"] = torch.stack(losses).mean()
        if self.regularizer is not None:
            predicted = [
                (prediction.predicted_BMY, mask.target_BM)
                for mask, prediction in zip(batch.masks, predictions, strict=True)
            ]
            further |= self.regularizer(embedding_BND, predicted, batch.step)
        return further

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the target encoder towards the encoder; `step` optimiser steps have been taken."""
        if self.target_encoder is None or self.momentum is None:
            return
        torch._foreach_lerp_(
            list(self.target_encoder.parameters()),
            list(self.encoder.parameters()),
            1 - self.momentum(step),
        )

    def train(self, mode: bool = True) -> JEPA:
        """Training mode; the target encoder never drops paths."""
        super().train(mode)
        if self.target_encoder is not None:
            self.target_encoder.eval()
        return self


def _target_weights(masks: Sequence[TokenMask], positions: int) -> Tensor:
    """How much each position of a clip counts in the error, ``(B, N)``: a mask's targets have equal shares of it."""
    weight_BN = torch.zeros(len(masks[0].target_BM), positions, device=masks[0].target_BM.device)
    for mask in masks:
        share_BM = torch.ones_like(mask.target_BM, dtype=weight_BN.dtype)
        weight_BN.scatter_add_(1, mask.target_BM, share_BM / (len(masks) * mask.target_BM.shape[1]))
    return weight_BN
