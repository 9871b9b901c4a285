"""Inverse dynamics: predict the action that led from one frame to another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vjepa.choices import InverseSource
from vjepa.models.network import Network, in_own_precision


class InverseDynamics(Network):
    """A network that predicts the standardised action from the embeddings of two frames.

    Trained with an encoder, it keeps what actions change in the embeddings.

    Args:
        in_dim: Width of a frame's concatenated tokens, S * D.
        action_size: Numbers of an action, A.
        source: Input of the prediction. `pair` is both frames, through a hidden layer (PLDM, EB-JEPA).
            `change` is their difference, through one matrix. Then a repeated action moves the embedding along
            a straight line. Actions add up as differences do, so for two distant frames the prediction is the
            sum of the actions between them.
        hidden_dim: Width of the hidden layer of `pair`.
    """

    def __init__(
        self, in_dim: int, action_size: int, source: InverseSource = "pair", hidden_dim: int = 256
    ) -> None:
        super().__init__()
        self.source = source
        if source == "change":
            self.net: nn.Module = nn.Linear(in_dim, action_size)
        else:
            first = nn.Linear(2 * in_dim, hidden_dim)
            self.net = nn.Sequential(first, nn.GELU(), nn.Linear(hidden_dim, action_size))

    @in_own_precision
    def forward(self, before_SD: Tensor, after_SD: Tensor) -> Tensor:
        """Predict the action ``(..., A)`` between two frames from their tokens, ``(..., S, D)`` each."""
        before, after = before_SD.flatten(-2), after_SD.flatten(-2)
        seen = after - before if self.source == "change" else torch.cat([before, after], dim=-1)
        action: Tensor = self.net(seen)
        return action
