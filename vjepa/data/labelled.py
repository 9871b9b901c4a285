"""Samples of labelled videos to batches. Shape letters as in `vjepa.tokens`; S samples, X classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from vjepa.batch import LabelledBatch
from vjepa.data.dataset import Sample
from vjepa.data.mixup import MixPairs


class LabelCollator:
    """Stacks the clips of labelled videos; runs in the loader's workers.

    Args:
        num_classes: X.
        segments: clips that one label counts for; a video's further clips are further samples of it.
        mix: blends neighbours, or None.
    """

    def __init__(self, num_classes: int, segments: int = 1, mix: MixPairs | None = None) -> None:
        if mix is not None and segments != 1:
            raise ValueError(
                f"mixup or cutmix with segments {segments}: clips that are seen together would be mixed by themselves; "
                "give one segment, or mix nothing"
            )
        self.num_classes = num_classes
        self.segments = segments
        self.mix = mix

    def __call__(self, samples: Sequence[Sample]) -> LabelledBatch:
        repeats = len(samples[0].video_RTCHW) // self.segments
        video_BTCHW = torch.cat([sample.video_RTCHW for sample in samples])
        labels_S = torch.tensor([sample.label for sample in samples for _ in range(repeats)])
        if self.mix is not None:
            serials = [sample.key.serial for sample in samples]
            video_BTCHW, shares_SX = self.mix(video_BTCHW, labels_S, serials, repeats)
        else:
            shares_SX = F.one_hot(labels_S, self.num_classes).float()
        return LabelledBatch(
            inputs=video_BTCHW,
            shares_SX=shares_SX,
            paths=tuple(sample.path for sample in samples for _ in range(repeats)),
            failures=tuple(failure for sample in samples for failure in sample.failures),
            damaged=tuple(damage for sample in samples for damage in sample.damaged),
        )
