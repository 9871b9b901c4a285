"""Predict the embedding of the next frame from actions, by teacher forcing and over several imagined steps.

With a frozen encoder this is V-JEPA 2-AC (arXiv 2506.09985, section 3). With an encoder that is trained too,
it is PLDM (arXiv 2502.14819), EB-JEPA (arXiv 2602.03604) or LeWM (arXiv 2603.19312), depending on the
settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import TrajectoryBatch
from vjepa.choices import DistanceName
from vjepa.models.action_model import ActionModel
from vjepa.models.action_predictor import NextFrame
from vjepa.objectives.batch_metric import ratio
from vjepa.objectives.distances import DISTANCES


class RollOut(NamedTuple):
    """Settings of the additional loss on frames imagined from the first frame.

    Attributes:
        steps: Number of imagined frames, 2 or more. The first is the teacher-forced prediction.
        imagined_states: Continue from predicted states, as in planning, instead of from the true states.
    """

    steps: int
    imagined_states: bool


class ActionJEPA(nn.Module):
    """Training objective of an `ActionModel` on trajectories.

    Args:
        model: Model to train. With `frozen`, only its predictor is trained.
        frozen: Keep the encoder (and the projector, if there is one) at its present weights.
        distance: Distance between predicted and true embeddings.
        rollout: Settings of the additional loss over several imagined steps. None turns it off.
        regularizers: Losses that keep the embeddings of a trained encoder from collapsing. Each token of each
            frame is one position to them.
        smoothness: Weight of the mean squared change of the embeddings from frame to frame. 0 turns it off.
        inverse: Weight of the error of the model's inverse dynamics: above 0 if the model has inverse
            dynamics, else 0.

    Raises:
        ValueError: `inverse` is above 0 and the model has no inverse dynamics, or the other way round; or a
            frozen encoder is given with regularizers or smoothness.
    """

    def __init__(
        self,
        *,
        model: ActionModel,
        frozen: bool,
        distance: DistanceName = "l2",
        rollout: RollOut | None = None,
        regularizers: Sequence[nn.Module] = (),
        smoothness: float = 0.0,
        inverse: float = 0.0,
    ) -> None:
        super().__init__()
        if (model.inverse is None) == bool(inverse):
            raise ValueError(
                f"inverse is {inverse} and the model has {'no' if model.inverse is None else 'an'} inverse "
                "dynamics: give a weight above 0 to a model that has one, and to no other"
            )
        if frozen and (regularizers or smoothness):
            raise ValueError(
                "a frozen encoder neither collapses nor becomes smoother: leave regularizers out, and set "
                "smoothness to 0"
            )
        self.model = model
        self.frozen = frozen
        if frozen:
            model.encoder.requires_grad_(False)
            if model.projector is not None:
                model.projector.requires_grad_(False)
        self.distance = DISTANCES[distance]
        self.rollout = rollout
        self.regularizers = nn.ModuleList(regularizers)
        self.smoothness = smoothness
        self.inverse = inverse

    def forward(self, batch: TrajectoryBatch) -> dict[str, Any]:
        """Compute the loss, and the metrics that show whether the model learns.

        Returns:
            ``loss``: Sum of the weighted terms below, a scalar.
            ``prediction``, ``state``, ``rollout``, ``smoothness``, ``inverse`` and the regularizers' losses:
                The terms, where they exist.
            ``over_copy``: Prediction error divided by the error of repeating the previous frame.
            ``context_BD``, ``target_BD``, ``predicted_BD``: Embeddings of the first frame, of the last frame
                and of its prediction, averaged over the frame's tokens.

        Raises:
            ValueError: A rollout needs imagined states and the predictor does not predict states, or more
                steps than windows have.
        """
        model = self.model
        tokens_BTSD = self._tokens(batch.inputs)
        actions_BIA = model.standardise_actions(batch.actions_BIA)
        states_BTQ = None if batch.states_BTQ is None else model.standardise_states(batch.states_BTQ)
        before = None if states_BTQ is None else states_BTQ[:, :-1]
        acted = actions_BIA if model.dynamics.action_size else None
        following = model.dynamics(tokens_BTSD[:, :-1], acted, before, model.space)
        target_BISD = tokens_BTSD[:, 1:]
        parts = {"prediction": self._error(following.tokens_BTSD, target_BISD)}
        if following.states_BTQ is not None and states_BTQ is not None:
            parts["state"] = F.mse_loss(following.states_BTQ.float(), states_BTQ[:, 1:].float())
        if self.rollout is not None:
            parts["rollout"] = self._rollout_error(
                self.rollout, tokens_BTSD, following, actions_BIA, states_BTQ
            )
        parts |= self._shaping(tokens_BTSD, actions_BIA, batch.step)
        with torch.no_grad():
            copied = self._error(tokens_BTSD[:, :-1], target_BISD)
            measured = {"over_copy": ratio(parts["prediction"], copied)}
        embeddings = {
            "target_BD": target_BISD[:, -1],
            "context_BD": tokens_BTSD[:, 0],
            "predicted_BD": following.tokens_BTSD[:, -1],
        }
        means = {name: part_BSD.detach().mean(dim=1) for name, part_BSD in embeddings.items()}
        return {"loss": sum(parts.values(), torch.zeros_like(copied)), **parts, **measured, **means}

    def _tokens(self, inputs: Tensor) -> Tensor:
        if inputs.dtype != torch.uint8:  # already encoded: tokens from a cache
            return inputs.float()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.model.encode(inputs)

    def _error(self, predicted_BTSD: Tensor, target_BTSD: Tensor) -> Tensor:
        return self.distance(predicted_BTSD.float(), target_BTSD.float()).mean()

    def _rollout_error(
        self,
        rollout: RollOut,
        tokens_BTSD: Tensor,
        following: NextFrame,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None,
    ) -> Tensor:
        """Error of the first `rollout.steps` imagined frames.

        Each is imagined from the first true frame and the frames imagined before it. As in V-JEPA 2-AC, the
        first of them is the teacher-forced prediction, so its error is counted twice in the loss.
        """
        if rollout.steps >= tokens_BTSD.shape[1]:
            raise ValueError(
                f"rollout has {rollout.steps} steps and windows {tokens_BTSD.shape[1]} frames, from the "
                "first of which they are imagined: give fewer steps, or longer windows"
            )
        begun_BTSD = torch.cat([tokens_BTSD[:, :1], following.tokens_BTSD[:, :1]], dim=1)
        known = states_BTQ
        if states_BTQ is not None and rollout.imagined_states:
            if following.states_BTQ is None:
                raise ValueError(
                    "imagined states need a predictor that predicts them: give predicts_state, or true states"
                )
            known = torch.cat([states_BTQ[:, :1], following.states_BTQ[:, :1]], dim=1)
        further_BFSD = self.model.roll_out(begun_BTSD, actions_BIA[:, : rollout.steps], known).tokens_BFSD
        path_BFSD = torch.cat([begun_BTSD[:, 1:], further_BFSD], dim=1)
        return self._error(path_BFSD, tokens_BTSD[:, 1 : rollout.steps + 1])

    def _shaping(self, tokens_BTSD: Tensor, actions_BIA: Tensor, step: int) -> dict[str, Tensor]:
        """Losses on a trained encoder's embeddings: regularizers, smoothness and inverse dynamics."""
        parts: dict[str, Tensor] = {}
        for regularizer in self.regularizers:
            parts |= regularizer(tokens_BTSD.flatten(1, 2), (), step)
        if self.smoothness:
            change = (tokens_BTSD[:, 1:] - tokens_BTSD[:, :-1]).float().square().mean()
            parts["smoothness"] = self.smoothness * change
        if self.model.inverse is not None:
            found_BIA = self.model.inverse(tokens_BTSD[:, :-1], tokens_BTSD[:, 1:])
            parts["inverse"] = self.inverse * F.mse_loss(found_BIA.float(), actions_BIA.float())
        return parts

    def after_step(self, step: int) -> None:
        """Do nothing: this objective has no target encoder."""

    def train(self, mode: bool = True) -> ActionJEPA:
        """Set training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.encoder.eval()
        return self
