"""Predict the embeddings of target tokens from those of context tokens (V-JEPA, arXiv 2404.08471).

Masks and arguments decide which method this is: V-JEPA, I-JEPA on images, future prediction with future
masks, or V-JEPA 2.1 with several levels and a context loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vjepa.batch import Batch, TokenMask
from vjepa.choices import DistanceName
from vjepa.grid import Grid
from vjepa.layers.pixels import PixelNormalizer
from vjepa.layers.targets import PredictionTargets
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor, predict_samples
from vjepa.objectives.batch_metric import BatchMetric, divide, ratio
from vjepa.objectives.context_loss import ContextLoss
from vjepa.objectives.distances import DISTANCES
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.future_loss import FutureLoss
from vjepa.sharded import local_part
from vjepa.tokens import gather_tokens

_KEPT_VALUES = 16_384  # target values of each clip that are kept until the step's last micro-batch


class Prediction(NamedTuple):
    """Embeddings and predictions of one mask.

    Attributes:
        context_BKY: Tokens of the context, as the encoder returns them.
        context_BKD: Embeddings of the context tokens after the last block.
        predicted_BMY: Predictions of the targets; of several futures, their mean.
        seen_BKY: Predictions at the context tokens; no tokens, ``(B, 0, Y)``, without a context loss.
        samples_BsMY: Predictions of several futures; None if a single one is predicted.
        copied_BKY: Tokens of the context that the predictor's output was added to; None if that are
            `context_BKY`, or if it is added to nothing.
    """

    context_BKY: Tensor
    context_BKD: Tensor
    predicted_BMY: Tensor
    seen_BKY: Tensor
    samples_BsMY: Tensor | None = None
    copied_BKY: Tensor | None = None


class JEPA(nn.Module):
    """A joint-embedding predictive architecture.

    Constant embeddings could be predicted without error. Three things prevent this collapse, and can be
    combined: a target encoder that slowly follows the encoder (`target_encoder` and `momentum`), a frozen
    teacher (`target_encoder` alone), and `regularizers` on the encoder's own embeddings. With a target
    encoder, regularizers see the context tokens that the encoder computes anyway; without one, all tokens.
    A trained encoder that stays as it is (`frozen_encoder`) needs none of them.

    Args:
        encoder: Encoder to train; it sees context tokens only.
        predictor: Predictor of target embeddings, trained too.
        normalizer: Module that turns uint8 frames into the encoder's pixels.
        target_encoder: Encoder that gives the targets, without gradient. None takes the targets from
            `encoder` itself, with gradient.
        frozen_encoder: Whether `encoder` stays as it is, and gives the targets, too, so that only the
            predictor is trained (as V-JEPA 2-AC trains its predictor, arXiv 2506.09985). Excludes a target
            encoder and regularizers.
        momentum: Share of its own weights that the target encoder keeps after an optimiser step, in [0, 1],
            as a function of the number of steps taken. None freezes the target encoder.
        targets: What the predictor predicts of the target encoder's tokens. None normalises each level of
            each token over its features. Where targets have a gradient (neither a target encoder nor a frozen
            one), they are the encoder's tokens as they are, because the regularizers control their scale.
        regularizers: Additional losses on the encoder's embeddings; see `vjepa.objectives.regularizers`.
        distance: Distance between predictions and targets.
        context_loss: Additional loss on predictions at the context tokens (V-JEPA 2.1). None turns it off.
        future_loss: Settings that change the loss of future masks. None leaves it as it is.
        futures: Loss on several predicted futures, one per noise vector of the batch, which replaces the
            distance. The predictor must take noise. None predicts a single future. Excludes `context_loss`
            and `future_loss`.

    Raises:
        ValueError: If `futures` is given with `context_loss` or `future_loss`, `momentum` without a target
            encoder, `targets` that would have a gradient, a frozen encoder with a target encoder or a
            regularizer, neither of the three, or a regularizer of predictions with a target encoder.
    """

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        predictor: Predictor,
        normalizer: PixelNormalizer,
        target_encoder: VideoEncoder | None,
        frozen_encoder: bool = False,
        momentum: Callable[[int], float] | None = None,
        targets: PredictionTargets | None = None,
        regularizers: Sequence[nn.Module] = (),
        distance: DistanceName = "l1",
        context_loss: ContextLoss | None = None,
        future_loss: FutureLoss | None = None,
        futures: Futures | None = None,
    ) -> None:
        super().__init__()
        if futures is not None and (context_loss is not None or future_loss is not None):
            raise ValueError(
                "futures is given with context_loss or future_loss, which are losses of a single "
                "prediction: give futures alone, or leave it out"
            )
        _check_protection(target_encoder, frozen_encoder, momentum, regularizers)
        self.differentiable = target_encoder is None and not frozen_encoder  # whether targets have a gradient
        if targets is not None and self.differentiable:
            raise ValueError(
                "targets are those of a target encoder or of a frozen encoder, and there is none: leave "
                "targets out"
            )
        self.encoder = encoder.requires_grad_(False) if frozen_encoder else encoder
        self.predictor = predictor
        self.target_encoder = None if target_encoder is None else target_encoder.requires_grad_(False)
        self.targets = targets or PredictionTargets(
            "none" if self.differentiable else "layer_norm", (target_encoder or encoder).embed_dim
        )
        self.frozen_encoder = frozen_encoder
        self.normalizer = normalizer
        self.momentum = momentum
        self.regularizers = nn.ModuleList(regularizers)
        self.distance = DISTANCES[distance]
        self.context_loss = context_loss
        self.future_loss = future_loss
        self.futures = futures

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Compute the loss, and the metrics that show whether the model learns.

        Returns:
            A dictionary:

            - ``loss``: Mean error over masks, targets and dimensions, plus the additional losses.
            - ``context_loss``, ``rollout_loss`` and the regularizers' losses: The additional losses, if there
              are any.
            - ``relative_error``: Prediction error divided by the error of always predicting, at each
              position, the mean target of the whole batch. At 1 nothing is predicted that differs between
              clips. NaN for a single clip. With several futures, the error of their mean.
            - ``relative_spread``: How much several futures differ; the right value is 1 on average (see
              `Futures`).
            - ``target_lag``: Distance between the weights of encoder and target encoder in their last block,
              relative to the norm of the encoder's; only with a target encoder that follows the encoder.
            - ``context_BD``, ``target_BD``, ``predicted_BD``: Embeddings averaged over tokens, before any
              LayerNorm of the targets.
        """
        video_BCTHW = self.normalizer(batch.video_BTCHW)
        grid = self.encoder.grid_of(video_BCTHW)
        target_video = batch.target_video_BTCHW
        embedding_BND, target_BNY = self.forward_target(
            video_BCTHW if target_video is None else self.normalizer(target_video)
        )
        predictions = [self._predict(video_BCTHW, grid, mask, batch.noise_BsZ) for mask in batch.masks]
        loss, error = self._errors(batch.masks, predictions, target_BNY, grid)
        outputs: dict[str, Any] = {
            "target_BD": embedding_BND.detach().mean(dim=1),
            "context_BD": predictions[-1].context_BKD.detach().mean(dim=1),
            "predicted_BD": predictions[-1].predicted_BMY.detach().mean(dim=1),
            "relative_error": self._relative_error(error.detach(), batch.masks, target_BNY.detach()),
        }
        if self.target_encoder is not None and self.momentum is not None:
            outputs["target_lag"] = _lag(self.encoder, self.target_encoder)
        if self.futures is not None:
            loss, outputs["relative_spread"] = self._score(self.futures, batch.masks, predictions, target_BNY)
        further = self._further_losses(batch, grid, predictions, embedding_BND, target_BNY)
        return {"loss": sum(further.values(), loss), **further, **outputs}

    def forward_target(self, video_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute embeddings ``(B, N, D)`` and targets ``(B, N, Y)`` of all tokens of normalised clips.

        Embeddings are the tokens of the last level, targets what `targets` makes of all levels.
        """
        target_encoder = self.encoder if self.target_encoder is None else self.target_encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.differentiable):
            return self.targets(target_encoder, video_BCTHW)

    def _predict(
        self, video_BCTHW: Tensor, grid: Grid, mask: TokenMask, noise_BsZ: Tensor | None
    ) -> Prediction:
        context_BKY = self.encoder(video_BCTHW, mask.context_BK, levels=True)
        context_BKD = context_BKY[..., -self.encoder.embed_dim :]
        copied_BKY = None
        if self.predictor.residual and self.target_encoder is not None:
            # What is predicted are the target encoder's tokens, so what is added to are its tokens, too.
            with torch.no_grad():
                copied_BKY = self.target_encoder(video_BCTHW, mask.context_BK, levels=True)
        if self.futures is not None:
            if noise_BsZ is None:
                raise ValueError("several futures need noise, and the batch has none: give it a noise_BsZ")
            samples_BsMY = predict_samples(
                self.predictor, context_BKY, mask.context_BK, mask.target_BM, grid, noise_BsZ,
                mask.mask_token, mask.groups, self.targets, copied_BKY,
            )  # fmt: skip
            mean_BMY = samples_BsMY.mean(dim=1)
            return Prediction(context_BKY, context_BKD, mean_BMY, context_BKY[:, :0], samples_BsMY)
        predict_context = self.context_loss is not None
        predicted_BXY = self.predictor(
            context_BKY,
            mask.context_BK,
            mask.target_BM,
            grid,
            mask.mask_token,
            mask.groups,
            predict_context=predict_context,
            targets=self.targets,
            copied_BKD=copied_BKY,
        )
        seen_BKY, predicted_BMY = predicted_BXY.tensor_split(
            [mask.context_BK.shape[1] if predict_context else 0], dim=1
        )
        return Prediction(context_BKY, context_BKD, predicted_BMY, seen_BKY, copied_BKY=copied_BKY)

    def _errors(
        self, masks: Sequence[TokenMask], predictions: Sequence[Prediction], target_BNY: Tensor, grid: Grid
    ) -> tuple[Tensor, Tensor]:
        """Mean error over masks and targets, as the loss weights the targets and with equal weights."""
        weighted, plain = [], []
        for mask, prediction in zip(masks, predictions, strict=True):
            target_BMY = gather_tokens(target_BNY, mask.target_BM)
            error_BMY = self.distance(prediction.predicted_BMY.float(), target_BMY.float())
            plain.append(error_BMY.mean())
            weight_BM = None if self.future_loss is None else self.future_loss.weights(target_BNY, mask, grid)
            weighted.append(plain[-1] if weight_BM is None else (error_BMY.mean(dim=-1) * weight_BM).mean())
        return torch.stack(weighted).mean(), torch.stack(plain).mean()

    def _relative_error(self, error: Tensor, masks: Sequence[TokenMask], target_BNY: Tensor) -> BatchMetric:
        """`error` divided by the distance between the targets and their mean over the batch at each position.

        That mean is known only after the last micro-batch, so target values are kept until then: all values
        of a clip if there are 16,384 or fewer, else that many, evenly spread over positions and dimensions.
        """
        _, positions, embed_dim = target_BNY.shape
        kept = min(_KEPT_VALUES, positions * embed_dim)
        index = torch.arange(kept, device=target_BNY.device) * (positions * embed_dim) // kept
        values = target_BNY.flatten(1)[:, index].float()
        weights = _target_weights(masks, positions)[:, index // embed_dim]

        def against(mean: Tensor) -> BatchMetric:
            distances = self.distance(mean.expand_as(values), values)
            return ratio(error, (weights * distances).sum(dim=1).mean() * positions / kept)

        return BatchMetric(values.mean(dim=0), against)

    def _score(
        self,
        futures: Futures,
        masks: Sequence[TokenMask],
        predictions: Sequence[Prediction],
        target_BNY: Tensor,
    ) -> tuple[Tensor, BatchMetric]:
        """Loss and relative spread of several futures, averaged over the masks."""
        scores = []
        for mask, prediction in zip(masks, predictions, strict=True):
            assert prediction.samples_BsMY is not None
            target_BMY = gather_tokens(target_BNY, mask.target_BM)
            scores.append(futures(prediction.samples_BsMY.float(), target_BMY.float()))
        losses, spreads, errors = (torch.stack(column) for column in zip(*scores, strict=True))
        spread = BatchMetric(torch.stack([spreads, errors]).detach(), lambda means: divide(means).mean())
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
        if self.future_loss is not None:
            further |= self._rollout_loss(self.future_loss, batch.masks, grid, predictions, target_BNY)
        if self.regularizers:
            further |= self._regularise(batch, predictions, embedding_BND)
        return further

    def _rollout_loss(
        self,
        future_loss: FutureLoss,
        masks: Sequence[TokenMask],
        grid: Grid,
        predictions: Sequence[Prediction],
        target_BNY: Tensor,
    ) -> dict[str, Tensor]:
        """Error of chained predictions over the masks that have any; empty where none has."""
        errors = [
            future_loss.rollout_error(
                self.predictor, self.targets, each.context_BKY, each.predicted_BMY, target_BNY, mask, grid,
                self.distance, each.copied_BKY,
            )
            for mask, each in zip(masks, predictions, strict=True)
        ]  # fmt: skip
        found = [error for error in errors if error is not None]
        return {"rollout_loss": torch.stack(found).mean()} if found else {}

    def _regularise(
        self, batch: Batch, predictions: Sequence[Prediction], embedding_BND: Tensor
    ) -> dict[str, Tensor]:
        """Return the regularizers' losses by name; those of several masks are averaged."""
        if self.target_encoder is None:
            predicted = [
                (prediction.predicted_BMY, mask.target_BM)
                for mask, prediction in zip(batch.masks, predictions, strict=True)
            ]
            inputs: list[tuple[Any, ...]] = [(embedding_BND, predicted, batch.step, None)]
        else:
            inputs = []
            for mask, prediction in zip(batch.masks, predictions, strict=True):
                online_BND, present_BN = _on_grid(
                    prediction.context_BKD, mask.context_BK, embedding_BND.shape[1]
                )
                inputs.append((online_BND, (), batch.step, present_BN))
        losses: dict[str, Tensor] = {}
        for regularizer in self.regularizers:
            for name, loss in _mean_losses([regularizer(*each) for each in inputs]).items():
                losses[name] = losses[name] + loss if name in losses else loss
        return losses

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the target encoder's weights towards the encoder's; `step` optimiser steps have been taken."""
        self.targets.update()
        if self.target_encoder is None or self.momentum is None:
            return
        torch._foreach_lerp_(
            list(self.target_encoder.parameters()),
            list(self.encoder.parameters()),
            1 - self.momentum(step),
        )

    def train(self, mode: bool = True) -> JEPA:
        """Set training mode; encoders that are not trained stay in evaluation mode and never drop paths."""
        super().train(mode)
        if self.frozen_encoder:
            self.encoder.eval()
        if self.target_encoder is not None:
            self.target_encoder.eval()
        return self


def _check_protection(
    target_encoder: VideoEncoder | None,
    frozen_encoder: bool,
    momentum: Callable[[int], float] | None,
    regularizers: Sequence[nn.Module],
) -> None:
    if frozen_encoder and (target_encoder is not None or regularizers):
        raise ValueError(
            "the encoder is frozen, so it gives the targets itself and cannot collapse: leave the target "
            "encoder and regularizers out"
        )
    if target_encoder is None and momentum is not None:
        raise ValueError("momentum moves a target encoder, and there is none: leave momentum out")
    if target_encoder is None and not frozen_encoder and not regularizers:
        raise ValueError(
            "there is neither a target encoder nor a regularizer, and embeddings would become constant: give "
            "one of the two"
        )
    if target_encoder is not None and any(getattr(term, "predictions", 0) for term in regularizers):
        raise ValueError(
            "a regularizer has a weight for predictions, which follow the target encoder: set it to 0, or "
            "leave out the target encoder"
        )


@torch.no_grad()
def _lag(encoder: VideoEncoder, target_encoder: VideoEncoder) -> Tensor:
    """Return how far the target encoder is from the encoder, in the last block of both."""
    blocks = [
        [local_part(parameter) for parameter in each.transformer.blocks[-1].parameters()]
        for each in (encoder, target_encoder)
    ]
    gap, size = (
        torch.stack(torch._foreach_norm(values)).square().sum()
        for values in (torch._foreach_sub(*blocks), blocks[0])
    )
    return (gap / size).sqrt()


def _on_grid(context_BKD: Tensor, context_BK: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Return context tokens on the grid, ``(B, N, D)``, and whether each is present, ``(B, N)``."""
    clips, _, embed_dim = context_BKD.shape
    index_BKD = context_BK.unsqueeze(-1).expand(-1, -1, embed_dim)
    online_BND = context_BKD.new_zeros(clips, positions, embed_dim).scatter(1, index_BKD, context_BKD)
    present_BN = torch.zeros(clips, positions, dtype=torch.bool, device=context_BK.device)
    return online_BND, present_BN.scatter(1, context_BK, True)


def _mean_losses(losses: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}


def _target_weights(masks: Sequence[TokenMask], positions: int) -> Tensor:
    """Weight of each position in a clip's error, ``(B, N)``: equal for all targets of a mask, 1 in total."""
    weight_BN = torch.zeros(len(masks[0].target_BM), positions, device=masks[0].target_BM.device)
    for mask in masks:
        share_BM = torch.ones_like(mask.target_BM, dtype=weight_BN.dtype)
        weight_BN.scatter_add_(1, mask.target_BM, share_BM / (len(masks) * mask.target_BM.shape[1]))
    return weight_BN
