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
    """Distance of imagined frames from a goal."""

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """Return distances ``(B, s, F)`` of the imagined frames of candidates, ``(B, s, F, S, D)``."""
        ...


@dataclass(frozen=True)
class EmbeddingGoal:
    """Mean distance from an embedding over tokens and features (V-JEPA 2-AC, arXiv 2506.09985, section 3.2).

    Attributes:
        tokens_BSD: Tokens of the wanted frame of each problem.
        distance: Elementwise distance.
    """

    tokens_BSD: Tensor
    distance: DistanceName = "l2"

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None]
        if wanted.shape[-2:] != tokens_BsFSD.shape[-2:] or len(wanted) != len(tokens_BsFSD):
            raise ValueError(
                f"the goal's embedding has shape {tuple(self.tokens_BSD.shape)} and frames "
                f"{tuple(tokens_BsFSD.shape)}: give one "
                "(S, D) for each problem, of the same model"
            )
        return DISTANCES[self.distance](tokens_BsFSD, wanted.expand_as(tokens_BsFSD)).mean(dim=(-2, -1))


@dataclass(frozen=True)
class InverseGoal:
    """Mean square of the action that inverse dynamics reads between a frame and the goal's frame: 0 where
    nothing is left to do.

    Attributes:
        inverse: Inverse dynamics of the model; the source `change` suits best, since it also reads the way of
            many steps.
        tokens_BSD: Tokens of the goals' frames.
    """

    inverse: InverseDynamics
    tokens_BSD: Tensor

    def __call__(self, tokens_BsFSD: Tensor) -> Tensor:
        """See `Goal`."""
        wanted = self.tokens_BSD[:, None, None].expand_as(tokens_BsFSD)
        return self.inverse(tokens_BsFSD, wanted).square().mean(dim=-1)


@dataclass(frozen=True)
class ValueGoal:
    """Squared difference of a probe's value from a wanted value.

    Attributes:
        read: Probe from tokens ``(V, S, D)`` to numbers ``(V, Q)``.
        value_BQ: Wanted numbers of each problem.
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
    """Return the goal that an image shows, uint8 ``(B, C, H, W)``.

    ValueError if `encode` takes another size.
    """
    return EmbeddingGoal(encode(image_BCHW.unsqueeze(1))[:, 0], distance)


def over_steps(distance_BsF: Tensor, path: float) -> Tensor:
    """Return costs ``(B, s)``: the distance at the last step, mixed with the mean over all steps by the share
    `path` in [0, 1].

    With 0, a plan need only end at the goal, and may put that off again and again; with 1, it must come near
    at once, and is caught where the way leads away from the goal first.
    """
    return (1 - path) * distance_BsF[..., -1] + path * distance_BsF.mean(dim=-1)
