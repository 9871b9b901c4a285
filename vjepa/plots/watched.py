"""What is drawn of one video that a model watches: frames, colours of embeddings, surprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.data.processor import Frames
from vjepa.evaluation.future.skill import Embedded
from vjepa.inference.forecast import Window
from vjepa.inference.surprise import Surprise, surprise_of_frames
from vjepa.models.video_model import VideoModel
from vjepa.plots.future import EmbeddingColours, heat_colours, nearest_steps
from vjepa.plots.rgb import as_rgb
from vjepa.plots.video_page import Layer, VideoPage


@dataclass(frozen=True)
class Watched:
    """One video and what a model makes of it, by time steps.

    Attributes:
        video_TCHW: All frames, uint8.
        seconds: Time at which each frame appears.
        depth: Number of frames of a time step.
        frames_tCHW: A frame from the middle of each time step.
        colours: Colours of true and predicted embeddings by name, ``(t, h, w, 3)`` in [0, 1]; NaN where
            nothing is predicted.
        nearest_t: Time step whose embeddings are nearest to each prediction; -1 where nothing is predicted.
        surprise: Surprise of the video; None if it is shorter than the model's window.
    """

    video_TCHW: Tensor
    seconds: list[float]
    depth: int
    frames_tCHW: Tensor
    colours: dict[str, Tensor]
    nearest_t: Tensor
    surprise: Surprise | None

    @property
    def step_seconds(self) -> list[float]:
        """Time at which each time step begins."""
        return self.seconds[:: self.depth]

    @property
    def rows(self) -> dict[str, Tensor]:
        """Rows of a plot below its frames: colours, and the frames nearest to predictions."""
        known = self.nearest_t >= 0
        retrieved = torch.full((*self.frames_tCHW.shape[:1], *self.frames_tCHW.shape[2:], 3), torch.nan)
        retrieved[known] = as_rgb(self.frames_tCHW[self.nearest_t[known]]).permute(0, 2, 3, 1) / 255
        return {**self.colours, "nearest to prediction": retrieved}


def watch(model: VideoModel, frames: Frames, embedded: Embedded, window: Window) -> Watched:
    """Let a model watch a video.

    Args:
        model: Video model with a predictor.
        frames: Frames of the video.
        embedded: Embeddings of all contexts of the video with their predictions.
        window: Window of the predictor.
    """
    depth, context = model.encoder.tubelet.t, window.context_steps
    steps = len(frames.video_TCHW) // depth
    video_TCHW = frames.video_TCHW[: steps * depth]
    nearest_V = nearest_steps(embedded.predicted_VFSY[:, 0], embedded.true_VFSY[:, 0])
    nearest_t = torch.full((steps,), -1)
    nearest_t[context : context + len(nearest_V)] = nearest_V + context
    return Watched(
        video_TCHW=video_TCHW,
        seconds=frames.starts[: steps * depth].tolist(),
        depth=depth,
        frames_tCHW=video_TCHW.unflatten(0, (steps, depth))[:, depth // 2],
        colours=_embedding_colours(embedded, window, steps),
        nearest_t=nearest_t,
        surprise=surprise_of_frames(model, video_TCHW) if steps >= window.grid.t else None,
    )


def page_of(watched: Watched, title: str, notes: Sequence[str] = ()) -> VideoPage:
    """Return the page that plays a video with what the model makes of it.

    Args:
        watched: The video.
        title: Title of the page.
        notes: Sentences that stand on the page, besides those on the surprise.
    """
    found = watched.surprise
    steps = len(watched.frames_tCHW)
    span, said = _unusual(found)
    return VideoPage(
        title=title,
        video_TCHW=watched.video_TCHW,
        times_T=watched.seconds,
        depth=watched.depth,
        surprise_t=torch.full((steps,), torch.nan) if found is None else found.curve[:steps],
        layers=_layers(watched.colours, None if found is None else found.map_thw),
        nearest_t=watched.nearest_t.tolist(),
        notes=[*said, *notes],
        marked=span,
    )


def _unusual(found: Surprise | None) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the time span that is unusually surprising, and sentences about it; for a calibrated model."""
    if found is None or found.normal is None:
        return [], []
    if found.normal.settings != found.settings:
        return [], ["Surprise was calibrated with other settings than these, so there are no p-values."]
    judged = found.judged
    sentence = f"p-value of the most surprising time step among those of ordinary videos: {judged.p:.3g}."
    if judged.span is None:
        return [], [f"{sentence} No time step is unusual at the level of .05."]
    return [judged.span], [f"{sentence} The span around it with p-values below .05 is marked in the curve."]


def _embedding_colours(embedded: Embedded, window: Window, steps: int) -> dict[str, Tensor]:
    """Return the colours of true and predicted embeddings by name, ``(t, h, w, 3)``."""
    context, place = window.context_steps, (window.grid.h, window.grid.w)
    far = min(window.rest, embedded.true_VFSY.shape[1])
    colours = EmbeddingColours(embedded.true_VFSY[:, 0].flatten(0, 1))
    true_tSY = _in_time(embedded.true_VFSY, 1, context, steps)
    found = {"embeddings, true": colours(true_tSY.unflatten(1, place))}
    for horizon in sorted({1, far}):
        predicted_tSY = _in_time(embedded.predicted_VFSY, horizon, context, steps)
        found[f"embeddings, predicted {horizon} ahead"] = colours(predicted_tSY.unflatten(1, place))
    return found


def _layers(colours: Mapping[str, Tensor], map_thw: Tensor | None) -> list[Layer]:
    layers = []
    if map_thw is not None:
        caption = (
            "Surprise: error of the prediction one time step ahead, dark where small, yellow where large."
        )
        layers.append(Layer("surprise", caption, heat_colours(map_thw)))
    for name, image_thwC in colours.items():
        caption = (
            f"First three principal components ({name}) as red, green and blue; the same "
            "colours mean the same in all layers."
        )
        layers.append(Layer(name, caption, image_thwC))
    return layers


def _in_time(embeddings_VFSY: Tensor, horizon: int, context: int, steps: int) -> Tensor:
    """Place the embeddings of one horizon at the time steps they predict, ``(t, S, Y)``; NaN elsewhere."""
    placed_tSY = torch.full((steps, *embeddings_VFSY.shape[2:]), torch.nan)
    first = context + horizon - 1
    placed_tSY[first : first + len(embeddings_VFSY)] = embeddings_VFSY[:, horizon - 1]
    return placed_tSY
