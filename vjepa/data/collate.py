"""Collators: samples to batches, with masks and noise, or with class labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from vjepa.batch import Batch, LabelledBatch, TokenMask, ViewGroup
from vjepa.data.dataset import Sample
from vjepa.data.mixup import MixPairs
from vjepa.grid import Grid, Tubelet
from vjepa.masks.base import Mask
from vjepa.masks.future import FutureMask

# Last numbers of the seeds of a run's random streams; the stream of the samples is in `vjepa.data.dataset`.
_SAMPLE_MASKS, _STEP_MASKS, _FUTURE_STEPS, _SAMPLE_NOISE, _VIEW_TOKENS = 101, 102, 103, 104, 105


class MaskCollator:
    """Stacks clips and draws their masks; runs in the loader's workers.

    A mask is a function of the seed, the sample's serial number, the clip, the mask token index and what all
    clips of a step share. It does not depend on the number of workers, processes or micro-batches.

    Of clips with several views, no tokens are predicted: a mask, if there is one, drops tokens of each view,
    drawn for the view by itself.

    Args:
        masks: Mask generators; each draws one mask for every clip, and its position is the mask token index.
        tubelet: Number of frames, rows and columns of a token.
        seed: Random seed of the run.
        future_share: Share of the steps that draw only the future masks; the other steps draw only the other
            masks. None draws all masks at every step. Steps on images, and on clips of one time step, never
            draw future masks, whatever the share.
        noise: Number of noise vectors per clip and their width, for an objective that predicts several
            futures. The noise is a function of the seed, the sample's serial number and the clip. None draws
            no noise.

    Raises:
        ValueError: `future_share` is given although all masks are future masks, or none is.
    """

    def __init__(
        self,
        masks: Sequence[Mask],
        tubelet: tuple[int, int, int],
        seed: int,
        future_share: float | None = None,
        noise: tuple[int, int] | None = None,
    ) -> None:
        self.masks = tuple(masks)
        self.tubelet = Tubelet(*tubelet)
        self.seed = seed
        self.future_share = future_share
        self.noise = noise
        num_future = sum(isinstance(mask, FutureMask) for mask in self.masks)
        if future_share is not None and num_future in (0, len(self.masks)):
            raise ValueError(
                f"future_share is {future_share} with {num_future} future masks among {len(self.masks)}: "
                "give future masks and others to choose between, or no share"
            )

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        video_BTCHW = torch.cat([sample.video_RTCHW for sample in samples])
        repeats = [len(sample.video_RTCHW) for sample in samples]
        _, frames, _, height, width = video_BTCHW.shape
        grid = self.tubelet.grid_of(frames, height, width)
        step = samples[0].key.step
        return Batch(
            video_BTCHW=video_BTCHW,
            masks=()
            if samples[0].groups
            else tuple(self._draw(number, grid, samples) for number in self._drawn_at(step, grid)),
            labels_B=torch.tensor([sample.label for sample in samples]).repeat_interleave(
                torch.tensor(repeats)
            ),
            paths=tuple(
                sample.path for sample, count in zip(samples, repeats, strict=True) for _ in range(count)
            ),
            failures=tuple(failure for sample in samples for failure in sample.failures),
            damaged=tuple(damage for sample in samples for damage in sample.damaged),
            step=step,
            noise_BsZ=None if self.noise is None else self._draw_noise(samples, self.noise),
            target_video_BTCHW=_joined([sample.target_RTCHW for sample in samples]),
            views=tuple(self._view_group(samples, group) for group in range(len(samples[0].groups))),
        )

    def _drawn_at(self, step: int, grid: Grid) -> list[int]:
        """Return the mask token indices of the masks that a step draws."""
        future = [number for number, mask in enumerate(self.masks) if isinstance(mask, FutureMask)]
        others = [number for number in range(len(self.masks)) if number not in future]
        if grid.t == 1 and others:  # where there are no others, the future mask says what it needs
            return others
        if self.future_share is None:
            return [*range(len(self.masks))]
        chance = np.random.default_rng([self.seed, step, _FUTURE_STEPS]).random()
        return future if chance < self.future_share else others

    def _draw(self, number: int, grid: Grid, samples: Sequence[Sample]) -> TokenMask:
        rngs = [np.random.default_rng([self.seed, *clip, number, _SAMPLE_MASKS]) for clip in _clips(samples)]
        step_rng = np.random.default_rng([self.seed, samples[0].key.step, number, _STEP_MASKS])
        drawn = self.masks[number].sample(grid, rngs, step_rng)
        return TokenMask.from_numpy(drawn.context_BK, drawn.target_BM, number, drawn.groups)

    def _view_group(self, samples: Sequence[Sample], group: int) -> ViewGroup:
        video_BvTCHW = torch.cat([sample.groups[group] for sample in samples])
        if not self.masks:
            return ViewGroup(video_BvTCHW)
        _, views, frames, _, height, width = video_BvTCHW.shape
        rngs = [
            np.random.default_rng([self.seed, *clip, group, view, _VIEW_TOKENS])
            for clip in _clips(samples)
            for view in range(views)
        ]
        (mask,) = self.masks
        step_rng = np.random.default_rng([self.seed, samples[0].key.step, group, _VIEW_TOKENS])
        kept = mask.sample(self.tubelet.grid_of(frames, height, width), rngs, step_rng).context_BK
        return ViewGroup(video_BvTCHW, torch.from_numpy(kept).unflatten(0, (-1, views)))

    def _draw_noise(self, samples: Sequence[Sample], shape: tuple[int, int]) -> torch.Tensor:
        rngs = [np.random.default_rng([self.seed, *clip, _SAMPLE_NOISE]) for clip in _clips(samples)]
        return torch.from_numpy(np.stack([rng.standard_normal(shape, np.float32) for rng in rngs]))


def _joined(views: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Return the views of all samples along the first axis; None if samples have none."""
    there = [view for view in views if view is not None]
    return torch.cat(there) if there else None


def _clips(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Return ``(serial number of the sample, number of the clip in it)`` for every clip."""
    return [(sample.key.serial, clip) for sample in samples for clip in range(len(sample.video_RTCHW))]


class LabelCollator:
    """Stacks the clips of labelled videos with their labels; runs in the loader's workers.

    Args:
        num_classes: Number of classes.
        segments: Number of clips of a video that form one labelled sample and are classified together; a
            video with more clips gives several samples.
        mix: Mixup and cutmix of neighbouring samples; None turns mixing off.

    Raises:
        ValueError: `mix` is given with more than one segment.
    """

    def __init__(self, num_classes: int, segments: int = 1, mix: MixPairs | None = None) -> None:
        if mix is not None and segments != 1:
            raise ValueError(
                f"mixup or cutmix with segments {segments}: clips that are classified together would be "
                "mixed independently; give one segment, or mix nothing"
            )
        self.num_classes = num_classes
        self.segments = segments
        self.mix = mix

    def __call__(self, samples: Sequence[Sample]) -> LabelledBatch:
        repeats = len(samples[0].video_RTCHW) // self.segments
        video_BTCHW = torch.cat([sample.video_RTCHW for sample in samples])
        labels_B = torch.tensor([sample.label for sample in samples for _ in range(repeats)])
        if self.mix is not None:
            serials = [sample.key.serial for sample in samples]
            video_BTCHW, shares_BX = self.mix(video_BTCHW, labels_B, serials, repeats)
        else:
            shares_BX = F.one_hot(labels_B, self.num_classes).float()
        return LabelledBatch(
            inputs=video_BTCHW,
            shares_BX=shares_BX,
            paths=tuple(sample.path for sample in samples for _ in range(repeats)),
            failures=tuple(failure for sample in samples for failure in sample.failures),
            damaged=tuple(damage for sample in samples for damage in sample.damaged),
        )
