"""What travels from the data to an objective. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenMask:
    """Which tokens a network sees and which it must predict: int64 ``(B, K)`` and ``(B, M)``."""

    context_BK: Tensor
    target_BM: Tensor


@dataclass(frozen=True)
class Batch:
    """Clips, their masks and where they come from.

    Attributes:
        video_BTCHW: uint8 pixels.
        masks: one or several masks of every clip; each predicts its own targets.
        labels_B: int64 class indices, -1 where a video has none.
        paths: file of each clip.
        failures: ``(path, cause)`` of every video that could not be read while this batch was made.
    """

    video_BTCHW: Tensor
    masks: tuple[TokenMask, ...]
    labels_B: Tensor
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on a device."""
        return replace(
            self,
            video_BTCHW=self.video_BTCHW.to(device, non_blocking=True),
            masks=tuple(
                TokenMask(
                    mask.context_BK.to(device, non_blocking=True),
                    mask.target_BM.to(device, non_blocking=True),
                )
                for mask in self.masks
            ),
            labels_B=self.labels_B.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """Page-locked copy, for the data loader."""
        return replace(
            self,
            video_BTCHW=self.video_BTCHW.pin_memory(),
            masks=tuple(TokenMask(m.context_BK.pin_memory(), m.target_BM.pin_memory()) for m in self.masks),
            labels_B=self.labels_B.pin_memory(),
        )
