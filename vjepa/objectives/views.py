"""Embed several views of each clip alike: LeJEPA (arXiv 2511.08544) and LeVJEPA (arXiv 2608.27395).

Neither tokens nor pixels are predicted, so that there is no predictor, no target encoder and no mask token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vjepa.batch import Batch, ViewGroup
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.objectives.batch_metric import BatchMetric, ratio
from vjepa.objectives.regularizers import Projector, SIGReg


class Views(nn.Module):
    """Draws the embedding of each view towards the mean of the clip's global views; SIGReg prevents collapse.

    A view's embedding is its class token, if the encoder has one, else the mean of its tokens; a projector
    maps it to where distances are taken. Gradients flow through all views. The loss is that of LeVJEPA
    (`main.py` of MLO-lab/LeVJEPA at 04967f8) and, with several global views, that of LeJEPA in
    `methods/lejepa.py` of rbalestr-lab/stable-pretraining at 9aa93f8. SIGReg tests each view over the batch,
    as LeVJEPA does; LeJEPA tests all views together.

    Args:
        encoder: Encoder to train; it sees each view by itself.
        projector: Network from embeddings to what the loss compares, trained too. None compares the
            embeddings themselves.
        normalizer: Module that turns uint8 frames into the encoder's pixels.
        regularizer: SIGReg on the projected embeddings, without a projector of its own. Its places are the
            views.
    """

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        projector: Projector | None,
        normalizer: PixelNormalizer,
        regularizer: SIGReg,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.normalizer = normalizer
        self.regularizer = regularizer

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Compute the loss, and the metrics that show whether the model learns.

        Returns:
            ``loss``: The sum of the next two.
            ``invariance``: Mean squared difference between a view's projected embedding and the mean of those
                of the clip's global views, over views and dimensions.
            ``sigreg``: The weighted SIGReg statistic.
            ``relative_error``: The invariance divided by the mean squared difference between a clip's mean of
                its global views and that of the whole batch. At 1 a view tells no more of its clip than the
                mean of all clips does.
            ``target_BD``, ``context_BD``: Embeddings before the projector, averaged over the global views and
                over all views of a clip.

        Raises:
            ValueError: The batch has no views.
        """
        if not batch.views:
            raise ValueError(
                "the batch has no views of its clips: give it groups of views (vjepa.data.views.MultiView)"
            )
        embedding_BvD = torch.cat([self._embed(group) for group in batch.views], dim=1)
        projected_BvD = embedding_BvD if self.projector is None else self.projector(embedding_BvD)
        num_global = batch.views[0].video_BvTCHW.shape[1]
        centre_B1D = projected_BvD[:, :num_global].mean(dim=1, keepdim=True)
        invariance = (projected_BvD - centre_B1D).square().mean()
        (sigreg,) = self.regularizer(projected_BvD, (), batch.step).values()
        return {
            "loss": invariance + sigreg,
            "invariance": invariance,
            "sigreg": sigreg,
            "relative_error": _relative_error(invariance, centre_B1D),
            "target_BD": embedding_BvD[:, :num_global].detach().mean(dim=1),
            "context_BD": embedding_BvD.detach().mean(dim=1),
        }

    def _embed(self, group: ViewGroup) -> Tensor:
        """Embed the views of a group: ``(B, v, D)``."""
        views = group.video_BvTCHW.shape[1]
        keep_BK = None if group.keep_BvK is None else group.keep_BvK.flatten(0, 1)
        video_BCTHW = self.normalizer(group.video_BvTCHW.flatten(0, 1))
        tokens_BND = self.encoder(video_BCTHW, keep_BK, class_token=True)
        pooled_BD = tokens_BND.mean(dim=1) if self.encoder.class_token is None else tokens_BND[:, 0]
        return pooled_BD.float().unflatten(0, (-1, views))

    def after_step(self, step: int) -> None:
        """Do nothing: this objective has no target encoder."""


def _relative_error(invariance: Tensor, centre_B1D: Tensor) -> BatchMetric:
    centre_B1D = centre_B1D.detach()
    return BatchMetric(
        centre_B1D.mean(dim=0), lambda mean_1D: ratio(invariance, (centre_B1D - mean_1D).square().mean())
    )
