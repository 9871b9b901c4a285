"""The action-conditioned model: an encoder of frames and a predictor of the frames that actions lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.choices import InverseSource, Pool
from vjepa.layers.pixels import PixelNormalizer, check_layout
from vjepa.models.action_predictor import ActionPredictor
from vjepa.models.encoder import VideoEncoder
from vjepa.models.inverse_dynamics import InverseDynamics

NextState = Callable[[Tensor, Tensor], Tensor]
"""Known kinematics: from states ``(B, Q)`` and actions ``(B, A)`` to the next states, in the data's units."""


class Imagined(NamedTuple):
    """Imagined frames that a sequence of actions leads to.

    Attributes:
        tokens_BFSD: Embeddings of the frames after each action.
        states_BFQ: States in these frames, in the data's units. None for a model without states.
    """

    tokens_BFSD: Tensor
    states_BFQ: Tensor | None


class ActionModel(nn.Module):
    """A model that embeds each frame by itself and predicts the next frame from actions.

    Args:
        encoder: Arguments of `VideoEncoder`. A frame is repeated to fill a tubelet (V-JEPA 2-AC).
        dynamics: Arguments of `ActionPredictor`, without `in_dim` and `normalised`.
        pixels: Arguments of `PixelNormalizer`.
        size: Height and width of a frame in pixels.
        pool: How a frame's tokens become its embedding. `none` keeps all tokens on their grid. `mean` gives
            one token: the mean of all, through a small MLP (LeWM). `flatten` gives one token: all tokens
            concatenated, through a small MLP.
        pool_dim: Width of the single token of `mean` and `flatten`.
        normalised: Normalise tokens to mean 0 and standard deviation 1 over their features (V-JEPA 2-AC, with
            a frozen encoder). If false, training decides their scale.
        statistics: Mean and standard deviation of the data's actions and states, one number per component,
            under the keys ``action_mean``, ``action_std``, ``state_mean`` and ``state_std``. A missing entry
            means 0 and 1; None means that all are missing.
        window: Largest number of frames in the predictor's input.
        inverse: Input of the model's inverse dynamics (see `InverseDynamics`). None builds none.
    """

    action_mean: Tensor
    action_std: Tensor
    state_mean: Tensor
    state_std: Tensor

    def __init__(
        self,
        *,
        encoder: dict[str, Any],
        dynamics: dict[str, Any],
        pixels: dict[str, Any],
        size: tuple[int, int],
        pool: Pool = "none",
        pool_dim: int = 192,
        normalised: bool = False,
        statistics: dict[str, list[float]] | None = None,
        window: int = 8,
        inverse: InverseSource | None = None,
    ) -> None:
        super().__init__()
        self.encoder = VideoEncoder(**encoder)
        self.normalizer = PixelNormalizer(**pixels)
        grid = self.encoder.tubelet.grid_of(1, *size)
        self.size = (size[0], size[1])
        self.pool = pool
        self.normalised = normalised
        self.window = window
        in_dim = {"none": 0, "mean": self.encoder.embed_dim, "flatten": grid.size * self.encoder.embed_dim}[
            pool
        ]
        self.projector = _mlp(in_dim, 2 * pool_dim, pool_dim) if in_dim else None
        self.space = (grid.h, grid.w) if pool == "none" else (1, 1)
        self.embed_dim = self.encoder.embed_dim if pool == "none" else pool_dim
        self.dynamics = ActionPredictor(in_dim=self.embed_dim, normalised=normalised, **dynamics)
        self.inverse = None
        if inverse is not None:
            places = self.space[0] * self.space[1]
            self.inverse = InverseDynamics(places * self.embed_dim, self.dynamics.action_size, inverse)
        for name in ("action", "state"):
            numbers = getattr(self.dynamics, f"{name}_size")
            for part, default in (("mean", 0.0), ("std", 1.0)):
                values = (statistics or {}).get(f"{name}_{part}", [default] * numbers)
                self.register_buffer(f"{name}_{part}", torch.tensor(values), persistent=False)

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Embed each frame by itself.

        Args:
            video_BTCHW: Frames ``(B, T, C, H, W)``, uint8 in [0, 255] or floats in [0, 1].

        Returns:
            Tokens ``(B, T, S, D)``.

        Raises:
            ValueError: If the frames are not of the model's size, or their layout, type or range is wrong.
        """
        check_layout(video_BTCHW, len(self.normalizer.mean), dimensions=(5,))
        if tuple(video_BTCHW.shape[-2:]) != self.size:
            raise ValueError(
                f"frames have {tuple(video_BTCHW.shape[-2:])} pixels and this model knows {self.size}: "
                "resize them"
            )
        # Every frame is a video of one frame, which the encoder repeats to fill a tubelet.
        frames_B1CHW = video_BTCHW.flatten(0, 1).unsqueeze(1)
        tokens_BSD = self.encoder(self.normalizer(frames_B1CHW))
        if self.projector is not None:
            pooled = tokens_BSD.mean(dim=1) if self.pool == "mean" else tokens_BSD.flatten(1)
            tokens_BSD = self.projector(pooled).unsqueeze(1)
        if self.normalised:
            tokens_BSD = F.layer_norm(tokens_BSD, (self.embed_dim,))
        return tokens_BSD.unflatten(0, video_BTCHW.shape[:2])

    def standardise_actions(self, actions_BIA: Tensor) -> Tensor:
        """Standardise actions in the data's units by the data's mean and standard deviation."""
        return (actions_BIA - self.action_mean) / self.action_std

    def standardise_states(self, states_BTQ: Tensor) -> Tensor:
        """Standardise states in the data's units by the data's mean and standard deviation."""
        return (states_BTQ - self.state_mean) / self.state_std

    def imagine(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """Roll out: predict the next frame, append it, and repeat.

        Args:
            tokens_BTSD: Embeddings of the observed frames, as given by `encode`.
            actions_BIA: Actions in the data's units. The first T - 1 were taken between the observed frames;
                each further one leads to an imagined frame.
            states_BTQ: States in the observed frames, in the data's units. None for a model without states.
            next_state: Function that computes the next state, if the kinematics are known. None uses the
                model's prediction.

        Raises:
            ValueError: If there are fewer than T actions, if shapes do not fit the model, or if the model
                takes states, does not predict them, and `next_state` is None.
        """
        seen = tokens_BTSD.shape[1]
        steps = actions_BIA.shape[1] - seen + 1
        if steps < 1:
            raise ValueError(
                f"{actions_BIA.shape[1]} actions for {seen} frames: "
                "give those between them, and 1 or more after"
            )
        states = None if states_BTQ is None else self.standardise_states(states_BTQ)
        rolled = self.roll_out(tokens_BTSD, self.standardise_actions(actions_BIA), states, next_state)
        if rolled.states_BFQ is None:
            return rolled
        return rolled._replace(states_BFQ=rolled.states_BFQ * self.state_std + self.state_mean)

    def roll_out(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """Do what `imagine` does, with standardised actions and states as input and output.

        If `states_BTQ` has more frames than `tokens_BTSD`, the further states are the true future ones, and
        are used instead of predictions.
        """
        seen = tokens_BTSD.shape[1]
        for end in range(seen, actions_BIA.shape[1] + 1):
            recent = slice(max(end - self.window, 0), end)
            given = None if states_BTQ is None else states_BTQ[:, recent]
            acted = actions_BIA[:, recent] if self.dynamics.action_size else None
            following = self.dynamics(tokens_BTSD[:, recent], acted, given, self.space)
            tokens_BTSD = torch.cat([tokens_BTSD, following.tokens_BTSD[:, -1:]], dim=1)
            if states_BTQ is not None and states_BTQ.shape[1] == end:
                state_BQ = self._next_state(
                    following.states_BTQ, states_BTQ[:, -1], actions_BIA[:, end - 1], next_state
                )
                states_BTQ = torch.cat([states_BTQ, state_BQ.unsqueeze(1)], dim=1)
        imagined = None if states_BTQ is None else states_BTQ[:, seen:]
        return Imagined(tokens_BTSD[:, seen:], imagined)

    def _next_state(
        self, predicted_BTQ: Tensor | None, state_BQ: Tensor, action_BA: Tensor, next_state: NextState | None
    ) -> Tensor:
        if next_state is not None:
            raw = next_state(
                state_BQ * self.state_std + self.state_mean, action_BA * self.action_std + self.action_mean
            )
            return self.standardise_states(raw)
        if predicted_BTQ is None:
            raise ValueError(
                "this model takes states and does not predict them: "
                "give next_state, which computes them from actions"
            )
        return predicted_BTQ[:, -1]


def _mlp(in_dim: int, hidden: int, out_dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(in_dim, hidden), nn.GELU(), nn.Linear(hidden, out_dim))
