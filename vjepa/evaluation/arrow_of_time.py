"""The arrow of time: is a video that runs backwards more surprising than the same video forwards?

The question is that of YoCausal's forward and reversed pairs; here any videos are reversed.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from tqdm import tqdm

from vjepa.evaluation.violations.accuracy import MatchedLosses, SurpriseReport, measure_surprise
from vjepa.inference.surprise import surprise_of_frames
from vjepa.models.video_model import VideoModel

KIND = "reversed"


def arrow_of_time(
    model: VideoModel, videos: Sequence[Tensor], groups: Sequence[str] | None = None, progress: bool = False
) -> SurpriseReport:
    """Measure how often a video is less surprising forwards than backwards; chance is .5.

    Args:
        model: Model that predicts embeddings or pixels.
        videos: Frames of each video at the model's rate and size, uint8 ``(T, C, H, W)``, a window or more.
            Frames beyond a whole number of time steps are left out, so that both directions have the same
            time steps.
        groups: Source of each video; intervals draw whole sources. None takes every video as its own.
        progress: Show a progress bar.

    Returns:
        Accuracies of the single kind ``reversed``.
    """
    depth = model.encoder.tubelet.t
    names = list(map(str, range(len(videos)))) if groups is None else groups
    pairs: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    contexts: tuple[int, ...] = ()
    for name, video_TCHW in zip(tqdm(names, desc="arrow of time", disable=not progress), videos, strict=True):
        whole_TCHW = video_TCHW[: len(video_TCHW) // depth * depth]
        sides = pairs.setdefault(name, ([], []))
        for side, frames_TCHW in zip(sides, (whole_TCHW, whole_TCHW.flip(0)), strict=True):
            found = surprise_of_frames(model, frames_TCHW)
            side.append(found.losses_cV)
            contexts = tuple(context * depth for context in found.context_steps)
    sets = [MatchedLosses(KIND, forwards, backwards) for forwards, backwards in pairs.values()]
    return measure_surprise(sets, contexts, model.config["future"]["context_steps"] * depth)
