"""Several views of a video, one answer. Shape letters as in `vjepa.tokens`; R views of a video, G heads, X classes."""

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
    """Class probabilities, averaged over the views of each video: ``(B, X)``, or ``(G, B, X)`` of several heads.

    Args:
        network: in evaluation mode.
        views: uint8 ``(B, R, T, C, H, W)``, or tokens that were encoded before, ``(B, R, N, D)``; the crops of a clip
            are neighbours.
        segments: clips, of the same crop, that the head sees together; R is a multiple of ``segments * crops``.
        crops: of each clip.
    """
    videos = len(views)
    together = rearrange(views, "b (g s c) ... -> (b g c s) ...", s=segments, c=crops)
    logits = network.head(join_clips(network.features(together), segments))
    probabilities = logits.float().softmax(dim=-1)
    return probabilities.unflatten(-2, (videos, -1)).mean(dim=-2)
