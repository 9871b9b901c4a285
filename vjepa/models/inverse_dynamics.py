"""Which action led from one frame to another. Shape letters as in `vjepa.tokens`; S tokens of a frame, A numbers of an action."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

InverseSource = Literal["pair", "change"]


class InverseDynamics(nn.Module):
    """Reads the standardised action from two frames' embeddings: what is acted on must then be in them.

    Args:
        in_width: of a frame's tokens side by side.
        action_size: A.
        source: `pair`, both frames through a hidden layer (PLDM, EB-JEPA); `change`, their difference through one matrix. What
            actions do to the environment they then do to the embedding along straight lines; actions add up, and so do differences, so
            that of two frames far apart it reads the way that is left.
        hidden: width of the hidden layer.
    """

    def __init__(
        self, in_width: int, action_size: int, source: InverseSource = "pair", hidden: int = 256
    ) -> None:
        super().__init__()
        self.source = source
        if source == "change":
            self.net: nn.Module = nn.Linear(in_width, action_size)
        else:
            first = nn.Linear(2 * in_width, hidden)
            self.net = nn.Sequential(first, nn.GELU(), nn.Linear(hidden, action_size))

    def forward(self, before_XSD: Tensor, after_XSD: Tensor) -> Tensor:
        """Tokens of two frames, ``(..., S, D)`` each, to the action between them, ``(..., A)``."""
        before, after = before_XSD.flatten(-2), after_XSD.flatten(-2)
        seen = after - before if self.source == "change" else torch.cat([before, after], dim=-1)
        action: Tensor = self.net(seen)
        return action
