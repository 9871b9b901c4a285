"""Frozen features of labelled videos. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vjepa.data.cache import open_cached
from vjepa.data.clips import ClipSampling, spread_clips
from vjepa.data.manifest import Video, class_names
from vjepa.data.readers import open_video


@dataclass(frozen=True)
class LabelledClips(Dataset[tuple[Tensor, int]]):
    """One clip from the middle of each video, the same at every call, with its class.

    An unreadable video is an error here: a figure over other videos than asked would be another figure.
    """

    videos: Sequence[Video]
    classes: Sequence[str]
    sampling: ClipSampling
    transform: Callable[[Tensor], Tensor]
    reader: str = "auto"
    cache_dir: str | None = None
    cache_short_side: int = 256

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        video = self.videos[index]
        if video.label is None:
            raise ValueError(f"{video.path} has no label: a probe needs a manifest with labels")
        if self.cache_dir is None:
            opened = open_video(video.path, self.reader)
        else:
            opened = open_cached(video.path, self.reader, self.cache_short_side, self.cache_dir)
        with opened as frames:
            (indices,) = spread_clips(frames.timestamps, self.sampling, 1, video.start, video.end)
            clip_TCHW = frames.get_frames(indices)
        return self.transform(clip_TCHW), self.classes.index(video.label)


def probe_classes(train: Sequence[Video], test: Sequence[Video]) -> list[str]:
    """The classes that both parts have; ValueError where a file is in both, or classes differ."""
    shared = {video.path for video in train} & {video.path for video in test}
    if shared:
        raise ValueError(f"{len(shared)} videos are in both probe.train and probe.test, e.g. {min(shared)}")
    classes, tested = class_names(train), class_names(test)
    if not set(tested) <= set(classes):
        raise ValueError(f"probe.test has classes that probe.train lacks: {sorted(set(tested) - set(classes))}")
    return classes


@torch.no_grad()
def extract_features(
    encode: Callable[[Tensor], Tensor],
    clips: LabelledClips,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
) -> tuple[Tensor, Tensor]:
    """Features ``(videos, D)`` and classes ``(videos,)``, on the CPU.

    Args:
        encode: uint8 ``(B, T, C, H, W)`` to one vector a clip, ``(B, D)``.
    """
    loader = DataLoader(clips, batch_size=batch_size, num_workers=workers, generator=torch.Generator())
    features, labels = [], []
    for video_BTCHW, label_B in loader:
        features.append(encode(video_BTCHW.to(device)).float().cpu())
        labels.append(label_B)
    return torch.cat(features), torch.cat(labels)
