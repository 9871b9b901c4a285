"""Mixup and cutmix of neighbours. Shape letters as in `vjepa.tokens`; R clips of a sample, X classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from vjepa.seeding import seeded

_STREAM = 3001  # separates this chance from other streams made of the same seed


class MixPairs:
    """Mixes every clip with the clip of the same number of the neighbouring sample.

    Samples 2 k and 2 k + 1 of a run are neighbours, and what is drawn is a function of (seed, k, clip): however a batch is
    cut among processes and accumulated parts, the same clips come out. The order of samples being a random one,
    neighbours are as good as any other pairs. The mixing itself is torchvision's.

    Args:
        num_classes: X.
        mixup: alpha of the Beta distribution of shares by which two clips are blended (arXiv 1710.09412); 0 for never.
        cutmix: the same for the share of a box of one in the other (arXiv 1905.04899); 0 for never. Where both are
            given, each pair gets one of them, each half of the time.
        seed: of the run.
    """

    def __init__(self, num_classes: int, *, mixup: float, cutmix: float, seed: int) -> None:
        if mixup < 0 or cutmix < 0 or mixup + cutmix == 0:
            raise ValueError(f"mixup is {mixup} and cutmix {cutmix}: give 0 or more, and one of them above 0")
        self.num_classes = num_classes
        self.seed = seed
        self.ways: list[v2.Transform] = []
        if mixup:
            self.ways.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
        if cutmix:
            self.ways.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))

    def __call__(
        self, video_BTCHW: Tensor, labels_B: Tensor, serials: Sequence[int], repeats: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Mixed clips and their classes.

        Args:
            video_BTCHW: uint8, R clips of each sample, one after the other.
            labels_B: int64, from 0 to X - 1.
            serials: number of each sample in the run, ascending and whole pairs.
            repeats: R.

        Returns:
            uint8 of the same shape (blended values are rounded), and float32 shares ``(B, X)`` that sum to one.
        """
        if len(serials) % 2 or any(
            a % 2 or b != a + 1 for a, b in zip(serials[::2], serials[1::2], strict=True)
        ):
            raise ValueError(
                f"samples {list(serials)[:4]} ... are not whole pairs: give an even number of samples to each part of a batch"
            )
        if int(labels_B.min()) < 0:
            raise ValueError("a sample without a label cannot be mixed: give labels to all, or mix nothing")
        shares_BX = F.one_hot(labels_B, self.num_classes).float()
        mixed_BTCHW = torch.empty_like(video_BTCHW)
        for pair in range(len(serials) // 2):
            for clip in range(repeats):
                rows = [2 * pair * repeats + clip, (2 * pair + 1) * repeats + clip]
                video, shares = self._mix(video_BTCHW[rows], labels_B[rows], (serials[2 * pair] // 2, clip))
                mixed_BTCHW[rows], shares_BX[rows] = video, shares
        return mixed_BTCHW, shares_BX

    def _mix(self, video_2TCHW: Tensor, labels_2: Tensor, place: tuple[int, int]) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, *place, _STREAM]))
        way = self.ways[int(rng.integers(len(self.ways)))]
        with seeded(int(rng.integers(2**63))):
            # Blending needs floats; as a `Video`, a box is the same in all frames.
            video, shares_2X = way(tv_tensors.Video(video_2TCHW.float()), labels_2)
        return video.as_subclass(Tensor).round().to(torch.uint8), shares_2X
