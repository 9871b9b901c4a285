"""Prediction of future embeddings from context embeddings.

No function here takes a frame after the context, so none can leak the future into a prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vjepa.grid import Grid
from vjepa.layers.targets import PredictionTargets
from vjepa.models.predictor import Predictor
from vjepa.models.video_model import VideoModel


@dataclass(frozen=True)
class Window:
    """The context and the targets of a prediction.

    Attributes:
        grid: Token grid of a training clip; its time steps are those of the context and of the targets.
        context_steps: Number of time steps of the context, from 1 to one less than those of the grid.
        mask_token: Index of the predictor's mask token at the targets.
    """

    grid: Grid
    context_steps: int
    mask_token: int

    @property
    def rest(self) -> int:
        """Number of time steps after the context, which are predicted at once."""
        return self.grid.t - self.context_steps

    @property
    def plane(self) -> int:
        """Number of tokens of one time step."""
        return self.grid.h * self.grid.w


def window_of(
    model: VideoModel,
    height: int,
    width: int,
    context_steps: int | None = None,
    mask_token: int | None = None,
) -> Window:
    """Return the window that a model was trained with, for frames of a given size.

    Args:
        model: Model with a predictor or a decoder.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        context_steps: Number of time steps of the context; None takes that of the model's configuration.
        mask_token: Index of the mask token at the targets; None takes that of the model's configuration.

    Raises:
        ValueError: The model has neither predictor nor decoder, its configuration does not describe the
            prediction of the future, its clips have one time step, or `context_steps` leaves nothing to
            predict.
    """
    if model.predictor is None and model.decoder is None:
        raise ValueError(
            "the model has no predictor, so it cannot predict what comes next: give one that "
            "vjepa pretrain trained, or weights with their predictor"
        )
    if "clip" not in model.config or "future" not in model.config:
        raise ValueError(
            'config.json of the model lacks "clip" or "future", which describe how it predicts the future: '
            "give a model that vjepa pretrain wrote"
        )
    frames = model.config["clip"]["num_frames"]
    grid = model.encoder.tubelet.grid_of(frames, height, width)
    if grid.t < 2:
        raise ValueError(
            f"the model was trained on clips of {frames} frames, which are one time step, so it never "
            "predicted a future: train on longer clips"
        )
    if context_steps is None:
        context_steps = model.config["future"]["context_steps"]
    if not 1 <= context_steps < grid.t:
        raise ValueError(
            f"context_steps is {context_steps}: the model was trained on clips of {grid.t} time steps, so "
            f"give 1 to {grid.t - 1}"
        )
    if mask_token is None:
        mask_token = model.config["future"]["mask_token"]
    return Window(grid, context_steps, mask_token)


def encode_context(model: VideoModel, video_BTCHW: Tensor) -> Tensor:
    """Encode context frames, uint8 ``(B, T, C, H, W)``, and return tokens of all levels, ``(B, K, Y)``."""
    return model.encoder(model.normalizer(video_BTCHW), levels=True)


def predict_rest(
    predictor: Predictor,
    context_BKY: Tensor,
    window: Window,
    targets: PredictionTargets | None,
    noise_BZ: Tensor | None = None,
    steps: int | None = None,
) -> Tensor:
    """Predict the time steps that follow a context, in one pass: ``(B, steps * S, Y)``.

    All time steps are predicted together, as in training, even if only some of them are wanted. Otherwise the
    prediction of a time step would depend on which others are requested.

    Args:
        predictor: Predictor or decoder of a trained model.
        context_BKY: Tokens of the context, in token order.
        window: Context and targets of the prediction.
        targets: Normalisation of the targets; None for a decoder of pixels.
        noise_BZ: Noise vector of each future, for a predictor that takes noise; None for one that does not.
        steps: Number of time steps to predict; None takes the rest of the window.
    """
    steps = window.rest if steps is None else steps
    # Not by _replace, which older torch.export cannot follow.
    grid = Grid(window.context_steps + steps, window.grid.h, window.grid.w)
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
        targets=targets,
    )


def predict_each_step(model: VideoModel, video_BTCHW: Tensor, window: Window) -> Tensor:
    """Predict the time step after each time step of a context, from those up to it: ``(B, context * S, Y)``.

    Encoder and predictor attend to the past alone, so each prediction is the one that its own context gives.

    Args:
        model: Model that was trained to predict each time step from those before it.
        video_BTCHW: Frames of the context, uint8.
        window: Context and mask token of the prediction.
    """
    network = model.predictor or model.decoder
    assert network is not None
    context_BKY = encode_context(model, video_BTCHW)
    grid = Grid(window.context_steps + 1, window.grid.h, window.grid.w)
    index_N = torch.arange(grid.size, device=context_BKY.device).expand(context_BKY.shape[0], -1)
    return network(
        context_BKY, index_N[:, : -window.plane], index_N[:, window.plane :], grid, window.mask_token,
        targets=model.targets,
    )  # fmt: skip


def roll_out(
    model: VideoModel, context_BKY: Tensor, window: Window, steps: int, noise_BZ: Tensor | None = None
) -> Tensor:
    """Predict time steps after a context, autoregressively beyond the window: ``(B, steps * S, Y)``.

    Up to the end of the window this is one prediction. Beyond it, the latest time steps, true or predicted,
    become the next context, at the positions that a context has in training. Normalised predictions are first
    rescaled to the encoder's tokens (`PredictionTargets.restore`). A model that was trained to predict each
    time step from those before it predicts one time step at a time.

    Args:
        model: Model with a predictor of embeddings.
        context_BKY: Tokens of the context, in token order.
        window: Context and targets of one prediction.
        steps: Number of time steps to predict, 1 or more.
        noise_BZ: Noise vector of each future, for a predictor that takes noise; None for one that does not.

    Raises:
        ValueError: Predictions need to become context, and are not predictions of the encoder's own tokens.
    """
    assert model.predictor is not None
    assert model.targets is not None
    kept = window.context_steps * window.plane
    past_BKY, predicted = context_BKY, []
    reach = 1 if model.predicts_each_step else window.rest
    for _ in range(-(-steps // reach)):
        predicted_BMY = predict_rest(model.predictor, past_BKY, window, model.targets, noise_BZ, reach)
        predicted.append(predicted_BMY)
        if len(predicted) * reach >= steps:
            break
        seen_BMY = _restored(model.targets, predicted_BMY, context_BKY)
        past_BKY = torch.cat([past_BKY, seen_BMY], dim=1)[:, -kept:]
    return torch.cat(predicted, dim=1)[:, : steps * window.plane]


def _restored(targets: PredictionTargets, predicted_BMY: Tensor, context_BKY: Tensor) -> Tensor:
    """Return predictions as tokens of the encoder."""
    try:
        return targets.restore(predicted_BMY, context_BKY)
    except ValueError as error:
        raise ValueError(
            f"predictions cannot become context: {error}; ask for horizons within the window"
        ) from None
