"""From embeddings of the past to embeddings of the future.

No function here can see a frame after the context, because none has later frames as an argument.
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
    """The context and the targets of a prediction.

    Attributes:
        grid: Token grid of a clip as in training: the time steps of the context and of the targets.
        context_steps: Time steps of the context; fewer than those of the grid.
        mask_token: Index of the predictor's mask token that stands at the targets.
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
    """Return the window that a model was trained with, for frames of this size.

    ValueError for a model without one.
    """
    if model.predictor is None and model.decoder is None:
        raise ValueError(
            "the model has no predictor, so it cannot say what comes next: give one that tools/pretrain.py "
            "trained, or "
            "weights with their predictor"
        )
    if "clip" not in model.config or "future" not in model.config:
        raise ValueError(
            'the model does not say how it is asked for the future ("clip" and "future" in its config.json): '
            "give one that "
            "tools/pretrain.py wrote"
        )
    frames = model.config["clip"]["num_frames"]
    grid = model.encoder.tubelet.grid_of(frames, height, width)
    if grid.t < 2:
        raise ValueError(
            f"the model knows clips of {frames} frames, one time step: it was never asked for a future; "
            "train on longer clips"
        )
    asked, default = context_steps, model.config["future"]["context_steps"]
    context_steps = default if asked is None else asked
    if not 1 <= context_steps < grid.t:
        raise ValueError(
            f"context_steps is {context_steps}: the model knows clips of {grid.t} time steps, so give 1 to "
            f"{grid.t - 1}"
        )
    number = model.config["future"]["mask_token"] if mask_token is None else mask_token
    return Window(grid, context_steps, number)


def encode_context(model: VideoModel, video_BTCHW: Tensor) -> Tensor:
    """Encode the context frames, uint8, alone: tokens of all levels, ``(B, K, Y)``."""
    return model.encoder(model.normalizer(video_BTCHW), levels=True)


def predict_rest(
    predictor: Predictor,
    context_BKY: Tensor,
    window: Window,
    noise_BZ: Tensor | None = None,
    steps: int | None = None,
) -> Tensor:
    """Predict what follows a context, ``(B, steps * S, Y)``: the rest of the window, or `steps` time steps.

    All time steps are predicted together, as in training, even if only some of them are wanted: a prediction
    must not depend on what else is asked for.
    """
    steps = window.rest if steps is None else steps
    grid = window.grid._replace(t=window.context_steps + steps)
    index_N = torch.arange(grid.size, device=context_BKY.device)
    context_K, target_M = index_N.tensor_split([window.context_steps * window.plane])
    batch = context_BKY.shape[0]  # len() would fix the number of clips in an exported graph.
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
    """Predict `steps` time steps after the context, ``(B, steps * S, Y)``; beyond the window, predictions
    become context.

    Up to the end of the window this is one prediction. Then the latest time steps, true or predicted, are the
    next context, at the positions that a context has in training. Normalised predictions are first brought to
    the scale of the encoder's tokens (`restore_levels`).
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
            f"predictions have width {predicted_BMY.shape[-1]} and the encoder's tokens "
            f"{context_BKY.shape[-1]}: they cannot be "
            "its next context; ask for horizons within the window"
        )
