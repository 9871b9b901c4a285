"""Supervised classification of videos."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import LabelledBatch
from vjepa.models.classifier import Classifier
from vjepa.models.head_grid import TokenClassifier
from vjepa.objectives.batch_metric import BatchMetric
from vjepa.tokens import join_clips


class Classification(nn.Module):
    """Cross-entropy loss of an encoder with a head, of a head alone, or of several heads at once.

    Args:
        network: Network to train; its `features` gives tokens and its `head` gives logits. Modules that must
            not be trained have `requires_grad` False and stay in evaluation mode.
        segments: Number of clips of a sample that the head sees together.
        smoothing: Label smoothing, in [0, 1).
        average: Decay of a running average of the weights, per step. None keeps no average. In the first
            steps the decay is ``(1 + step) / (10 + step)`` where that is smaller, so that the random initial
            weights fade soon.
    """

    def __init__(
        self,
        network: Classifier | TokenClassifier,
        *,
        segments: int = 1,
        smoothing: float = 0.0,
        average: float | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.segments = segments
        self.smoothing = smoothing
        self.decay = average
        self.average = copy.deepcopy(network).requires_grad_(False) if average is not None else None

    @property
    def result(self) -> Classifier | TokenClassifier:
        """The network to use after training: the averaged weights if there are any, else the trained ones."""
        return self.network if self.average is None else self.average

    def forward(self, batch: LabelledBatch) -> dict[str, Any]:
        """Compute the loss and the accuracy.

        Returns:
            ``loss``: Cross-entropy summed over the heads, which share no parameters.
            ``accuracy``: Accuracy of the head that is best on the whole batch, in [0, 1]. A mixed clip counts
                as correct if the predicted class is the one with the largest share in it.
            ``loss_of_a_head``: Mean cross-entropy over the heads; only with several heads.
        """
        tokens_BND = join_clips(self.network.features(batch.inputs), self.segments)
        logits_GBX = self.network.head(tokens_BND)
        logits_GBX = logits_GBX if logits_GBX.ndim == 3 else logits_GBX.unsqueeze(0)
        losses = [self._loss(logits_BX.float(), batch.shares_BX) for logits_BX in logits_GBX]
        right_GB = logits_GBX.detach().argmax(dim=-1) == batch.shares_BX.argmax(dim=-1)
        loss_G = torch.stack(losses)
        outputs = {"loss": loss_G.sum(), "accuracy": BatchMetric(right_GB.float().mean(dim=1), torch.max)}
        return outputs if len(losses) == 1 else {**outputs, "loss_of_a_head": loss_G.mean()}

    def _loss(self, logits_BX: Tensor, shares_BX: Tensor) -> Tensor:
        return F.cross_entropy(logits_BX, shares_BX, label_smoothing=self.smoothing)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Update the running average of the weights; `step` optimiser steps have been taken."""
        if self.average is None or self.decay is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        moving = [pair for pair in pairs if pair[1].requires_grad]
        torch._foreach_lerp_([mean for mean, _ in moving], [new for _, new in moving], 1 - decay)

    def train(self, mode: bool = True) -> Classification:
        """Set training mode; modules that are not trained stay in evaluation mode and never drop paths."""
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        for part in self.network.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self
