"""The clips that a model knows: how many frames, how far apart, of which size. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vjepa.data.clips import TICK
from vjepa.data.readers.open import open_video
from vjepa.data.transforms import clip_transform
from vjepa.models.world import WorldModel


@dataclass(frozen=True)
class ClipFormat:
    """What ``config["clip"]`` of a model folder holds.

    Attributes:
        num_frames: of a clip.
        fps: frames a second of a clip, by presentation time; None with `stride`.
        stride: every stride-th frame by number.
        size: height and width in pixels.
        whole_frame: the frame was never cropped; else its middle is taken, with the customary margin.
    """

    num_frames: int
    fps: float | None
    stride: int | None
    size: tuple[int, int]
    whole_frame: bool

    @staticmethod
    def of(world: WorldModel) -> ClipFormat:
        """The format of a model's clips; ValueError where its configuration does not tell."""
        return ClipFormat.of_config(world.config)

    @staticmethod
    def of_config(config: Mapping[str, Any]) -> ClipFormat:
        """The same, of what a model folder says of itself."""
        if "clip" not in config:
            raise ValueError(
                'the model does not say which clips it knows ("clip" in its config.json): give one that '
                "tools/pretrain.py wrote"
            )
        fields: dict[str, Any] = dict(config["clip"])
        return ClipFormat(**{**fields, "size": tuple(fields["size"])})

    @property
    def transform(self) -> nn.Module:
        """Frames of any size to those that the model knows, uint8; no chance in it."""
        return clip_transform(self.size, self.whole_frame)

    def period(self, fps: float | None) -> float | None:
        """Seconds from one frame of a clip to the next, of a video of `fps` frames a second; None if unknown."""
        if self.fps is not None:
            return 1 / self.fps
        return None if fps is None else (self.stride or 1) / fps


@dataclass(frozen=True)
class Frames:
    """Frames of one video at the rate that a model knows.

    Attributes:
        video_TCHW: uint8, transformed.
        numbers: of each in the video, int64 ``(T,)``.
        starts: seconds at which each is shown, from the video's first frame.
        period: seconds that each lasts.
        path: where they are from.
    """

    video_TCHW: Tensor
    numbers: np.ndarray
    starts: np.ndarray
    period: float
    path: str


def read_frames(
    path: str,
    clip: ClipFormat,
    *,
    first: int | None = None,
    last: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Frames:
    """Frames of a part of a video at a model's rate.

    Args:
        path: as of `vjepa.open_video`.
        first: only so many, from `start` on; fewer where the part is shorter.
        last: or so many before `end`; ValueError where the part is shorter. No others than wanted are decoded.
        start, end: of the part, in seconds; nothing that is shown from `end` on is looked at. None is all of it.

    Raises:
        ValueError: the part is shorter than `last` frames, or empty.
        VideoDecodeError: the video cannot be read.
    """
    with open_video(path) as video:
        timestamps = video.timestamps
        lasting = float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 1 / 25
        over = float(timestamps[-1]) + lasting
        part = (start or 0.0, over if end is None else min(end, over))
        starts, number_T = _moments(timestamps, clip, part, from_end=last is not None)
        if len(number_T) < (last or 1):
            raise ValueError(
                f"{path} has {len(number_T)} frames at the model's rate from {part[0]:.3f} to {part[1]:.3f} s, and "
                f"{last or 1} are needed: give a longer video or a later end, or a shorter context"
            )
        wanted = slice(-last, None) if last is not None else slice(first)
        frames_TCHW = clip.transform(video.get_frames(number_T[wanted]))
    period = (clip.stride or 1) * lasting if clip.fps is None else 1 / clip.fps
    return Frames(frames_TCHW.contiguous(), number_T[wanted], starts[wanted], period, path)


def _moments(
    timestamps: np.ndarray, clip: ClipFormat, part: tuple[float, float], *, from_end: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Moments at the model's rate within a part of a video, and the numbers of the frames that are shown then.

    Counted from the end, the last moment is one period before the part's end; else the first is its beginning.
    """
    begin, close = part
    if clip.fps is not None:
        period = 1 / clip.fps
        count = max(int(np.floor((close - begin) / period + TICK)), 0)
        starts = np.arange(count) * period + (close - count * period if from_end else begin)
        number_T = np.searchsorted(timestamps, starts + TICK, side="right") - 1
        return starts, number_T.clip(0)
    stride = clip.stride or 1
    first, shown = (int(np.searchsorted(timestamps, moment - TICK, side="left")) for moment in part)
    if from_end and shown > first:
        first += (shown - 1 - first) % stride
    number_T = np.arange(first, shown, stride)
    return timestamps[number_T], number_T


def as_bytes(frames: Tensor | np.ndarray | Sequence[Any]) -> Tensor:
    """Frames in memory as uint8 ``(B, T, C, H, W)``.

    Args:
        frames: ``(C, H, W)``, ``(T, C, H, W)`` or ``(B, T, C, H, W)`` with C = 3, uint8 in [0, 255] or floats in [0, 1].
    """
    video = torch.as_tensor(np.asarray(frames) if not isinstance(frames, Tensor) else frames)
    if not 3 <= video.ndim <= 5 or video.shape[-3] != 3:
        raise ValueError(
            f"frames have shape {tuple(video.shape)}: give (T, 3, H, W), (B, T, 3, H, W) or one frame (3, H, W); "
            "embeddings cannot be observed, and channels that come last are moved by frames.permute"
        )
    if video.is_floating_point():
        if not bool(((video >= 0) & (video <= 1)).all()):
            raise ValueError(
                f"float frames go from {video.min().item():.3g} to {video.max().item():.3g}: give values in [0, 1], or uint8"
            )
        video = (255 * video).round().to(torch.uint8)
    if video.dtype != torch.uint8:
        raise ValueError(f"frames are {video.dtype}: give uint8 in [0, 255], or floats in [0, 1]")
    while video.ndim < 5:
        video = video.unsqueeze(0)
    return video
