"""Turn videos into a model's input clips: its number of frames, frame rate, size and crop.

    model = vjepa.from_pretrained("runs/quickstart")
    clips_BTCHW = model.processor(["first.mp4", "second.mp4"])
    tokens_BND = model.encode(clips_BTCHW)

Videos are files, or frames in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vjepa.data.clips import TICK, ClipSampling, EmptyRangeError, check_range, frame_duration, spread_clips
from vjepa.data.memory import Pixels, clips_in_memory
from vjepa.data.readers.base import VideoReader
from vjepa.data.readers.open import open_video
from vjepa.data.rendered import FOREIGN, is_rendered
from vjepa.data.transforms import CentreCrop, clip_transform
from vjepa.layers.pixels import check_layout

# Share of the model's frame rate below which a third or more of a clip's frames are repeats.
_LEAST_RATE = 2 / 3


@dataclass(frozen=True)
class VideoProcessor:
    """Samples, resizes and crops any video for one model; stored as ``config["clip"]`` of a model folder.

    Clips stay uint8: the model normalises them itself, on its device (`vjepa.layers.pixels.PixelNormalizer`).

    Attributes:
        num_frames: Number of frames in a clip.
        fps: Frame rate of a clip in frames per second, by presentation time; None where `stride` is used
            instead.
        stride: Step between a clip's frames, in frames of the video; None where `fps` is used.
        size: Height and width of a clip in pixels.
        whole_frame: Whether the largest central region of the frame is used, for a model that was trained
            without crops; else the margin customary in evaluations is cut away
            (`vjepa.data.transforms.eval_transform`).
        channels: Number of channels of a frame.
        rendered: Whether the model was trained only on videos that this library rendered.
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
        """Build the processor from a model's ``config.json``; ValueError if it has no ``clip`` entry."""
        if "clip" not in config:
            raise ValueError(
                'the model does not say which clips it knows ("clip" in its config.json): give one that '
                "vjepa pretrain wrote"
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
        """Take the clip in the middle of each video: uint8 ``(B, num_frames, C, height, width)``.

        Frame rate, length, size and crop are the model's. A video shorter than a clip is padded with its last
        frame. Do not process a clip twice: its margin would be cut away again.

        Args:
            videos: A path or a list of paths, each a video that `vjepa.open_video` opens; or frames in
                memory, in a form that `vjepa.data.memory.clips_in_memory` accepts.
            fps: Frame rate of frames in memory; None if it is the model's already.
            start, end: Time range of a file to use, in seconds; None leaves that side open.

        Raises:
            ValueError: `videos` has none of these forms or not the model's channels, an argument does not
                apply to it, or the range starts before 0 s or has an end that is no finite number.
            VideoDecodeError: A file cannot be read.
            EmptyRangeError: No frame of a file is shown in the range.
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
        """Convert videos in memory to uint8 clips of their own size (`vjepa.data.memory.clips_in_memory`)."""
        return clips_in_memory(videos, self.channels)

    def fit(self, video_TCHW: Tensor) -> Tensor:
        """Resize and crop frames to the model's size: uint8 ``(T, C, H, W)`` to ``(T, C, height, width)``.

        Deterministic.
        """
        check_layout(video_TCHW, self.channels)
        return self.transform(video_TCHW)

    @property
    def transform(self) -> CentreCrop:
        """Resize and crop that `fit` applies."""
        return clip_transform(self.size, self.whole_frame)

    def period(self, fps: float | None) -> float | None:
        """Return the seconds between a clip's frames, for a video at `fps` frames per second.

        None if the model samples by `stride` and `fps` is None.
        """
        if self.fps is not None:
            return 1 / self.fps
        return None if fps is None else (self.stride or 1) / fps

    def warn_of_rate(self, fps: float | None) -> None:
        """Warn if a video's frame rate is so low that many of a clip's frames would be repeats."""
        if fps is not None and self.fps is not None and fps < _LEAST_RATE * self.fps:
            warnings.warn(
                f"the video has {fps:.3g} frames a second and the model was trained at {self.fps:.3g}: "
                "frames are repeated, and such motion was not in its training data",
                stacklevel=3,
            )

    def is_foreign(self, path: str) -> bool:
        """Return whether the model was trained on rendered videos only, and this file is not rendered."""
        return self.rendered and not is_rendered(path)

    def open(self, path: str) -> VideoReader:
        """Open a file with `vjepa.open_video` and the model's number of channels."""
        return open_video(path, channels=self.channels)

    def frames_of(self, path: str, video: VideoReader, index_T: np.ndarray) -> Tensor:
        """Read frames of an open file by number, at the model's size: uint8 ``(T, C, height, width)``.

        Warns if the file is not of the kind that the model was trained on, if its frame rate is too low, or
        if what was read is damaged.
        """
        if self.is_foreign(path):
            warnings.warn(FOREIGN, stacklevel=3)
        self.warn_of_rate(rate_of(video.timestamps))
        frames_TCHW = self.fit(video.get_frames(index_T)).contiguous()
        warn_of_damage(path, video.damage)
        return frames_TCHW

    def _from_file(self, path: str, start: float | None, end: float | None) -> Tensor:
        with self.open(path) as video:
            try:
                (index_T,) = spread_clips(video.timestamps, self._sampling, start, end)
            except EmptyRangeError as error:
                raise EmptyRangeError(f"{path}: {error}") from error
            return self.frames_of(path, video, index_T)

    def _from_memory(self, clip_TCHW: Tensor, fps: float | None) -> Tensor:
        if fps is not None and not fps > 0:
            raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
        self.warn_of_rate(fps)
        # Without fps the frames are at the model's rate already, so none is skipped.
        sampling = ClipSampling(self.num_frames) if fps is None else self._sampling
        (index_T,) = spread_clips(np.arange(len(clip_TCHW)) / (fps or 1), sampling)
        return self.fit(clip_TCHW[torch.from_numpy(index_T)])

    @property
    def _sampling(self) -> ClipSampling:
        return ClipSampling(self.num_frames, self.fps, self.stride)


@dataclass(frozen=True)
class Frames:
    """Frames of one video at a model's frame rate and size.

    Attributes:
        video_TCHW: Frames in uint8, resized and cropped.
        numbers: Number of each frame in the video, int64 ``(T,)``.
        starts: Time of each frame in seconds from the video's first frame, float64 ``(T,)``.
        period: Seconds between frames.
        path: Path of the video.
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
    """Read a time range of a video at a model's frame rate and size; only the returned frames are read.

    Args:
        path: Path of a video that `vjepa.open_video` opens.
        clip: Processor of the model.
        first: Return only the first `first` frames from `start` on; fewer if the range is shorter. None
            returns all.
        last: Return exactly the last `last` frames before `end` instead.
        start, end: Time range in seconds; no frame shown at `end` or later is used. None leaves that side
            open.

    Raises:
        EmptyRangeError: The range is shorter than `last` frames, or empty.
        ValueError: The range starts before 0 s, or an end of it is no finite number.
        VideoDecodeError: The video cannot be read.
    """
    check_range(start, end)
    with clip.open(path) as video:
        timestamps = video.timestamps
        lasting = frame_duration(timestamps)
        over = float(timestamps[-1]) + lasting
        part = (start or 0.0, over if end is None else min(end, over))
        starts, number_T = _moments(timestamps, clip, part, from_end=last is not None)
        if len(number_T) < (last or 1):
            raise EmptyRangeError(
                f"{path} has {len(number_T)} frames at the model's rate from {part[0]:.3f} to {part[1]:.3f} "
                f"s, and {last or 1} are needed: give a longer video or a later end, or a shorter context"
            )
        wanted = slice(-last, None) if last is not None else slice(first)
        frames_TCHW = clip.frames_of(path, video, number_T[wanted])
    period = (clip.stride or 1) * lasting if clip.fps is None else 1 / clip.fps
    return Frames(frames_TCHW, number_T[wanted], starts[wanted], period, path)


def _moments(
    timestamps: np.ndarray, clip: VideoProcessor, part: tuple[float, float], *, from_end: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sampling times in a range of a video at the model's rate, and the frames shown then.

    With `from_end`, the last sampling time is one period before the end of the range; else the first is its
    beginning.
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
    """Warn that a file is damaged and that only its readable frames are used; None means no damage."""
    if damage is not None:
        warnings.warn(f"{path} is damaged, and read as far as it goes: {damage}", stacklevel=3)


def paths_of(videos: Any) -> list[str] | None:
    """Return a list of paths if `videos` is one path or a list of paths, else None."""
    given = videos if isinstance(videos, list | tuple) else [videos]
    if given and all(isinstance(path, str | Path) for path in given):
        return [str(path) for path in given]
    return None


def rate_of(timestamps: np.ndarray) -> float | None:
    """Return the frame rate, by the median time between frames; None for a single frame."""
    lasting = frame_duration(timestamps) if len(timestamps) > 1 else 0.0
    return 1 / lasting if lasting > 0 else None
