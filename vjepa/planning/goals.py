"""Goals as costs of imagined frames."""

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
    """Interface of goals: the distance of imagined frames from a goal."""

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """Return distances ``(B, s, F)`` of the imagined frames of candidates, ``(B, s, F, S, D)``."""
        ...


@dataclass(frozen=True)
class EmbeddingGoal:
    """Distance from a goal's embedding, averaged over tokens and features.

    Source: V-JEPA 2-AC (arXiv 2506.09985, section 3.2).

    Attributes:
        tokens_BSD: Tokens of the goal frame of each problem.
        distance: Elementwise distance of tokens.
    """

    tokens_BSD: Tensor
    distance: DistanceName = "l2"

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None]
        if wanted.shape[-2:] != tokens_BsFSD.shape[-2:] or len(wanted) != len(tokens_BsFSD):
            raise ValueError(
                f"the goal's embedding has shape {tuple(self.tokens_BSD.shape)} and the imagined frames "
                f"{tuple(tokens_BsFSD.shape)}: give one embedding (S, D) for each problem, from the same "
                "model"
            )
        return DISTANCES[self.distance](tokens_BsFSD, wanted.expand_as(tokens_BsFSD)).mean(dim=(-2, -1))


@dataclass(frozen=True)
class InverseGoal:
    """Mean square of the standardised action that inverse dynamics predicts from a frame to the goal frame.

    It is small where no action is left to do, and 0 where the predicted action is the mean of the training
    actions.

    Attributes:
        inverse: Inverse dynamics of the model. The source `change` suits best, because it also predicts the
            sum of the actions between distant frames.
        tokens_BSD: Tokens of the goal frame of each problem.
    """

    inverse: InverseDynamics
    tokens_BSD: Tensor

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None].expand_as(tokens_BsFSD)
        return self.inverse(tokens_BsFSD, wanted).square().mean(dim=-1)


@dataclass(frozen=True)
class ValueGoal:
    """Mean squared difference between the values that a probe reads from frames and the goal's values.

    Attributes:
        read: Probe from tokens ``(B, S, D)`` to values ``(B, Q)``, for any number of frames B.
        value_BQ: Goal values of each problem.
    """

    read: Callable[[Tensor], Tensor]
    value_BQ: Tensor

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """See `Goal`."""
        found = self.read(tokens_BsFSD.flatten(0, 2)).unflatten(0, tokens_BsFSD.shape[:3])
        return (found - self.value_BQ[:, None, None]).square().mean(dim=-1)


@torch.no_grad()
def image_goal(
    encode: Callable[[Tensor], Tensor], image_BCHW: Tensor, distance: DistanceName = "l2"
) -> EmbeddingGoal:
    """Return the goals that images show.

    Args:
        encode: Encoder of videos ``(B, T, C, H, W)``, such as `ActionModel.encode`.
        image_BCHW: Image of the goal of each problem, uint8.
        distance: Elementwise distance of tokens.

    Raises:
        ValueError: `encode` takes images of another size.
    """
    return EmbeddingGoal(encode(image_BCHW.unsqueeze(1))[:, 0], distance)


def over_steps(distance_BsF: Tensor, path: float) -> Tensor:
    """Return the costs of plans ``(B, s)``, a weighted mean over the distances at their steps.

    Args:
        distance_BsF: Distance from the goal at each step of each plan.
        path: Weight of the mean distance over all steps, in [0, 1]; the distance at the last step has the
            rest. With 0, a plan only has to end at the goal, so an agent that keeps planning may postpone its
            arrival forever. With 1, a plan has to approach the goal at once, so an agent may get stuck where
            the way first leads away from the goal.
    """
    return (1 - path) * distance_BsF[..., -1] + path * distance_BsF.mean(dim=-1)
