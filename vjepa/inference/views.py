"""Class probabilities of a video, averaged over several views of it."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from vjepa.models.classifier import Classifier
from vjepa.models.head_grid import TokenClassifier
from vjepa.tokens import join_clips


@torch.no_grad()
def view_probabilities(
    network: Classifier | TokenClassifier, views: Tensor, *, segments: int = 1, crops: int = 1
) -> Tensor:
    """Return class probabilities averaged over the views of each video: ``(B, X)``, or ``(G, B, X)``.

    The second shape is that of several heads at once (`HeadGrid`).

    Args:
        network: Classifier in evaluation mode.
        views: Views ``(B, R, T, C, H, W)``, uint8 or floats, or their tokens ``(B, R, N, D)``. R counts
            clips times crops; the crops of a clip are neighbours.
        segments: Number of clips, of the same crop, whose tokens the head sees together. R is a multiple of
            ``segments * crops``.
        crops: Number of crops of each clip.
    """
    videos = len(views)
    together = rearrange(views, "b (g s c) ... -> (b g c s) ...", s=segments, c=crops)
    logits = network.head(join_clips(network.features(together), segments))
    probabilities = logits.float().softmax(dim=-1)
    return probabilities.unflatten(-2, (videos, -1)).mean(dim=-2)
