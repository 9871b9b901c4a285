"""Object permanence: does a prediction know where a hidden object is?

A ridge regression reads the position of the only object of rendered videos off true embeddings, where the
object is seen. It is then applied to predictions of time steps in which an occluder hides the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.data.manifest import Video
from vjepa.evaluation.future.report import Beginnings, read_beginnings
from vjepa.evaluation.future.skill import Embedded, embed_clips, window_and_last
from vjepa.evaluation.probes.linear import ridge_predictions
from vjepa.evaluation.statistics import Metric, interval
from vjepa.grid import Grid
from vjepa.models.video_model import VideoModel

SEEN, HIDDEN = 0.9, 0.1  # smallest visible share of an object that is seen, and largest of one that is hidden
_SIDE = 4  # rows and columns to which larger token grids are averaged, for the regression
_DRAWS = 1000
_FEWEST = 8  # videos with a hidden time step that an interval needs


@dataclass(frozen=True)
class Permanence:
    """Distance between the true position and the one read off embeddings, in sides of the frame.

    Attributes:
        hidden: Distances of time steps at which the object is hidden: from ``predicted`` embeddings, from the
            ``true`` ones, whose encoder sees the frames around that step, and from copies of the last step
            of the context (``copy``).
        seen: The same where the object is seen.
        videos: Number of videos that were measured.
    """

    hidden: dict[str, Metric]
    seen: dict[str, Metric]
    videos: int


def permanence(model: VideoModel, videos: Sequence[Video], windows: int = 1) -> Permanence:
    """Measure positions that are read off predictions of hidden objects.

    The regression is fitted on every second video and measured on the others.

    Args:
        model: Model with a predictor of embeddings.
        videos: Rendered videos of a single object behind walls, with an occluder, and their factors beside
            them.
        windows: Number of windows of the model, one after the other, that each video is cut into.

    Raises:
        ValueError: The model has no predictor of embeddings, a video has no factors beside it, or objects are
            hidden in too few videos.
    """
    window, _ = window_and_last(model, None)
    length = window.grid.t * model.encoder.tubelet.t
    clips = read_beginnings(model, videos, windows * length)
    frames_VTCHW = clips.video_VTCHW.unflatten(1, (windows, length)).flatten(0, 1)
    embedded = embed_clips(model, frames_VTCHW, window, window.rest)
    place_VF2, visible_VF = (
        values.unflatten(1, (windows, window.grid.t))[:, :, window.context_steps :].flatten(1, 2)
        for values in _factors(clips, model.encoder.tubelet.t)
    )
    train_V = torch.arange(len(place_VF2)) % 2 == 0
    fitted = train_V[:, None] & (visible_VF > SEEN)
    sources = {
        name: features_VFQ.unflatten(0, (-1, windows)).flatten(1, 2)
        for name, features_VFQ in _features(embedded, window.grid).items()
    }
    train = (sources["true"][fitted], place_VF2[fitted])
    distances = {}
    for name, features_VFQ in sources.items():
        read_VF2 = ridge_predictions(train, features_VFQ.flatten(0, 1)).view_as(place_VF2)
        distances[name] = (read_VF2 - place_VF2).norm(dim=-1)[~train_V]
    rest_VF = visible_VF[~train_V]
    return Permanence(
        {name: _mean(distance_VF, rest_VF < HIDDEN) for name, distance_VF in distances.items()},
        {name: _mean(distance_VF, rest_VF > SEEN) for name, distance_VF in distances.items()},
        len(rest_VF),
    )


def _factors(clips: Beginnings, depth: int) -> tuple[Tensor, Tensor]:
    """Return the object's position ``(V, t, 2)`` and visible share ``(V, t)``, averaged over time steps."""
    places, shares = [], []
    for video, numbers_T in zip(clips.videos, clips.numbers_VT, strict=True):
        path = Path(video.path).with_suffix(".npz")
        if not path.exists():
            raise ValueError(f"{path} is not there: only rendered videos have their factors beside them")
        with np.load(path) as factors:
            positions_Tn2, visible_Tn = factors["positions"][numbers_T], factors["visible"][numbers_T]
        if positions_Tn2.shape[1] != 1:
            raise ValueError(f"{video.path} has {positions_Tn2.shape[1]} objects: render videos of one")
        places.append(torch.from_numpy(positions_Tn2[:, 0]))
        shares.append(torch.from_numpy(visible_Tn[:, 0]))
    return tuple(torch.stack(values).unflatten(1, (-1, depth)).mean(dim=2) for values in (places, shares))


def _features(embedded: Embedded, grid: Grid) -> dict[str, Tensor]:
    """Return the features of each source that positions are read from, ``(V, F, Q)``."""
    copied_VFSY = embedded.last_VSY.unsqueeze(1).expand_as(embedded.true_VFSY)
    side = (min(grid.h, _SIDE), min(grid.w, _SIDE))
    found = {}
    sources = {"predicted": embedded.predicted_VFSY, "true": embedded.true_VFSY, "copy": copied_VFSY}
    for name, values_VFSY in sources.items():
        maps_VYhw = values_VFSY.flatten(0, 1).transpose(1, 2).unflatten(2, (grid.h, grid.w))
        found[name] = F.adaptive_avg_pool2d(maps_VYhw, side).flatten(1).unflatten(0, values_VFSY.shape[:2])
    return found


def _mean(distance_VF: Tensor, chosen_VF: Tensor) -> Metric:
    """Mean distance of the chosen time steps, with an interval over videos."""
    total_V = torch.where(chosen_VF, distance_VF, 0).sum(dim=1).numpy()
    count_V = chosen_VF.sum(dim=1).numpy()
    kept = count_V > 0
    if kept.sum() < _FEWEST:
        raise ValueError(
            f"the object is hidden, or seen, at a predicted time step of {kept.sum()} of {len(kept)} videos: "
            f"give more videos, so that there are {_FEWEST} or more"
        )
    total_V, count_V = total_V[kept], count_V[kept]
    draws_bV = np.random.default_rng(0).integers(len(total_V), size=(_DRAWS, len(total_V)))
    return interval(
        total_V.sum() / count_V.sum(), total_V[draws_bV].sum(axis=1) / count_V[draws_bV].sum(axis=1)
    )
