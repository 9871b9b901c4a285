"""Views of a clip: what each network sees of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class ClipViews(NamedTuple):
    """Views of one clip, uint8.

    Attributes:
        video_TCHW: What the encoder sees.
        target_TCHW: What the target encoder sees. None if that is `video_TCHW`, too.
        groups: Views in groups of equal size, ``(v, T, C, H, W)`` each: the global views, the first of which
            is `video_TCHW`, then the local ones. Empty if the clip is seen once.
    """

    video_TCHW: Tensor
    target_TCHW: Tensor | None = None
    groups: tuple[Tensor, ...] = ()


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


class MultiView(nn.Module):
    """Cuts global views, which show most of a clip, and local views, which are smaller and shorter.

    Every view is drawn by itself, from torch's global generator. Sources: LeJEPA (README.md of
    rbalestr-lab/lejepa at eddffdd) and LeVJEPA (``VJEPAMultiCropTransform`` in `data/loader.py` of
    MLO-lab/LeVJEPA at 481a99b), whose local views last as long as the global ones.

    Args:
        whole: Transform of a global view, from a uint8 clip ``(T, C, H, W)`` to ``(T, C, height, width)``.
        part: Transform of a local view, of another size.
        num_global: Number of global views of a clip, 1 or more.
        num_local: Number of local views of a clip, 0 or more.
        local_frames: Number of consecutive frames of a local view, at a random place of the clip. None takes
            all frames, as does a clip that has no more.
    """

    def __init__(
        self,
        whole: Callable[[Tensor], Tensor],
        part: Callable[[Tensor], Tensor],
        *,
        num_global: int,
        num_local: int,
        local_frames: int | None = None,
    ) -> None:
        super().__init__()
        self.whole = whole
        self.part = part
        self.num_global = num_global
        self.num_local = num_local
        self.local_frames = local_frames

    def forward(self, video_TCHW: Tensor) -> ClipViews:
        """Cut the views of a clip."""
        groups = [torch.stack([self.whole(video_TCHW) for _ in range(self.num_global)])]
        if self.num_local:
            parts = [self.part(self._shorter(video_TCHW)) for _ in range(self.num_local)]
            groups.append(torch.stack(parts))
        return ClipViews(groups[0][0], groups=tuple(groups))

    def _shorter(self, video_TCHW: Tensor) -> Tensor:
        frames = len(video_TCHW)
        if self.local_frames is None or self.local_frames >= frames:
            return video_TCHW
        start = int(torch.randint(frames - self.local_frames + 1, ()))
        return video_TCHW[start : start + self.local_frames]
