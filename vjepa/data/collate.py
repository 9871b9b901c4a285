"""Samples to batches, masks included. Shape letters as in `vjepa.tokens`; R clips come from one decoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vjepa.batch import Batch, TokenMask
from vjepa.data.dataset import Sample
from vjepa.masks.base import Mask
from vjepa.tokens import Tubelet

# Random streams of a run, told apart by their last number; the clips' own are in `vjepa.data.dataset`.
_SAMPLE_MASKS, _STEP_MASKS = 101, 102


class MaskCollator:
    """Stacks clips and draws their masks; runs in the loader's workers.

    A mask is a function of (seed, serial number of the sample, clip, number of the mask) and of what its
    step shares: the same for any number of workers, processes and accumulated parts.
    """

    def __init__(self, masks: Sequence[Mask], tubelet: tuple[int, int, int], seed: int) -> None:
        self.masks = tuple(masks)
        self.tubelet = Tubelet(*tubelet)
        self.seed = seed

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        video_BTCHW = torch.cat([sample.video_RTCHW for sample in samples])
        clips = [(sample.key.serial, clip) for sample in samples for clip in range(len(sample.video_RTCHW))]
        repeats = [len(sample.video_RTCHW) for sample in samples]
        _, frames, _, height, width = video_BTCHW.shape
        grid = self.tubelet.grid_of(frames, height, width)
        step = samples[0].key.step
        masks = []
        for number, mask in enumerate(self.masks):
            rngs = [np.random.default_rng([self.seed, *clip, number, _SAMPLE_MASKS]) for clip in clips]
            step_rng = np.random.default_rng([self.seed, step, number, _STEP_MASKS])
            drawn = mask.sample(grid, rngs, step_rng)
            masks.append(TokenMask(torch.from_numpy(drawn.context_BK), torch.from_numpy(drawn.target_BM)))
        return Batch(
            video_BTCHW=video_BTCHW,
            masks=tuple(masks),
            labels_B=torch.tensor([sample.label for sample in samples]).repeat_interleave(
                torch.tensor(repeats)
            ),
            paths=tuple(
                sample.path for sample, count in zip(samples, repeats, strict=True) for _ in range(count)
            ),
            failures=tuple(failure for sample in samples for failure in sample.failures),
        )
