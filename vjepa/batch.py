"""What travels from the data to an objective.

Shape letters as in `vjepa.tokens`; R samples of a clip, Z numbers of a noise vector, X classes, S samples of labelled videos;
of trajectories, X actions (one less than frames), A numbers of an action, Q numbers of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vjepa.choices import Kind


@dataclass(frozen=True)
class TokenMask:
    """Which tokens a network sees and which it must predict.

    Attributes:
        context_BK: int64 indices of the tokens that are seen.
        target_BM: int64 indices of those to predict.
        mask_token: Index of the predictor's mask token that stands at the targets; each kind of mask has its own.
        groups: the targets are so many groups of equal length, one after the other; each is predicted from the
            whole context as if the others were not there (I-JEPA's target blocks, which may overlap).
    """

    context_BK: Tensor
    target_BM: Tensor
    mask_token: int = 0
    groups: int = 1

    @staticmethod
    def from_numpy(context_BK: np.ndarray, target_BM: np.ndarray, mask_token: int, groups: int) -> TokenMask:
        """The mask of indices that were drawn with numpy."""
        return TokenMask(torch.from_numpy(context_BK), torch.from_numpy(target_BM), mask_token, groups)

    def map(self, change: Callable[[Tensor], Tensor]) -> TokenMask:
        """The same mask with `change` applied to its tensors."""
        return replace(self, context_BK=change(self.context_BK), target_BM=change(self.target_BM))


@dataclass(frozen=True)
class Batch:
    """Clips, their masks and where they come from.

    Attributes:
        video_BTCHW: uint8 pixels.
        masks: one or several masks of every clip; each predicts its own targets.
        labels_B: int64 class indices, -1 where a video has none.
        paths: file of each clip.
        failures: ``(path, cause)`` of every video that could not be read while this batch was made.
        damaged: ``(path, damage)`` of every video that was found damaged while this batch was made.
        step: number of optimiser steps taken before the one that this batch is for.
        noise_BsZ: standard normal float32, several vectors a clip, for an objective that predicts several futures.
    """

    video_BTCHW: Tensor
    masks: tuple[TokenMask, ...]
    labels_B: Tensor
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    step: int = 0
    noise_BsZ: Tensor | None = None

    @property
    def kind(self) -> Kind:
        """Clips of one frame are images."""
        return "images" if self.video_BTCHW.shape[1] == 1 else "videos"

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with `change` applied to all its tensors."""
        return replace(
            self,
            video_BTCHW=change(self.video_BTCHW),
            masks=tuple(mask.map(change) for mask in self.masks),
            labels_B=change(self.labels_B),
            noise_BsZ=None if self.noise_BsZ is None else change(self.noise_BsZ),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Page-locked copy, for the data loader."""
        return self.map(Tensor.pin_memory)


@dataclass(frozen=True)
class LabelledBatch:
    """Clips of labelled videos, or their frozen tokens, and what is to be seen in them.

    Attributes:
        inputs: uint8 ``video_BTCHW``, or float ``tokens_BND`` that were encoded before; the B / S clips that a head
            sees together are neighbours.
        shares_BX: float32, how much of each class is in a sample; rows sum to one.
        paths: file of each sample.
        failures: ``(path, cause)`` of every video that could not be read while this batch was made.
        damaged: ``(path, damage)`` of every video that was found damaged while this batch was made.
    """

    inputs: Tensor
    shares_BX: Tensor
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    def to(self, device: torch.device | str) -> LabelledBatch:
        """The same batch with its tensors on a device."""
        inputs, shares_BX = (tensor.to(device, non_blocking=True) for tensor in (self.inputs, self.shares_BX))
        return replace(self, inputs=inputs, shares_BX=shares_BX)

    def pin_memory(self) -> LabelledBatch:
        """Page-locked copy, for the data loader."""
        return replace(self, inputs=self.inputs.pin_memory(), shares_BX=self.shares_BX.pin_memory())


@dataclass(frozen=True)
class TrajectoryBatch:
    """Frames, what was done between them and, where it is known, how things stood.

    Attributes:
        inputs: uint8 ``video_BTCHW``, or ``tokens_BTSD`` of frames that were encoded before.
        actions_BIA: float32; action t leads from frame t to frame t + 1.
        states_BTQ: float32 (proprioception); None where there are none.
        paths: file of each sample.
        failures: ``(path, cause)`` of every video that could not be read while this batch was made.
        damaged: ``(path, damage)`` of every video that was found damaged while this batch was made.
        step: number of optimiser steps taken before the one that this batch is for.
    """

    inputs: Tensor
    actions_BIA: Tensor
    states_BTQ: Tensor | None
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    step: int = 0

    def map(self, change: Callable[[Tensor], Tensor]) -> TrajectoryBatch:
        """The same batch with `change` applied to all its tensors."""
        return replace(
            self,
            inputs=change(self.inputs),
            actions_BIA=change(self.actions_BIA),
            states_BTQ=None if self.states_BTQ is None else change(self.states_BTQ),
        )

    def to(self, device: torch.device | str) -> TrajectoryBatch:
        """The same batch with its tensors on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrajectoryBatch:
        """Page-locked copy, for the data loader."""
        return self.map(Tensor.pin_memory)
