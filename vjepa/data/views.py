"""Views of a clip: what each network sees of it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class ClipViews(NamedTuple):
    """Views of one clip, uint8.

    Attributes:
        video_TCHW: What the encoder sees.
        target_TCHW: What the target encoder sees. None if that is `video_TCHW`, too.
    """

    video_TCHW: Tensor
    target_TCHW: Tensor | None = None


class SeparateTarget(nn.Module):
    """Crops a clip once and augments the crop twice: for the encoder and for the target encoder (MIM-JEPA).

    The crop is the same because a token's embedding is predicted from its position: at each position, both
    networks must see the same part of the scene. Only pixel values may differ. Source: arXiv 2502.18056, and
    `src/data/transforms.py` of inescopresearch/scott at 8b6c6f9 (``type: diff``).

    Args:
        crop: Module from a uint8 clip ``(T, C, H, W)`` to ``(T, C, height, width)``.
        photometric: Module that changes pixel values at random but moves none, such as
            `vjepa.data.augment.colour_jitter`.
    """

    def __init__(self, crop: nn.Module, photometric: nn.Module) -> None:
        super().__init__()
        self.crop = crop
        self.photometric = photometric

    def forward(self, video_TCHW: Tensor) -> ClipViews:
        """Crop and augment a clip, with draws from torch's global generator."""
        cropped_TCHW = self.crop(video_TCHW)
        return ClipViews(self.photometric(cropped_TCHW), self.photometric(cropped_TCHW))
