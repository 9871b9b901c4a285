"""Datasets of clips: a manifest row is opened, sampled, decoded and cropped; equal keys give equal bits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vjepa.data.cache import CacheDirError, VideoCache
from vjepa.data.clips import ClipSampling, EmptyRangeError, sample_clips, spread_clips
from vjepa.data.manifest import Video, class_names
from vjepa.data.readers.base import VideoReader
from vjepa.data.readers.border import cause_of, is_machines_fault
from vjepa.data.readers.open import check_reader, open_video
from vjepa.data.sampling import SampleKey
from vjepa.data.video_table import ChainedVideos, label_codes
from vjepa.data.views import ClipViews
from vjepa.seeding import seeded

Damaged = Literal["keep", "skip"]
MAX_ATTEMPTS = 10
_STREAM = 2001  # Separates the random stream of samples from other streams with the same seed.


class NothingReadableError(ValueError):
    """None of the videos that were tried can be read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Clips of one video.

    Attributes:
        video_RTCHW: Clips or views, uint8 in [0, 255], RGB for 3 channels; stored channels-last.
        label: Class index, -1 if the row is unlabelled.
        path: Path of the video that was read.
        key: Key that the sample was requested with.
        failures: ``(path, cause)`` of each unreadable video that was tried before this one.
        damaged: ``(path, damage)`` of each video, tried or used, that was found damaged while it was read.
        target_RTCHW: What the target encoder sees of the same clips. None if that is `video_RTCHW`, too.
        groups: Views of the same clips in groups of equal size, ``(R, v, T, C, H, W)`` each (`ClipViews`).
    """

    video_RTCHW: Tensor
    label: int
    path: str
    key: SampleKey
    failures: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...] = ()
    target_RTCHW: Tensor | None = None
    groups: tuple[Tensor, ...] = ()


class ClipDataset(Dataset[Sample]):
    """Clips of videos, indexed by `SampleKey` or by row; the same key gives the same bits in any process.

    All randomness of a sample (start of clips, crops, flips, replacements) is derived from
    ``(seed, serial)``; global generators keep their state. An unreadable video is replaced by another row,
    drawn from the same stream, and the failure is recorded in the sample for the trainer to count. After 10
    unreadable rows for one key, `NothingReadableError` is raised.

    Args:
        videos: Rows of one or several manifests.
        sampling: Length, frame rate and number of the clips of a video.
        transform: Maps a uint8 clip ``(T, C, H, W)`` to ``(T, C, height, width)``, the same size for all
            videos; to several crops ``(R, T, C, height, width)``, which then count as clips; or to
            `ClipViews`. It may draw from torch's global generator.
        seed: Random seed of the run.
        reader: Name of the video reader, see `open_video`.
        cache: Cache of decoded videos; None decodes each time.
        classes: Labels in the order of their class indices; None takes `class_names` of the videos. Give
            those of the training set for any other split.
        spread: Whether clips are evenly spaced over the video, for evaluation, instead of randomly placed.
        fps: Frame rate in frames per second of videos that are folders or arrays.
        damaged: ``keep`` uses the readable frames of a damaged video; ``skip`` treats it as unreadable. Only
            damage in what was read is known (`VideoReader.damage`).
        channels: Number of pixel channels; only arrays may have another number than 3.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sampling: ClipSampling,
        transform: Callable[[Tensor], Tensor | ClipViews],
        seed: int,
        reader: str = "auto",
        cache: VideoCache | None = None,
        classes: Sequence[str] | None = None,
        spread: bool = False,
        fps: float = 25.0,
        damaged: Damaged = "keep",
        channels: int = 3,
    ) -> None:
        check_reader(reader)
        if damaged not in get_args(Damaged):
            raise ValueError(f"damaged is '{damaged}': choose one of {', '.join(get_args(Damaged))}")
        self.videos = videos
        self.sampling = sampling
        self.transform = transform
        self.seed = seed
        self.reader = reader
        self.cache = cache
        self.spread = spread
        self.fps = fps
        self.damaged = damaged
        self.channels = channels
        self.classes = list(class_names(videos) if classes is None else classes)
        self._labels = _label_numbers(self.videos, self.classes)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.videos)

    @property
    def start_method(self) -> str | None:
        """How worker processes must be started: CUDA cannot be used in a forked one. None: in any way."""
        return "spawn" if self.reader == "torchcodec_cuda" else None

    def __getitem__(self, key: SampleKey | int) -> Sample:
        if not isinstance(key, SampleKey):  # a row number, as in a list; negative ones count from the end
            row = range(len(self.videos))[operator.index(key)]
            key = SampleKey(serial=row, index=row, step=0)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, key.serial, _STREAM]))
        failures: list[tuple[str, str]] = []
        damaged: list[tuple[str, str]] = []
        row = key.index
        while True:
            video = self.videos[row]
            try:
                clips_RTCHW, damage = self._read(video, rng)
            except CacheDirError:
                raise  # the cache folder's fault, not the video's
            except Exception as error:  # only this video is read here, and damage can raise any exception
                if is_machines_fault(error):
                    raise
                failures.append(
                    (video.path, str(error) if isinstance(error, EmptyRangeError) else cause_of(error))
                )
            else:
                if damage is not None:
                    damaged.append((video.path, damage))
                if damage is None or self.damaged == "keep":
                    break
                failures.append((video.path, f"it is damaged, and data.damaged is skip: {damage}"))
            row = self._replacement(row, rng, failures)
        return Sample(
            label=int(self._labels[row]),
            path=video.path,
            key=key,
            failures=tuple(failures),
            damaged=tuple(damaged),
            **self._transformed(clips_RTCHW, rng),
        )

    def _replacement(self, row: int, rng: np.random.Generator, failures: list[tuple[str, str]]) -> int:
        """Draw another row; `NothingReadableError` after 10 failures, or as many as there are rows."""
        if len(failures) == min(MAX_ATTEMPTS, len(self.videos)):
            if len(self.videos) == 1:
                raise NothingReadableError("{} cannot be read: {}".format(*failures[0]))
            listed = "\n  ".join(f"{path}: {cause}" for path, cause in dict(failures).items())
            raise NothingReadableError(
                f"none of {len(failures)} tries gave a video that can be read; vjepa validate LIST "
                f"looks at all of them. Tried were:\n  {listed}"
            )
        return (row + 1 + int(rng.integers(len(self.videos) - 1))) % len(self.videos)

    def _read(self, video: Video, rng: np.random.Generator) -> tuple[list[Tensor], str | None]:
        """Decode the clips of a video; return them, uint8 ``(T, C, H, W)`` each, and the damage found."""
        with self._open(video.path) as reader:
            if self.spread:
                index_RT = spread_clips(reader.timestamps, self.sampling, video.start, video.end)
            else:
                index_RT = sample_clips(reader.timestamps, self.sampling, rng, video.start, video.end)
            frames = reader.get_frames(index_RT.reshape(-1))
            return list(frames.split(self.sampling.num_frames)), reader.damage

    def _open(self, path: str) -> VideoReader:
        if self.cache is None:
            return open_video(path, self.reader, self.fps, self.channels)
        return self.cache.open(path, self.reader, self.fps, self.channels)

    def _transformed(self, clips_RTCHW: list[Tensor], rng: np.random.Generator) -> dict[str, Any]:
        """Transform each clip separately, with torch's global generator temporarily seeded from `rng`.

        Returns:
            The fields of a `Sample` that hold pixels.
        """
        with seeded(int(rng.integers(2**63))):
            transformed = [self.transform(clip) for clip in clips_RTCHW]
        views = [one if isinstance(one, ClipViews) else ClipViews(one) for one in transformed]
        crops = [view.video_TCHW for view in views]
        targets = [view.target_TCHW for view in views if view.target_TCHW is not None]
        return {
            "video_RTCHW": _stacked(
                [crop for clip in crops for crop in (clip if clip.ndim == 5 else (clip,))]
            ),
            "target_RTCHW": _stacked(targets) if targets else None,
            "groups": tuple(_stacked(group) for group in zip(*(view.groups for view in views), strict=True)),
        }


def _stacked(views: Sequence[Tensor]) -> Tensor:
    """Stack pixels ``(..., C, H, W)`` along a new first axis, channels-last.

    Stacking copies; a crop would send the storage of the whole frames through the worker's pipe.
    """
    return torch.stack([view.movedim(-3, -1) for view in views]).movedim(-1, -3)


def _label_numbers(videos: Sequence[Video], classes: Sequence[str]) -> NDArray[np.int32]:
    """Return the class index of each video, -1 for an unlabelled one."""
    if isinstance(videos, ChainedVideos):
        parts = [_label_numbers(part, classes) for part in videos.parts]
        return np.concatenate([np.zeros(0, np.int32), *parts])
    numbers = {name: number for number, name in enumerate(classes)}
    labels_V, names = label_codes(videos)
    unknown = [number for number, name in enumerate(names) if name not in numbers]
    if unknown:
        row = int((labels_V == unknown[0]).argmax())
        raise ValueError(
            f"{videos[row].path} has the label '{names[unknown[0]]}', which is none of the {len(classes)} "
            f"classes ({', '.join(list(classes)[:10])}): correct the manifest or give all classes"
        )
    return np.array([*(numbers[name] for name in names), -1], dtype=np.int32)[labels_V]


class MixedDataset(Dataset[Sample]):
    """Rows of videos followed by rows of images; clips of images have one frame.

    A batch must not mix the two: in `vjepa.data.sampling.StepBatches`, each step is of one kind.

    Args:
        videos: Dataset of the videos.
        images: Dataset of the images, with ``num_frames`` 1.
    """

    def __init__(self, videos: ClipDataset, images: ClipDataset) -> None:
        if images.sampling.num_frames != 1:
            raise ValueError(f"clips of images have {images.sampling.num_frames} frames: give 1")
        self.videos = videos
        self.images = images

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.videos) + len(self.images)

    @property
    def start_method(self) -> str | None:
        """How worker processes must be started, see `ClipDataset.start_method`."""
        return self.videos.start_method

    def __getitem__(self, key: SampleKey) -> Sample:
        if key.index < len(self.videos):
            return self.videos[key]
        return self.images[key._replace(index=key.index - len(self.videos))]
