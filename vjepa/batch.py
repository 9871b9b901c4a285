"""Batches: what the data loader hands to an objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vjepa.choices import Kind


@dataclass(frozen=True)
class TokenMask:
    """Which tokens a network sees and which ones it must predict.

    Attributes:
        context_BK: Int64 indices of the context tokens, in ``[0, N)``.
        target_BM: Int64 indices of the target tokens, in ``[0, N)``.
        mask_token: Index of the predictor's mask token that stands at the targets; each kind of mask has its
            own.
        groups: Number of groups of equal length that the targets consist of, one after the other. Each group
            is predicted from the whole context independently of the others (I-JEPA's target blocks, which may
            overlap).
    """

    context_BK: Tensor
    target_BM: Tensor
    mask_token: int = 0
    groups: int = 1

    @staticmethod
    def from_numpy(context_BK: np.ndarray, target_BM: np.ndarray, mask_token: int, groups: int) -> TokenMask:
        """Make a mask from indices in numpy arrays."""
        return TokenMask(torch.from_numpy(context_BK), torch.from_numpy(target_BM), mask_token, groups)

    def map(self, change: Callable[[Tensor], Tensor]) -> TokenMask:
        """Copy the mask with `change` applied to its tensors."""
        return replace(self, context_BK=change(self.context_BK), target_BM=change(self.target_BM))


@dataclass(frozen=True)
class ViewGroup:
    """Views of equal size of every clip.

    Attributes:
        video_BvTCHW: Uint8 pixels of the views.
        keep_BvK: Int64 indices of the tokens that the encoder sees of each view, in ``[0, N)``. None if it
            sees all of them.
    """

    video_BvTCHW: Tensor
    keep_BvK: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> ViewGroup:
        """Copy the views with `change` applied to their tensors."""
        return ViewGroup(change(self.video_BvTCHW), _if_there(change, self.keep_BvK))


@dataclass(frozen=True)
class Batch:
    """Clips, their masks and their origin.

    Attributes:
        video_BTCHW: Uint8 pixels of the clips.
        masks: One or several masks of every clip; each has its own targets.
        labels_B: Int64 class indices, -1 for a video without a class.
        paths: File of each clip.
        failures: ``(path, cause)`` of every unreadable video that was met while this batch was made.
        damaged: ``(path, damage)`` of every damaged video that was met while this batch was made.
        step: Number of optimiser steps taken before the one that uses this batch.
        noise_BsZ: Standard normal float32 noise, several vectors per clip, for an objective that predicts
            several futures. None for other objectives.
        target_video_BTCHW: Uint8 pixels that the target encoder sees of the clips: the same crops, augmented
            by themselves. None if it sees `video_BTCHW`.
        views: Views of each clip for an objective that embeds several, in groups of equal size: the global
            views, the first of which is `video_BTCHW`, then the local ones. Empty for other objectives.
    """

    video_BTCHW: Tensor
    masks: tuple[TokenMask, ...]
    labels_B: Tensor
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    step: int = 0
    noise_BsZ: Tensor | None = None
    target_video_BTCHW: Tensor | None = None
    views: tuple[ViewGroup, ...] = ()

    @property
    def kind(self) -> Kind:
        """Whether the clips are videos, or images (clips of one frame)."""
        return "images" if self.video_BTCHW.shape[1] == 1 else "videos"

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Copy the batch with `change` applied to all its tensors."""
        return replace(
            self,
            video_BTCHW=change(self.video_BTCHW),
            masks=tuple(mask.map(change) for mask in self.masks),
            labels_B=change(self.labels_B),
            noise_BsZ=_if_there(change, self.noise_BsZ),
            target_video_BTCHW=_if_there(change, self.target_video_BTCHW),
            views=tuple(group.map(change) for group in self.views),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Copy the batch to page-locked memory; torch's data loader calls this."""
        return self.map(Tensor.pin_memory)


@dataclass(frozen=True)
class LabelledBatch:
    """Clips of labelled videos, or their frozen tokens, and the share of each class in them.

    Attributes:
        inputs: Uint8 ``video_BTCHW``, or float ``tokens_BND`` that are already encoded. If the head sees
            several clips of a sample together, there are that many times more clips than samples, and clips
            of a sample are neighbours.
        shares_BX: Float32 share of each class in a sample; each row sums to 1.
        paths: File of each sample.
        failures: ``(path, cause)`` of every unreadable video that was met while this batch was made.
        damaged: ``(path, damage)`` of every damaged video that was met while this batch was made.
    """

    inputs: Tensor
    shares_BX: Tensor
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    def to(self, device: torch.device | str) -> LabelledBatch:
        """Copy the batch to a device."""
        inputs, shares_BX = (tensor.to(device, non_blocking=True) for tensor in (self.inputs, self.shares_BX))
        return replace(self, inputs=inputs, shares_BX=shares_BX)

    def pin_memory(self) -> LabelledBatch:
        """Copy the batch to page-locked memory; torch's data loader calls this."""
        return replace(self, inputs=self.inputs.pin_memory(), shares_BX=self.shares_BX.pin_memory())


@dataclass(frozen=True)
class TrajectoryBatch:
    """Windows of trajectories: frames, the actions between them and, if known, the states.

    Attributes:
        inputs: Uint8 ``video_BTCHW``, or float ``tokens_BTSD`` of frames that are already encoded.
        actions_BIA: Float32 actions; action i leads from frame i to frame i + 1.
        states_BTQ: Float32 states (proprioception) in each frame. None if the data has none.
        paths: File of each window.
        failures: ``(path, cause)`` of every unreadable video that was met while this batch was made.
        damaged: ``(path, damage)`` of every damaged video that was met while this batch was made.
        step: Number of optimiser steps taken before the one that uses this batch.
    """

    inputs: Tensor
    actions_BIA: Tensor
    states_BTQ: Tensor | None
    paths: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    step: int = 0

    def map(self, change: Callable[[Tensor], Tensor]) -> TrajectoryBatch:
        """Copy the batch with `change` applied to all its tensors."""
        return replace(
            self,
            inputs=change(self.inputs),
            actions_BIA=change(self.actions_BIA),
            states_BTQ=_if_there(change, self.states_BTQ),
        )

    def to(self, device: torch.device | str) -> TrajectoryBatch:
        """Copy the batch to a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrajectoryBatch:
        """Copy the batch to page-locked memory; torch's data loader calls this."""
        return self.map(Tensor.pin_memory)


def _if_there(change: Callable[[Tensor], Tensor], tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else change(tensor)
