"""Violation of expectation: how far what happens is from what was predicted.

    result = surprise(model, "clip.mp4")
    result.curve, result.map_Thw

As published (arXiv 2502.11831): a window of the model's length slides over the video; the predictor says, from the first
time steps of the window alone, what the others will be; the error is held against the embeddings of the whole window.
The published code zeroes the predictions of its pixel model; a masked auto-encoder's are real here.

Shape letters as in `vjepa.tokens`; X windows, A context lengths, S tokens of a time step, Y the width of what is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.data.memory import Pixels
from vjepa.data.processor import read_frames
from vjepa.inference.forecast import Window, encode_context, predict_rest, window_of
from vjepa.layers.pixel_targets import pixel_targets
from vjepa.models.video_model import VideoModel
from vjepa.tokens import patchify

BATCH = 32  # windows at once


@dataclass(frozen=True)
class Surprise:
    """Errors of prediction all over a video.

    Attributes:
        error_AXthw: mean absolute error at every place of every window, float32; NaN where the context was.
        context_steps: time steps of each context length.
        seconds: at which each time step of the video begins, ``(T,)``; None of frames without a rate.
        encoder: network that encoded the contexts.
        mask_token: placeholder at the targets.
        normalisation: of what errors are between: ``layer_norm`` or ``none`` of embeddings; ``tubelet``, ``patch`` or
            ``raw`` of pixels.
    """

    error_AXthw: Tensor
    context_steps: tuple[int, ...]
    seconds: np.ndarray | None
    encoder: str
    mask_token: int
    normalisation: str

    @property
    def losses_AX(self) -> Tensor:
        """The published metric: mean error over all that was predicted in a window."""
        return self.error_AXthw.flatten(2).nanmean(dim=2)

    @property
    def filtered_X(self) -> Tensor:
        """Smallest of the context lengths in each window: what is hard for want of context is no surprise."""
        return self.losses_AX.amin(dim=0)

    @property
    def map_Thw(self) -> Tensor:
        """Surprise at every time step and place of the video: error of the step when it is the next to come.

        Smallest of the context lengths from which it could be predicted so; NaN for the first steps, which have no
        context, and as many as the window's rest at the end, that no window puts next.
        """
        steps, windows = self.error_AXthw.shape[2], self.error_AXthw.shape[1]
        map_Thw = torch.full((windows + steps - 1, *self.error_AXthw.shape[3:]), torch.inf)
        for row, context in enumerate(self.context_steps):
            when = slice(context, context + windows)
            map_Thw[when] = torch.minimum(map_Thw[when], self.error_AXthw[row, :, context])
        return map_Thw.masked_fill(map_Thw.isinf(), torch.nan)

    @property
    def curve(self) -> Tensor:
        """Mean of the map over places, ``(T,)``."""
        return self.map_Thw.flatten(1).mean(dim=1)


@torch.no_grad()
def surprise(
    model: VideoModel,
    video: Pixels | Sequence[Any] | str | Path,
    *,
    context_steps: Sequence[int] | None = None,
    mask_token: int | None = None,
) -> Surprise:
    """How surprising a video is, at every time step and place.

    Args:
        model: a model with a predictor of embeddings or a decoder of pixels.
        video: path, or frames at the model's rate: ``(T, C, H, W)``, uint8 in [0, 255] or floats in [0, 1], or a list of
            single frames or PIL images.
        context_steps: context lengths in time steps; None for all, from 1 to one less than a window.
        mask_token: placeholder at the targets; None for that of the model's future masks.

    Raises:
        ValueError: the video is shorter than a window, or the model has nothing that predicts.
    """
    seconds = None
    if not isinstance(video, str | Path):
        clips = model.processor.clips_of(video)
        if len(clips) != 1:
            raise ValueError(f"{len(clips)} videos were given: surprise takes one at a time")
        video_TCHW = model.processor.fit(clips[0])
    else:
        frames = read_frames(str(video), model.processor)
        video_TCHW = frames.video_TCHW
        depth = model.encoder.tubelet.t
        seconds = frames.starts[: len(frames.starts) // depth * depth : depth]
    height, width = video_TCHW.shape[-2:]
    window = window_of(model, height, width, mask_token=mask_token)
    contexts = tuple(range(1, window.grid.t) if context_steps is None else context_steps)
    windows_XTCHW = sliding_windows(video_TCHW, window.grid.t, model.encoder.tubelet.t)
    asked = [replace_context(window, context) for context in contexts]
    parts = [
        window_errors(model, part, asked)
        for part in windows_XTCHW.to(next(model.parameters()).device).split(BATCH)
    ]
    return Surprise(
        error_AXthw=torch.cat(parts, dim=1).cpu(),
        context_steps=contexts,
        seconds=seconds,
        encoder=model.config["which"],
        mask_token=window.mask_token,
        normalisation=_normalisation(model),
    )


def replace_context(window: Window, context_steps: int) -> Window:
    """The same window with another context; ValueError where nothing would be left to predict."""
    if not 1 <= context_steps < window.grid.t:
        raise ValueError(
            f"context_steps has {context_steps}: a window has {window.grid.t} time steps, so give 1 to {window.grid.t - 1}"
        )
    return Window(window.grid, context_steps, window.mask_token)


def sliding_windows(video_TCHW: Tensor, steps: int, depth: int) -> Tensor:
    """All windows of so many time steps, each one time step after the last: ``(X, steps * depth, C, H, W)``."""
    frames = steps * depth
    if len(video_TCHW) < frames:
        raise ValueError(
            f"the video has {len(video_TCHW)} frames at the model's rate and a window {frames}: give a longer video"
        )
    return video_TCHW.unfold(0, frames, depth).permute(0, 4, 1, 2, 3)


def window_errors(model: VideoModel, video_BTCHW: Tensor, asked: Sequence[Window]) -> Tensor:
    """Mean absolute error of every place after each context, ``(A, B, t, h, w)``; NaN in the context.

    Args:
        video_BTCHW: uint8 windows; the networks that predict see the context's frames alone.
        asked: the same window with each of the contexts.
    """
    true_BNX = _true_values(model, video_BTCHW)
    errors = []
    for window in asked:
        first = window.context_steps * window.plane
        predicted_BMX = _predicted_values(
            model, video_BTCHW[:, : window.context_steps * model.encoder.tubelet.t], window
        )
        error_BM = (predicted_BMX - true_BNX[:, first:]).abs().mean(dim=-1)
        errors.append(F.pad(error_BM, (first, 0), value=torch.nan).unflatten(1, window.grid))
    return torch.stack(errors)


def _true_values(model: VideoModel, video_BTCHW: Tensor) -> Tensor:
    """Target embeddings or pixels of all tokens of windows."""
    if model.predictor is not None:
        return model.embed_targets(video_BTCHW)
    normalizer = model.normalizer
    tubelets_BNP = patchify(video_BTCHW.transpose(1, 2), model.encoder.tubelet)
    return pixel_targets(tubelets_BNP, model.config["pixel_targets"], normalizer.mean, normalizer.std)


def _predicted_values(model: VideoModel, context_BTCHW: Tensor, window: Window) -> Tensor:
    """The same of what follows a context, from its frames alone."""
    if model.predictor is not None:
        return predict_rest(model.predictor, encode_context(model, context_BTCHW), window)
    assert model.decoder is not None
    context_BKD = model.encoder(model.normalizer(context_BTCHW), class_token=True)
    return predict_rest(model.decoder, context_BKD, window)


def _normalisation(model: VideoModel) -> str:
    kind: str = (
        model.config["future"]["normalisation"]
        if model.predictor is not None
        else model.config["pixel_targets"]
    )
    return kind
