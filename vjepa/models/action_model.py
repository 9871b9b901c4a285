"""An encoder of frames and a predictor of what actions do, ready to imagine.

Shape letters as in `vjepa.tokens`; T frames, S tokens of a frame, A numbers of an action, Q numbers of a state, H imagined
steps, X actions: one less than all frames, seen and imagined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.layers.pixels import PixelNormalizer, check_layout
from vjepa.models.action_predictor import ActionPredictor
from vjepa.models.encoder import VideoEncoder
from vjepa.models.inverse_dynamics import InverseDynamics, InverseSource

Pool = Literal["none", "mean", "flatten"]
NextState = Callable[[Tensor, Tensor], Tensor]
"""True kinematics: raw states ``(B, Q)`` and actions ``(B, A)`` to the next states."""


class Imagined(NamedTuple):
    """What a sequence of actions leads to.

    Attributes:
        tokens_BFSD: embeddings of the frames after each action.
        states_BFQ: their states in the data's units; None for a model without states.
    """

    tokens_BFSD: Tensor
    states_BFQ: Tensor | None


class ActionModel(nn.Module):
    """Embeds each frame by itself, and predicts the next from actions.

    Args:
        encoder: arguments of `VideoEncoder`. A frame is repeated to fill a tubelet (V-JEPA 2-AC).
        dynamics: arguments of `ActionPredictor`, without `in_width`.
        pixels: arguments of `PixelNormalizer`.
        size: height and width of a frame in pixels.
        pool: what of a frame is kept: `none`, its tokens on their grid; `mean`, one token, their mean through a small MLP
            (LeWM); `flatten`, one token, all of them side by side through a small MLP.
        pool_width: of that one token.
        normalised: tokens are brought to mean 0 and deviation 1 over their features (a frozen encoder, V-JEPA 2-AC); else
            their scale is the training's business.
        statistics: mean and standard deviation of actions and states in the data, by ``action_mean``, ``action_std``,
            ``state_mean``, ``state_std``; lists of numbers, absent where there are none.
        window: most frames that the predictor looks back on, its own included.
        inverse: it also has inverse dynamics (`InverseDynamics`), of this source; None for none.
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
        pool_width: int = 192,
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
        in_width = {"none": 0, "mean": self.encoder.width, "flatten": grid.size * self.encoder.width}[pool]
        self.projector = _mlp(in_width, 2 * pool_width, pool_width) if in_width else None
        self.space = (grid.h, grid.w) if pool == "none" else (1, 1)
        self.width = self.encoder.width if pool == "none" else pool_width
        self.dynamics = ActionPredictor(in_width=self.width, normalised=normalised, **dynamics)
        self.inverse = None
        if inverse is not None:
            places = self.space[0] * self.space[1]
            self.inverse = InverseDynamics(places * self.width, self.dynamics.action_size, inverse)
        for name in ("action", "state"):
            numbers = getattr(self.dynamics, f"{name}_size")
            for part, default in (("mean", 0.0), ("std", 1.0)):
                values = (statistics or {}).get(f"{name}_{part}", [default] * numbers)
                self.register_buffer(f"{name}_{part}", torch.tensor(values), persistent=False)

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Frames ``(B, T, C, H, W)``, uint8 in [0, 255] or floats in [0, 1], to their tokens ``(B, T, S, D)``."""
        check_layout(video_BTCHW, len(self.normalizer.mean), dimensions=(5,))
        if tuple(video_BTCHW.shape[-2:]) != self.size:
            raise ValueError(
                f"frames have {tuple(video_BTCHW.shape[-2:])} pixels and this model knows {self.size}: resize them"
            )
        frames_XTCHW = video_BTCHW.flatten(0, 1).unsqueeze(1)  # one frame fills a tubelet by repetition
        tokens_XSD = self.encoder(self.normalizer(frames_XTCHW))
        if self.projector is not None:
            pooled = tokens_XSD.mean(dim=1) if self.pool == "mean" else tokens_XSD.flatten(1)
            tokens_XSD = self.projector(pooled).unsqueeze(1)
        if self.normalised:
            tokens_XSD = F.layer_norm(tokens_XSD, (self.width,))
        return tokens_XSD.unflatten(0, video_BTCHW.shape[:2])

    def standardise_actions(self, actions_BIA: Tensor) -> Tensor:
        """Actions in the data's units to mean 0 and deviation 1."""
        return (actions_BIA - self.action_mean) / self.action_std

    def standardise_states(self, states_BTQ: Tensor) -> Tensor:
        """The same of states."""
        return (states_BTQ - self.state_mean) / self.state_std

    def imagine(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """Roll out: predict the next frame, append it, and so on.

        Args:
            tokens_BTSD: of the frames that were seen, as of `encode`.
            actions_BIA: in the data's units; the first T - 1 were taken between these frames, each further one leads to an
                imagined frame.
            states_BTQ: in the data's units, of a model with states.
            next_state: how a state follows from an action, where that is known; None takes the model's own prediction.
        """
        seen = tokens_BTSD.shape[1]
        steps = actions_BIA.shape[1] - seen + 1
        if steps < 1:
            raise ValueError(
                f"{actions_BIA.shape[1]} actions for {seen} frames: give those between them, and 1 or more after"
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
        """`imagine` with standardised actions and states, in and out.

        States of more frames than were seen are the true ones of the frames to come, and are not predicted.
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
                "this model takes states and does not predict them: give next_state, how a state follows from an action"
            )
        return predicted_BTQ[:, -1]


def _mlp(in_width: int, hidden: int, out_width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(in_width, hidden), nn.GELU(), nn.Linear(hidden, out_width))
