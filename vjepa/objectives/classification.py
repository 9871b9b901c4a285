"""Which class a video shows. Shape letters as in `vjepa.tokens`; S samples, X classes, G heads."""

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
    """Cross-entropy of an encoder with a head, of a head alone, or of several heads at once.

    Args:
        network: gives tokens by `features` and logits by `head`. What of it must not learn has `requires_grad` False,
            and works as in evaluation.
        segments: clips of a sample that the head sees together.
        smoothing: of labels, in [0, 1).
        average: decay of a running average of the weights, or None. Its first steps decay faster, as
            ``(1 + step) / (10 + step)``, or the random start would stay in it for long.
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
        """The network to use when the training is over: the average, where there is one."""
        return self.network if self.average is None else self.average

    def forward(self, batch: LabelledBatch) -> dict[str, Any]:
        """``loss``, summed over the heads, which share nothing; ``accuracy``, that of the head that is best in the whole batch;
        of several heads also ``loss_of_a_head``, the mean over the heads.

        A mixed clip counts as right where the class that it has most of is named.
        """
        tokens_SND = join_clips(self.network.features(batch.inputs), self.segments)
        logits_GSX = self.network.head(tokens_SND)
        logits_GSX = logits_GSX if logits_GSX.ndim == 3 else logits_GSX.unsqueeze(0)
        losses = [self._loss(logits_SX.float(), batch.shares_BX) for logits_SX in logits_GSX]
        right_GS = logits_GSX.detach().argmax(dim=-1) == batch.shares_BX.argmax(dim=-1)
        loss_G = torch.stack(losses)
        outputs = {"loss": loss_G.sum(), "accuracy": BatchMetric(right_GS.float().mean(dim=1), torch.max)}
        return outputs if len(losses) == 1 else {**outputs, "loss_of_a_head": loss_G.mean()}

    def _loss(self, logits_SX: Tensor, shares_BX: Tensor) -> Tensor:
        return F.cross_entropy(logits_SX, shares_BX, label_smoothing=self.smoothing)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the average of the weights; `step` optimiser steps have been taken."""
        if self.average is None or self.decay is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        moving = [pair for pair in pairs if pair[1].requires_grad]
        torch._foreach_lerp_([mean for mean, _ in moving], [new for _, new in moving], 1 - decay)

    def train(self, mode: bool = True) -> Classification:
        """Training mode; what does not learn never drops paths."""
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        for part in self.network.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self
