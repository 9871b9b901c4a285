"""Surprise: the error of predictions against what came.

    result = surprise(model, "clip.mp4")
    result.curve, result.map_thw
    calibrate_surprise(model, "ordinary_videos.csv").save("runs/mine")
    surprise(from_pretrained("runs/mine"), "clip.mp4").judged.p_t

As published (arXiv 2502.11831), a window of the model's clip length slides over the video. The predictor sees
the first time steps of the window alone and predicts the others; the error is measured against the embeddings
of the whole window. The published code replaces the predictions of its pixel model by zeros; here a masked
auto-encoder predicts the pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vjepa.data.clips import EmptyRangeError
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.memory import Pixels
from vjepa.data.processor import read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.foreign_text import one_line
from vjepa.inference.forecast import Window, encode_context, predict_each_step, predict_rest, window_of
from vjepa.inference.normal_surprise import FILE, Judged, NormalSurprise
from vjepa.layers.pixel_targets import pixel_targets
from vjepa.models.video_model import VideoModel
from vjepa.tokens import patchify

BATCH = 32  # Number of windows that are predicted at once.


@dataclass(frozen=True)
class Surprise:
    """Prediction errors over a video.

    Attributes:
        error_cVthw: Mean absolute error at each token of each window, for each context length, float32; NaN
            at the tokens of the context. Of models that were trained to predict each time step from those
            before it, only the time step after the context has errors, and all others are NaN.
        context_steps: Context lengths in time steps.
        seconds: Time in seconds at which each time step of the video begins, ``(t,)``. None for frames from
            memory, which have no times.
        encoder: Network that encoded the contexts: ``target_encoder`` or ``encoder``.
        mask_token: Index of the mask token at the targets.
        normalisation: Normalisation of the compared values: ``layer_norm`` or ``none`` for embeddings;
            ``tubelet``, ``patch`` or ``raw`` for pixels.
        normal: What surprise is normal for the model; None if that was never calibrated.
    """

    error_cVthw: Tensor
    context_steps: tuple[int, ...]
    seconds: np.ndarray | None
    encoder: str
    mask_token: int
    normalisation: str
    normal: NormalSurprise | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Settings on which errors depend, as text."""
        return {
            "encoder": self.encoder,
            "mask_token": str(self.mask_token),
            "normalisation": self.normalisation,
            "context_steps": str(list(self.context_steps)),
        }

    @property
    def judged(self) -> Judged:
        """The video judged by what is normal: scores and p-values of places, time steps and the whole.

        Raises:
            ValueError: The surprise of the model was never calibrated, or with other settings.
        """
        if self.normal is None:
            raise ValueError(
                "nothing is known of what surprise is normal for the model: measure it on ordinary videos "
                "by calibrate_surprise(model, videos)"
            )
        seconds_t = None if self.seconds is None else self.seconds.tolist()
        return self.normal.judge(self.error_cVthw, self.settings, seconds_t)

    @property
    def losses_cV(self) -> Tensor:
        """Mean error over all targets of each window, for each context length: the published metric."""
        return self.error_cVthw.flatten(2).nanmean(dim=2)

    @property
    def filtered_V(self) -> Tensor:
        """Smallest loss of each window over the context lengths.

        The minimum discards errors that come from too short a context. Of models that predict the next time
        step alone, it is over different time steps, and says less.
        """
        return self.losses_cV.amin(dim=0)

    @property
    def map_thw(self) -> Tensor:
        """Surprise at every time step and place of the video: error one time step after the context.

        It is that of the longest context which a time step has. It is NaN for the first time steps, which
        have no context, and for the last ones, which directly follow no window's context.
        """
        steps, windows = self.error_cVthw.shape[2], self.error_cVthw.shape[1]
        map_thw = torch.full((windows + steps - 1, *self.error_cVthw.shape[3:]), torch.nan)
        for row, context in sorted(enumerate(self.context_steps), key=lambda place: place[1]):
            map_thw[context : context + windows] = self.error_cVthw[row, :, context]
        return map_thw

    @property
    def curve(self) -> Tensor:
        """Surprise at every time step of the video, ``(t,)``: the mean of `map_thw` over places."""
        return self.map_thw.flatten(1).mean(dim=1)


@torch.no_grad()
def surprise(
    model: VideoModel,
    video: Pixels | Sequence[Any] | str | Path,
    *,
    context_steps: int | Sequence[int] | None = None,
    mask_token: int | None = None,
    normal: NormalSurprise | None = None,
) -> Surprise:
    """Measure how surprising a video is, at every time step and place.

    Args:
        model: Model with a predictor of embeddings or a decoder of pixels.
        video: Path of a video, or frames at the model's rate: ``(T, C, H, W)``, uint8 in [0, 255] or floats
            in [0, 1], or a list of single frames or PIL images.
        context_steps: Context length in time steps, or several of them. None takes all, from 1 to one less
            than the time steps of a window.
        mask_token: Index of the mask token at the targets; None takes that of the model's configuration.
        normal: What surprise is normal for the model, for p-values (`Surprise.judged`). None takes what is
            stored in the folder that the model was read from, if anything is.

    Returns:
        The errors of every window, from which `curve` has one value per time step, `map_thw` one per token,
        and `judged` p-values.

    Raises:
        ValueError: The video is shorter than a window, several videos are given, a context leaves nothing to
            predict, or the model cannot predict the future (see `window_of`).
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
    try:
        return surprise_of_frames(
            model,
            video_TCHW,
            seconds=seconds,
            context_steps=context_steps,
            mask_token=mask_token,
            normal=normal,
        )
    except EmptyRangeError as error:
        raise EmptyRangeError(f"{video}: {error}" if isinstance(video, str | Path) else f"{error}") from None


@torch.no_grad()
def surprise_of_frames(
    model: VideoModel,
    video_TCHW: Tensor,
    *,
    seconds: np.ndarray | None = None,
    context_steps: int | Sequence[int] | None = None,
    mask_token: int | None = None,
    normal: NormalSurprise | None = None,
) -> Surprise:
    """Measure how surprising frames are that already have the model's rate and size; see `surprise`.

    `surprise` would crop them again.

    Args:
        model: Model with a predictor of embeddings or a decoder of pixels.
        video_TCHW: Frames at the model's rate and size, uint8.
        seconds: Time in seconds at which each time step begins; None if unknown.
        context_steps, mask_token, normal: See `surprise`.

    Raises:
        ValueError: There are fewer frames than a window has, no context length is given, one leaves nothing
            to predict, or the model cannot predict the future (see `window_of`).
    """
    height, width = video_TCHW.shape[-2:]
    window = window_of(model, height, width, mask_token=mask_token)
    if context_steps is None:
        context_steps = range(1, window.grid.t)
    elif isinstance(context_steps, int):
        context_steps = [context_steps]
    contexts = tuple(map(int, context_steps))
    if not contexts:
        raise ValueError("context_steps is empty: give one context length or more, or None for all")
    windows_VTCHW = sliding_windows(video_TCHW, window.grid.t, model.encoder.tubelet.t)
    asked = [replace_context(window, context) for context in contexts]
    device = next(model.parameters()).device
    errors = [
        window_errors(model, batch_BTCHW.to(device), asked) for batch_BTCHW in windows_VTCHW.split(BATCH)
    ]
    return Surprise(
        error_cVthw=torch.cat(errors, dim=1).cpu(),
        context_steps=contexts,
        seconds=seconds,
        encoder=model.config["which"],
        mask_token=window.mask_token,
        normalisation=_normalisation(model),
        normal=normal or _stored(model),
    )


def _stored(model: VideoModel) -> NormalSurprise | None:
    if model.folder is None or not (model.folder / FILE).is_file():
        return None
    return NormalSurprise.load(model.folder)


def calibrate_surprise(
    model: VideoModel, manifest: str | Path | Sequence[Video], *, progress: bool = False
) -> NormalSurprise:
    """Measure what surprise is normal for a model.

    Args:
        model: Model with a predictor of embeddings or a decoder of pixels.
        manifest: Path of a manifest or a list of ordinary videos, 20 or more, best of 100 or more: p-values
            of a whole video of their length are no smaller than 1 divided by half of their number. Videos
            that were not trained on are less well predicted, as those that will be judged are. Best they are
            about as long as those: a longer video has more time steps that may surprise by chance, for which
            its p-value is corrected. Unreadable videos, and those shorter than a window, are left out with a
            warning.
        progress: Show a progress bar.

    Returns:
        What is normal: `save` stores it in a model folder, where `surprise` finds it.

    Raises:
        ValueError: Fewer than 20 videos are left, all are of one group, or the model cannot predict the
            future.
    """
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    window = window_of(model, *model.processor.size)
    found: list[Surprise] = []
    groups: list[str] = []
    left_out: list[str] = []
    for video in tqdm(videos, desc="calibrating", disable=not progress):
        try:
            frames = read_frames(video.path, model.processor, start=video.start, end=video.end)
        except (VideoDecodeError, EmptyRangeError) as error:
            left_out.append(str(error))
            continue
        if len(frames.video_TCHW) < window.grid.t * model.encoder.tubelet.t:
            left_out.append(f"{video.path} is shorter than a window of the model")
            continue
        found.append(surprise_of_frames(model, frames.video_TCHW))
        groups.append(video.group or video.path)
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {len(videos)} ordinary videos are left out, e.g. {one_line(left_out[0])}",
            stacklevel=2,
        )
    contexts = tuple(range(1, window.grid.t))
    settings = found[0].settings if found else {}
    return NormalSurprise.of_errors([each.error_cVthw for each in found], contexts, settings, groups)


def replace_context(window: Window, context_steps: int) -> Window:
    """Return the window with another context length.

    Raises:
        ValueError: The context would be empty, or would leave nothing to predict.
    """
    if not 1 <= context_steps < window.grid.t:
        raise ValueError(
            f"context_steps has {context_steps}: a window has {window.grid.t} time steps, so give numbers "
            f"from 1 to {window.grid.t - 1}"
        )
    return Window(window.grid, context_steps, window.mask_token)


def sliding_windows(video_TCHW: Tensor, steps: int, depth: int) -> Tensor:
    """Return all windows of a video, each one time step after the last: ``(V, steps * depth, C, H, W)``.

    Args:
        video_TCHW: Frames at the model's rate.
        steps: Number of time steps of a window.
        depth: Number of frames of a time step.

    Raises:
        EmptyRangeError: The video is shorter than a window.
    """
    frames = steps * depth
    if len(video_TCHW) < frames:
        raise EmptyRangeError(
            f"the video has {len(video_TCHW)} frames at the model's rate and a window {frames}: give a "
            "longer video"
        )
    return video_TCHW.unfold(0, frames, depth).permute(0, 4, 1, 2, 3)


def window_errors(model: VideoModel, video_BTCHW: Tensor, asked: Sequence[Window]) -> Tensor:
    """Return the mean absolute error at each token, ``(c, B, t, h, w)``; NaN at the tokens of the context.

    A model that was trained to predict each time step from those before it (`FutureMask.each_step`) is asked
    for the next time step alone, so errors of later ones are NaN, too.

    Args:
        model: Model with a predictor of embeddings or a decoder of pixels.
        video_BTCHW: Frames of the windows, uint8. Predictions use the frames of the context alone.
        asked: Window with each of the context lengths.
    """
    true_BNY = _true_values(model, video_BTCHW)
    if model.predicts_each_step:
        return _next_step_errors(model, video_BTCHW, asked, true_BNY)
    errors = []
    for window in asked:
        first = window.context_steps * window.plane
        predicted_BMY = _predicted_values(
            model, video_BTCHW[:, : window.context_steps * model.encoder.tubelet.t], window
        )
        error_BM = (predicted_BMY.float() - true_BNY[:, first:].float()).abs().mean(dim=-1)
        errors.append(F.pad(error_BM, (first, 0), value=torch.nan).unflatten(1, window.grid))
    return torch.stack(errors)


def _next_step_errors(
    model: VideoModel, video_BTCHW: Tensor, asked: Sequence[Window], true_BNY: Tensor
) -> Tensor:
    """Return the errors one time step after each context, all predicted in one pass."""
    longest = max(asked, key=lambda window: window.context_steps)
    seen_BTCHW = video_BTCHW[:, : longest.context_steps * model.encoder.tubelet.t]
    predicted_BMY = predict_each_step(model, seen_BTCHW, longest)
    last = longest.plane + predicted_BMY.shape[1]
    error_BM = (predicted_BMY.float() - true_BNY[:, longest.plane : last].float()).abs().mean(dim=-1)
    padded_BN = F.pad(error_BM, (longest.plane, longest.grid.size - last), value=torch.nan)
    error_Bthw = padded_BN.unflatten(1, longest.grid)
    rows = []
    for window in asked:
        row_Bthw = torch.full_like(error_Bthw, torch.nan)
        row_Bthw[:, window.context_steps] = error_Bthw[:, window.context_steps]
        rows.append(row_Bthw)
    return torch.stack(rows)


def _true_values(model: VideoModel, video_BTCHW: Tensor) -> Tensor:
    """Return the target embeddings, or target pixels, of all tokens of the windows."""
    if model.predictor is not None:
        return model.embed_targets(video_BTCHW)
    normalizer = model.normalizer
    tubelets_BNP = patchify(video_BTCHW.transpose(1, 2), model.encoder.tubelet)
    return pixel_targets(tubelets_BNP, model.config["pixel_targets"], normalizer.mean, normalizer.std)


def _predicted_values(model: VideoModel, context_BTCHW: Tensor, window: Window) -> Tensor:
    """Predict the embeddings, or pixels, that follow the frames of a context."""
    if model.predictor is not None:
        return predict_rest(model.predictor, encode_context(model, context_BTCHW), window, model.targets)
    assert model.decoder is not None
    context_BKD = model.encoder(model.normalizer(context_BTCHW), class_token=True)
    return predict_rest(model.decoder, context_BKD, window, None)


def _normalisation(model: VideoModel) -> str:
    kind: str = (
        model.config["future"]["normalisation"]
        if model.predictor is not None
        else model.config["pixel_targets"]
    )
    return kind
