"""From videos as they are to the clips that a model knows: how many frames, how far apart, of which size.

    model = vjepa.from_pretrained("runs/quickstart")
    clips_BTCHW = model.processor(["first.mp4", "second.mp4"])
    tokens_BND = model.encode(clips_BTCHW)

Shape letters as in `vjepa.tokens`; h, w are the model's height and width.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vjepa.data.clips import TICK, ClipSampling, frame_duration, spread_clips
from vjepa.data.memory import Pixels, clips_in_memory
from vjepa.data.readers.base import VideoReader
from vjepa.data.readers.open import open_video
from vjepa.data.rendered import FOREIGN, is_rendered
from vjepa.data.transforms import clip_transform
from vjepa.layers.pixels import check_layout

_LEAST_RATE = 2 / 3  # of the model's: below, one frame in three or more is a repetition


@dataclass(frozen=True)
class VideoProcessor:
    """The clips that a model knows, and the way there from any video; what ``config["clip"]`` of a model folder holds.

    Clips stay bytes: the model normalises them itself, on its device (`vjepa.layers.pixels.PixelNormalizer`).

    Attributes:
        num_frames: Frames in a clip.
        fps: Frames a second of a clip, by presentation time; None where `stride` counts instead.
        stride: Every stride-th frame by number makes a clip.
        size: Height and width in pixels.
        whole_frame: The model was trained without crops, so all of a frame's middle is taken; else the customary margin
            of evaluations is cut away (`vjepa.data.transforms.eval_transform`).
        channels: Channels of a frame.
        rendered: The model was trained on videos that this library rendered, and on no others.
    """

    num_frames: int
    fps: float | None
    stride: int | None
    size: tuple[int, int]
    whole_frame: bool
    channels: int = 3
    rendered: bool = False

    @staticmethod
    def of_config(config: Mapping[str, Any]) -> VideoProcessor:
        """The processor of a model, from what its folder says of it; ValueError where it does not tell."""
        if "clip" not in config:
            raise ValueError(
                'the model does not say which clips it knows ("clip" in its config.json): give one that '
                "tools/pretrain.py wrote"
            )
        fields: dict[str, Any] = dict(config["clip"])
        return VideoProcessor(
            **{**fields, "size": tuple(fields["size"])},
            channels=len(config["pixels"]["mean"]),
            rendered=config.get("rendered", False),
        )

    def __call__(
        self,
        videos: str | Path | Pixels | Sequence[Any],
        *,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Tensor:
        """The clip in the middle of each video, as the model knows clips: uint8 ``(B, num_frames, C, h, w)``.

        Rate, length, size and crop are the model's. A video shorter than a clip is held at its last frame. A clip that
        has been through here is for the model, and not for a second time: its margin would be cut away again.

        Args:
            videos: a path (as of `vjepa.open_video`) or a list of paths; or frames in memory, as of
                `vjepa.data.memory.clips_in_memory`.
            fps: frames a second of what is in memory; None where they are at the model's rate already.
            start, end: of the part of a file that counts, in seconds; None is all of it.

        Raises:
            ValueError: what was given is no video in any of these forms, or has other channels than the model.
            VideoDecodeError: a file cannot be read.
        """
        paths = paths_of(videos)
        if paths is None:
            assert not isinstance(videos, str | Path)
            if start is not None or end is not None:
                raise ValueError(
                    f"start is {start} and end {end}, which are for files: cut the frames instead"
                )
            return torch.stack([self._from_memory(clip, fps) for clip in self.clips_of(videos)])
        if fps is not None:
            raise ValueError(f"fps is {fps}: it is for frames in memory, files have times of their own")
        return torch.stack([self._from_file(path, start, end) for path in paths])

    def clips_of(self, videos: Pixels | Sequence[Any]) -> list[Tensor]:
        """Videos in memory as bytes, all of their frames at their own size (`vjepa.data.memory.clips_in_memory`)."""
        return clips_in_memory(videos, self.channels)

    def fit(self, video_TCHW: Tensor) -> Tensor:
        """Frames of any size to the model's, uint8 ``(T, C, H, W) -> (T, C, h, w)``; no chance in it."""
        check_layout(video_TCHW, self.channels)
        return self.transform(video_TCHW)

    @property
    def transform(self) -> nn.Module:
        """The resize and crop of `fit`."""
        return clip_transform(self.size, self.whole_frame)

    def period(self, fps: float | None) -> float | None:
        """Seconds from one frame of a clip to the next, of a video of `fps` frames a second; None if unknown."""
        if self.fps is not None:
            return 1 / self.fps
        return None if fps is None else (self.stride or 1) / fps

    def warn_of_rate(self, fps: float | None) -> None:
        """Say that a video has too few frames a second for the model, so that clips are half repetition."""
        if fps is not None and self.fps is not None and fps < _LEAST_RATE * self.fps:
            warnings.warn(
                f"the video has {fps:.3g} frames a second and the model was trained at {self.fps:.3g}: frames are repeated, "
                "a motion that it never saw",
                stacklevel=3,
            )

    def is_foreign(self, path: str) -> bool:
        """Whether a file shows what the model cannot know: it was trained on rendered videos alone, and this is none."""
        return self.rendered and not is_rendered(path)

    def open(self, path: str) -> VideoReader:
        """A file (`vjepa.open_video`) whose frames have the model's channels."""
        return open_video(path, channels=self.channels)

    def frames_of(self, path: str, video: VideoReader, index_T: np.ndarray) -> Tensor:
        """Frames of a file by number, at the model's size; says where the file is not what the model was trained on.

        Warnings: images of another kind, too few frames a second, damage in what was read.
        """
        if self.is_foreign(path):
            warnings.warn(FOREIGN, stacklevel=3)
        self.warn_of_rate(rate_of(video.timestamps))
        frames_TCHW = self.fit(video.get_frames(index_T)).contiguous()
        warn_of_damage(path, video.damage)
        return frames_TCHW

    def _from_file(self, path: str, start: float | None, end: float | None) -> Tensor:
        with self.open(path) as video:
            (index_T,) = spread_clips(video.timestamps, self._sampling, start, end)
            return self.frames_of(path, video, index_T)

    def _from_memory(self, clip_TCHW: Tensor, fps: float | None) -> Tensor:
        if fps is not None and not fps > 0:
            raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
        self.warn_of_rate(fps)
        # At the model's rate, every frame counts.
        sampling = ClipSampling(self.num_frames) if fps is None else self._sampling
        (index_T,) = spread_clips(np.arange(len(clip_TCHW)) / (fps or 1), sampling)
        return self.fit(clip_TCHW[torch.from_numpy(index_T)])

    @property
    def _sampling(self) -> ClipSampling:
        return ClipSampling(self.num_frames, self.fps, self.stride)


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
    clip: VideoProcessor,
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
    with clip.open(path) as video:
        timestamps = video.timestamps
        lasting = frame_duration(timestamps)
        over = float(timestamps[-1]) + lasting
        part = (start or 0.0, over if end is None else min(end, over))
        starts, number_T = _moments(timestamps, clip, part, from_end=last is not None)
        if len(number_T) < (last or 1):
            raise ValueError(
                f"{path} has {len(number_T)} frames at the model's rate from {part[0]:.3f} to {part[1]:.3f} s, and "
                f"{last or 1} are needed: give a longer video or a later end, or a shorter context"
            )
        wanted = slice(-last, None) if last is not None else slice(first)
        frames_TCHW = clip.frames_of(path, video, number_T[wanted])
    period = (clip.stride or 1) * lasting if clip.fps is None else 1 / clip.fps
    return Frames(frames_TCHW, number_T[wanted], starts[wanted], period, path)


def _moments(
    timestamps: np.ndarray, clip: VideoProcessor, part: tuple[float, float], *, from_end: bool
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


def warn_of_damage(path: str, damage: str | None) -> None:
    """Say that a file is damaged, and that what could be read of it is taken all the same."""
    if damage is not None:
        warnings.warn(f"{path} is damaged, and read as far as it goes: {damage}", stacklevel=3)


def paths_of(videos: Any) -> list[str] | None:
    """The paths, where one or a list of them was given; else None."""
    given = videos if isinstance(videos, list | tuple) else [videos]
    if given and all(isinstance(path, str | Path) for path in given):
        return [str(path) for path in given]
    return None


def rate_of(timestamps: np.ndarray) -> float | None:
    """Frames a second, by the time that most frames are shown; None of a single frame."""
    lasting = frame_duration(timestamps) if len(timestamps) > 1 else 0.0
    return 1 / lasting if lasting > 0 else None
