"""Predict the embedding of the next frame from actions, by teacher forcing and over several imagined steps.

V-JEPA 2-AC (arXiv 2506.09985, section 3) on a frozen encoder; PLDM (arXiv 2502.14819), EB-JEPA (arXiv 2602.03604) and LeWM
(arXiv 2603.19312) where the encoder learns, too. Shape letters as in `vjepa.tokens`; T frames, S tokens of a frame, X actions
between them, A numbers of an action, Q numbers of a state, H imagined frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.batch import TrajectoryBatch
from vjepa.models.action_model import ActionModel
from vjepa.models.action_predictor import NextFrame
from vjepa.objectives.batch_metric import ratio
from vjepa.objectives.distances import DISTANCES, DistanceName
from vjepa.objectives.regularizers import Regularizer


class RollOut(NamedTuple):
    """A further loss on what is imagined from the first frame on.

    Attributes:
        steps: imagined frames, 2 or more; the first is that of teacher forcing.
        imagined_states: go on from predicted states, as in planning, and not from the true ones.
    """

    steps: int
    imagined_states: bool


class ActionJEPA(nn.Module):
    """Loss of an `ActionModel` on trajectories.

    Args:
        model: trained; with `frozen`, its predictor alone.
        frozen: the encoder stays as it is.
        distance: of predicted from true embeddings.
        rollout: a loss on several steps, or None.
        regularizer: keeps the embeddings of an encoder that learns from collapsing; frames and tokens are places to it.
        smoothness: weight of the mean squared change of an embedding from frame to frame.
        inverse: weight of the error of the model's inverse dynamics, which it must then have.
    """

    def __init__(
        self,
        *,
        model: ActionModel,
        frozen: bool,
        distance: DistanceName = "l2",
        rollout: RollOut | None = None,
        regularizer: Regularizer | None = None,
        smoothness: float = 0.0,
        inverse: float = 0.0,
    ) -> None:
        super().__init__()
        if (model.inverse is None) == bool(inverse):
            raise ValueError(
                f"inverse is {inverse} and the model has {'no' if model.inverse is None else 'an'} inverse dynamics: give a weight "
                "above 0 to a model that has one, and to no other"
            )
        self.model = model
        self.frozen = frozen
        if frozen:
            model.encoder.requires_grad_(False)
            if model.projector is not None:
                model.projector.requires_grad_(False)
        self.distance = DISTANCES[distance]
        self.rollout = rollout
        self.regularizer = regularizer
        self.smoothness = smoothness
        self.inverse = inverse

    def forward(self, batch: TrajectoryBatch) -> dict[str, Any]:
        """The loss, and what tells whether it means anything.

        Returns:
            ``loss``; its parts by name; ``over_copy``, the error of prediction over that of predicting that nothing moves.
            ``target_BD``, ``context_BD``, ``predicted_BD``: embeddings of a frame, averaged over its tokens.
        """
        model = self.model
        tokens_BTSD = self._tokens(batch.inputs)
        actions_BIA = model.standardise_actions(batch.actions_BIA)
        states_BTQ = None if batch.states_BTQ is None else model.standardise_states(batch.states_BTQ)
        before = None if states_BTQ is None else states_BTQ[:, :-1]
        acted = actions_BIA if model.dynamics.action_size else None
        following = model.dynamics(tokens_BTSD[:, :-1], acted, before, model.space)
        target_BXSD = tokens_BTSD[:, 1:]
        parts = {"prediction": self._error(following.tokens_BTSD, target_BXSD)}
        if following.states_BTQ is not None and states_BTQ is not None:
            parts["state"] = F.mse_loss(following.states_BTQ.float(), states_BTQ[:, 1:].float())
        if self.rollout is not None:
            parts["rollout"] = self._rollout_error(
                self.rollout, tokens_BTSD, following, actions_BIA, states_BTQ
            )
        parts |= self._shaping(tokens_BTSD, actions_BIA, batch.step)
        with torch.no_grad():
            copied = self._error(tokens_BTSD[:, :-1], target_BXSD)
            measured = {"over_copy": ratio(parts["prediction"], copied)}
        embeddings = {
            "target_BD": target_BXSD[:, -1],
            "context_BD": tokens_BTSD[:, 0],
            "predicted_BD": following.tokens_BTSD[:, -1],
        }
        means = {name: part_BSD.detach().mean(dim=1) for name, part_BSD in embeddings.items()}
        return {"loss": sum(parts.values(), torch.zeros_like(copied)), **parts, **measured, **means}

    def _tokens(self, inputs: Tensor) -> Tensor:
        if inputs.dtype != torch.uint8:  # encoded before
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
        """Error of the first steps, each imagined from the first true frame and those imagined before it.

        As V-JEPA 2-AC: the first of them is that of teacher forcing, and has its part in the loss once more.
        """
        begun_BTSD = torch.cat([tokens_BTSD[:, :1], following.tokens_BTSD[:, :1]], dim=1)
        known = states_BTQ
        if states_BTQ is not None and rollout.imagined_states:
            if following.states_BTQ is None:
                raise ValueError(
                    "imagined states need a predictor that predicts them: give predicts_state, or true states"
                )
            known = torch.cat([states_BTQ[:, :1], following.states_BTQ[:, :1]], dim=1)
        further_BHSD = self.model.roll_out(begun_BTSD, actions_BIA[:, : rollout.steps], known).tokens_BFSD
        path_BHSD = torch.cat([begun_BTSD[:, 1:], further_BHSD], dim=1)
        return self._error(path_BHSD, tokens_BTSD[:, 1 : rollout.steps + 1])

    def _shaping(self, tokens_BTSD: Tensor, actions_BIA: Tensor, step: int) -> dict[str, Tensor]:
        """What an encoder that learns is asked for beside being predictable."""
        parts: dict[str, Tensor] = {}
        if self.regularizer is not None:
            parts |= self.regularizer(tokens_BTSD.flatten(1, 2), (), step)
        if self.smoothness:
            change = (tokens_BTSD[:, 1:] - tokens_BTSD[:, :-1]).float().square().mean()
            parts["smoothness"] = self.smoothness * change
        if self.model.inverse is not None:
            found_BXA = self.model.inverse(tokens_BTSD[:, :-1], tokens_BTSD[:, 1:])
            parts["inverse"] = self.inverse * F.mse_loss(found_BXA.float(), actions_BIA.float())
        return parts

    def after_step(self, step: int) -> None:
        """Nothing follows the encoder here."""

    def train(self, mode: bool = True) -> ActionJEPA:
        """Training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.encoder.eval()
        return self
