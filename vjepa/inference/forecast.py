"""From embeddings of the past to embeddings of the future. Shape letters as in `vjepa.tokens`.

Y is the width of all levels together, S the tokens of one time step, R samples of a clip, Z numbers of a noise vector.
Nothing here ever sees a frame later than the context: later frames are no argument of any function.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.grid import Grid
from vjepa.layers.levels import restore_levels
from vjepa.models.predictor import Predictor
from vjepa.models.video_model import VideoModel


@dataclass(frozen=True)
class Window:
    """How a predictor is asked.

    Attributes:
        grid: of a clip as in training: all time steps, context and what follows.
        context_steps: time steps of the context, fewer than the grid's.
        mask_token: the placeholder that stands at the targets.
    """

    grid: Grid
    context_steps: int
    mask_token: int

    @property
    def rest(self) -> int:
        """Time steps that are predicted at once."""
        return self.grid.t - self.context_steps

    @property
    def plane(self) -> int:
        """Tokens of one time step."""
        return self.grid.h * self.grid.w


def window_of(
    model: VideoModel,
    height: int,
    width: int,
    context_steps: int | None = None,
    mask_token: int | None = None,
) -> Window:
    """The window that a model was trained with, for frames of this size; ValueError for a model that has none."""
    if model.predictor is None and model.decoder is None:
        raise ValueError(
            "the model has no predictor, so it cannot say what comes next: give one that tools/pretrain.py trained, or "
            "weights with their predictor"
        )
    if "clip" not in model.config or "future" not in model.config:
        raise ValueError(
            'the model does not say how it is asked for the future ("clip" and "future" in its config.json): give one that '
            "tools/pretrain.py wrote"
        )
    frames = model.config["clip"]["num_frames"]
    grid = model.encoder.tubelet.grid_of(frames, height, width)
    if grid.t < 2:
        raise ValueError(
            f"the model knows clips of {frames} frames, one time step: it was never asked for a future; train on longer clips"
        )
    asked, default = context_steps, model.config["future"]["context_steps"]
    context_steps = default if asked is None else asked
    if not 1 <= context_steps < grid.t:
        raise ValueError(
            f"context_steps is {context_steps}: the model knows clips of {grid.t} time steps, so give 1 to {grid.t - 1}"
        )
    number = model.config["future"]["mask_token"] if mask_token is None else mask_token
    return Window(grid, context_steps, number)


def encode_context(model: VideoModel, video_BTCHW: Tensor) -> Tensor:
    """Tokens of all levels of the context frames alone, ``(B, K, Y)``; uint8 in."""
    return model.encoder(model.normalizer(video_BTCHW), levels=True)


def predict_rest(
    predictor: Predictor,
    context_BKY: Tensor,
    window: Window,
    noise_BZ: Tensor | None = None,
    steps: int | None = None,
) -> Tensor:
    """What follows a context, ``(B, steps * S, Y)``: the whole rest of the window unless `steps` says otherwise.

    All of it is predicted together, as in training, whichever part is wanted: a prediction must not depend on what else
    was asked.
    """
    steps = window.rest if steps is None else steps
    grid = window.grid._replace(t=window.context_steps + steps)
    index_N = torch.arange(grid.size, device=context_BKY.device)
    context_K, target_M = index_N.tensor_split([window.context_steps * window.plane])
    batch = context_BKY.shape[0]  # not len: it would fix the number of clips in an exported graph
    return predictor(
        context_BKY,
        context_K.expand(batch, -1),
        target_M.expand(batch, -1),
        grid,
        window.mask_token,
        noise_BZ=noise_BZ,
    )


def roll_out(
    model: VideoModel, context_BKY: Tensor, window: Window, steps: int, noise_BZ: Tensor | None = None
) -> Tensor:
    """So many time steps after the context, ``(B, steps * S, Y)``, past the window by sliding it over what was predicted.

    Up to the window's end this is one prediction. Then the latest steps, true or predicted, are the next context, on the
    places that a context has in training. Normalised predictions are first put on the scale of the encoder's own tokens
    (`restore_levels`).
    """
    assert model.predictor is not None
    normalised = model.config["future"]["normalisation"] == "layer_norm"
    kept = window.context_steps * window.plane
    past_BKY, predicted = context_BKY, []
    for _ in range(-(-steps // window.rest)):
        predicted_BMY = predict_rest(model.predictor, past_BKY, window, noise_BZ)
        predicted.append(predicted_BMY)
        if len(predicted) * window.rest >= steps:
            break
        _check_feedback(predicted_BMY, context_BKY)
        width = model.encoder.width
        seen_BMY = restore_levels(predicted_BMY, context_BKY, width) if normalised else predicted_BMY
        past_BKY = torch.cat([past_BKY, seen_BMY], dim=1)[:, -kept:]
    return torch.cat(predicted, dim=1)[:, : steps * window.plane]


def _check_feedback(predicted_BMY: Tensor, context_BKY: Tensor) -> None:
    if predicted_BMY.shape[-1] != context_BKY.shape[-1]:
        raise ValueError(
            f"predictions have width {predicted_BMY.shape[-1]} and the encoder's tokens {context_BKY.shape[-1]}: they cannot be "
            "its next context; ask for horizons within the window"
        )
