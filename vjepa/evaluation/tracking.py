"""Dense tracking without training: labels of the first time step follow similar tokens through a video.

    tracks = track_objects(model, read_manifest("videos/test/manifest.csv"))
    print(tracks["model"].similarity, tracks["standing still"].similarity)

The method is label propagation as DINO evaluates it on DAVIS (facebookresearch/dino at 04c0ad9,
``eval_video_segmentation.py``): each token takes the labels of the most similar tokens of the first and of
the latest time steps in its neighbourhood. The objects are those of rendered videos, whose outlines are
known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import center_crop
from tqdm import tqdm

from vjepa.data.manifest import Video
from vjepa.data.processor import VideoProcessor, read_frames
from vjepa.data.synthetic.render import object_covers
from vjepa.evaluation.statistics import Metric, interval
from vjepa.models.video_model import VideoModel

LATEST = 7  # latest time steps whose labels are used beside the first, as published
NEIGHBOURHOOD = 12  # largest distance in rows and columns of tokens, as published
TOP = 5  # most similar tokens that give their labels, as published
TEMPERATURE = 0.1  # as published
_DRAWS = 1000

Encode = Callable[[Tensor], Tensor]
"""Function from frames ``(1, T, C, H, W)``, uint8, to tokens ``(1, N, D)``."""


@dataclass(frozen=True)
class Tracks:
    """How well objects were tracked, with 95 % intervals over videos.

    Attributes:
        similarity: Region similarity J: intersection over union of the true and the tracked pixels of an
            object, mean over objects, time steps after the first and videos, in [0, 1].
        distance: Distance between the true and the tracked centre of an object, in sides of the frame.
        videos: Number of videos.
    """

    similarity: Metric
    distance: Metric
    videos: int


def propagate_labels(tokens_thwD: Tensor, first_hwX: Tensor) -> Tensor:
    """Propagate labels from the first time step to all others: ``(t, h, w, X)``.

    Args:
        tokens_thwD: Tokens of a video.
        first_hwX: Labels of the first time step, 0 or more, such as shares of a token that objects cover.
    """
    steps, height, width, _ = tokens_thwD.shape
    tokens_tSD = F.normalize(tokens_thwD.flatten(1, 2).float(), dim=-1)
    near_SS = _neighbours(height, width).to(tokens_tSD.device)
    labels = [first_hwX.flatten(0, 1)]
    for step in range(1, steps):
        sources = [0, *range(max(1, step - LATEST), step)]
        similarity = torch.stack([tokens_tSD[step] @ tokens_tSD[source].T for source in sources], dim=1)
        affinity_SQ = ((similarity / TEMPERATURE).exp() * near_SS.unsqueeze(1)).flatten(1)
        lowest = affinity_SQ.topk(min(TOP, affinity_SQ.shape[1]), dim=1).values[:, -1:]
        affinity_SQ = affinity_SQ.masked_fill(affinity_SQ < lowest, 0)
        labels_QX = torch.stack([labels[source] for source in sources]).flatten(0, 1)
        labels.append(affinity_SQ / affinity_SQ.sum(dim=1, keepdim=True) @ labels_QX)
    return torch.stack(labels).unflatten(1, (height, width))


def _neighbours(height: int, width: int) -> Tensor:
    """Return 1 for each pair of places in each other's neighbourhood and 0 for others, ``(S, S)``."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = [(place.flatten()[:, None] - place.flatten()).abs() > NEIGHBOURHOOD for place in (rows, columns)]
    return (~(far[0] | far[1])).float()


@torch.no_grad()
def track_objects(
    model: VideoModel,
    videos: Sequence[Video],
    *,
    rivals: dict[str, Encode] | None = None,
    progress: bool = False,
) -> dict[str, Tracks]:
    """Track the objects of rendered videos by the tokens of a model.

    Args:
        model: Model whose tokens after the last norm are compared.
        videos: Rendered videos with their factors beside them, without an occluder, one or more; of each, the
            first clip of the model's length is tracked.
        rivals: Other encoders of the same token grid by name.
        progress: Show a progress bar.

    Returns:
        Tracks of ``model``, of the rivals, and of ``standing still``: the labels of the first time step.

    Raises:
        ValueError: There are no videos, one has no factors beside it or is shorter than a clip, or the
            model's clips are a single time step.
    """
    encoders: dict[str, Encode | None] = {"model": model.encode, **(rivals or {}), "standing still": None}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    device, clip = next(model.parameters()).device, model.processor
    grid = model.encoder.tubelet.grid_of(clip.num_frames, *clip.size)
    if grid.t < 2:
        raise ValueError(
            f"the model's clips are {grid.t} time step, in which nothing moves: give another model"
        )
    if not videos:
        raise ValueError("there are no videos to track objects in: give 1 or more")
    for video in tqdm(videos, desc="tracking", disable=not progress):
        frames = read_frames(video.path, clip, first=clip.num_frames, start=video.start, end=video.end)
        if len(frames.video_TCHW) < clip.num_frames:
            raise ValueError(
                f"{video.path} has {len(frames.video_TCHW)} frames at the model's rate, and a clip "
                f"{clip.num_frames}: give longer videos"
            )
        true_tXHW = _labels(video, frames.numbers, clip, model.encoder.tubelet.t)
        first_hwX = F.adaptive_avg_pool2d(true_tXHW[0], (grid.h, grid.w)).permute(1, 2, 0)
        pixels = frames.video_TCHW[None].to(device)
        for name, encode in encoders.items():
            if encode is None:
                labels_thwX = first_hwX.expand(grid.t, -1, -1, -1)
            else:
                labels_thwX = propagate_labels(encode(pixels)[0].unflatten(0, grid).cpu(), first_hwX)
            found[name].append(_scores(labels_thwX, true_tXHW))
    return {name: _tracks(np.array(scores)) for name, scores in found.items()}


def _labels(video: Video, numbers_T: np.ndarray, clip: VideoProcessor, depth: int) -> Tensor:
    """Return the shares of each pixel that background and objects cover, ``(t, X, H, W)``, in this order.

    They are cropped as the processor crops the frames.
    """
    source = Path(video.path).with_suffix(".npz")
    if not source.exists():
        raise ValueError(f"{source} is not there: only rendered videos have their factors beside them")
    with np.load(source) as factors:
        part = {name: factors[name][numbers_T] for name in ("positions", "sizes", "shapes")}
    whole_TnHW = torch.from_numpy(object_covers(**part, size=max(clip.transform.covered)))
    covers_TnHW = center_crop(whole_TnHW, list(clip.size))
    covers_tnHW = covers_TnHW.unflatten(0, (-1, depth)).mean(dim=1)
    return torch.cat([1 - covers_tnHW.sum(dim=1, keepdim=True), covers_tnHW], dim=1)


def _scores(labels_thwX: Tensor, true_tXHW: Tensor) -> tuple[float, float]:
    """Return region similarity and distance of centres, mean over objects and time steps after the first."""
    tracked_tXHW = F.interpolate(
        labels_thwX.permute(0, 3, 1, 2), size=true_tXHW.shape[-2:], mode="bilinear", align_corners=False
    )
    classes = [each[1:].argmax(dim=1) for each in (tracked_tXHW, true_tXHW)]
    similarities, distances = [], []
    for thing in range(1, true_tXHW.shape[1]):
        tracked, true = (each == thing for each in classes)
        seen = true.flatten(1).any(dim=1)
        both, either = (
            op(tracked, true).flatten(1).sum(dim=1) for op in (torch.logical_and, torch.logical_or)
        )
        similarities.append((both / either.clamp_min(1))[seen])
        gap = _centres(tracked_tXHW[1:, thing]) - _centres(true_tXHW[1:, thing])
        distances.append(gap.norm(dim=1)[seen])
    return torch.cat(similarities).mean().item(), torch.cat(distances).mean().item()


def _centres(share_tHW: Tensor) -> Tensor:
    """Return the centre of mass at each time step in sides of the frame, ``(t, 2)``."""
    _, height, width = share_tHW.shape
    mass_t = share_tHW.sum(dim=(1, 2)).clamp_min(1e-8)
    y = (share_tHW.sum(dim=2) @ (torch.arange(height) + 0.5)) / mass_t / height
    x = (share_tHW.sum(dim=1) @ (torch.arange(width) + 0.5)) / mass_t / width
    return torch.stack([x, y], dim=1)


def _tracks(scores_Vm: np.ndarray) -> Tracks:
    draws_bV = np.random.default_rng(0).integers(len(scores_Vm), size=(_DRAWS, len(scores_Vm)))
    similarity, distance = (
        interval(column_V.mean(), column_V[draws_bV].mean(axis=1)) for column_V in scores_Vm.T
    )
    return Tracks(similarity, distance, len(scores_Vm))
