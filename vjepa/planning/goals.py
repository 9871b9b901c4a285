"""What is wanted, as a cost of imagined frames.

Shape letters as in `vjepa.tokens`; S tokens of a frame, H imagined steps, R candidates of each of B problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vjepa.choices import DistanceName
from vjepa.models.inverse_dynamics import InverseDynamics
from vjepa.objectives.distances import DISTANCES


class Goal(Protocol):
    """How far imagined frames are from what is wanted."""

    def __call__(self, tokens_BRHSD: Tensor) -> Tensor:
        """Imagined frames of each problem's candidates, ``(B, R, H, S, D)``, to distances ``(B, R, H)``."""
        ...


@dataclass(frozen=True)
class EmbeddingGoal:
    """Be near an embedding: mean distance over tokens and features (V-JEPA 2-AC, arXiv 2506.09985, section 3.2).

    Attributes:
        tokens_BSD: wanted, one for each problem.
        distance: value by value.
    """

    tokens_BSD: Tensor
    distance: DistanceName = "l2"

    def __call__(self, tokens_BRHSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None]
        if wanted.shape[-2:] != tokens_BRHSD.shape[-2:] or len(wanted) != len(tokens_BRHSD):
            raise ValueError(
                f"the goal's embedding has shape {tuple(self.tokens_BSD.shape)} and frames {tuple(tokens_BRHSD.shape)}: give one "
                "(S, D) for each problem, of the same model"
            )
        return DISTANCES[self.distance](tokens_BRHSD, wanted.expand_as(tokens_BRHSD)).mean(dim=(-2, -1))


@dataclass(frozen=True)
class InverseGoal:
    """Leave nothing to be done: the mean square of the action that inverse dynamics reads between a frame and the goal's.

    Attributes:
        inverse: of the model, best with the source `change`, which also reads ways of many steps.
        tokens_BSD: of the goals' frames.
    """

    inverse: InverseDynamics
    tokens_BSD: Tensor

    def __call__(self, tokens_BRHSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None].expand_as(tokens_BRHSD)
        return self.inverse(tokens_BRHSD, wanted).square().mean(dim=-1)


@dataclass(frozen=True)
class ValueGoal:
    """Make a read-out of the embedding take a value.

    Attributes:
        read: tokens ``(Y, S, D)`` to numbers ``(Y, X)``: a probe.
        value_BX: wanted; the cost is the squared difference.
    """

    read: Callable[[Tensor], Tensor]
    value_BX: Tensor

    def __call__(self, tokens_BRHSD: Tensor) -> Tensor:
        """See `Goal`."""
        found = self.read(tokens_BRHSD.flatten(0, 2)).unflatten(0, tokens_BRHSD.shape[:3])
        return (found - self.value_BX[:, None, None]).square().mean(dim=-1)


@torch.no_grad()
def image_goal(
    encode: Callable[[Tensor], Tensor], image_BCHW: Tensor, distance: DistanceName = "l2"
) -> EmbeddingGoal:
    """Be where an image shows it: uint8 ``(B, C, H, W)`` of the size that `encode` of the model takes, else ValueError."""
    return EmbeddingGoal(encode(image_BCHW.unsqueeze(1))[:, 0], distance)


def over_steps(distance_BRH: Tensor, path: float) -> Tensor:
    """Costs ``(B, R)``: the distance of the last step, and of the mean over all steps with a share of `path` in [0, 1].

    With 0, a plan need only end at the goal, and may put that off again and again; with 1, it must come near at once, and is
    caught where the way leads away from the goal first.
    """
    return (1 - path) * distance_BRH[..., -1] + path * distance_BRH.mean(dim=-1)
