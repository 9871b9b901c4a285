"""Mixup and cutmix of neighbouring samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from vjepa.seeding import seeded

_STREAM = 3001  # Separates this random stream from others with the same seed.


class MixPairs:
    """Mixes each clip with the clip of the same number in the neighbouring sample.

    Samples 2 k and 2 k + 1 of a run are neighbours, and the random draws are a function of (seed, k, clip):
    the result does not depend on how a batch is divided among processes and micro-batches. As samples come in
    random order, neighbours are random pairs. The mixing itself is torchvision's.

    Args:
        num_classes: Number of classes.
        mixup: Alpha of the Beta distribution of mixup's blending weight (arXiv 1710.09412), at least 0; 0
            turns mixup off.
        cutmix: Alpha of the Beta distribution of the share of the frame that cutmix's box covers (arXiv
            1905.04899), at least 0; 0 turns cutmix off. If both are on, each pair gets one of them, with
            equal probability.
        seed: Random seed of the run.

    Raises:
        ValueError: One of them is negative, or both are 0.
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
        """Mix a batch of clips and their labels.

        Args:
            video_BTCHW: Clips in uint8; the `repeats` clips of a sample follow one another.
            labels_B: Class index of each clip, int64 in ``[0, num_classes)``.
            serials: Serial number of each sample in the run, in ascending order and whole pairs.
            repeats: Number of clips of each sample.

        Returns:
            Mixed clips, uint8 of the same shape (blended values are rounded), and the share of each class,
            float32 ``(B, X)``, with rows that sum to one.

        Raises:
            ValueError: The samples are not whole pairs, or one is unlabelled.
        """
        if len(serials) % 2 or any(
            a % 2 or b != a + 1 for a, b in zip(serials[::2], serials[1::2], strict=True)
        ):
            raise ValueError(
                f"samples {list(serials)[:4]} ... are not whole pairs: give an even number of samples to "
                "each micro-batch"
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
            # Blending needs floats. For a `Video`, cutmix uses the same box in all frames.
            video, shares_2X = way(tv_tensors.Video(video_2TCHW.float()), labels_2)
        return video.as_subclass(Tensor).round().to(torch.uint8), shares_2X
