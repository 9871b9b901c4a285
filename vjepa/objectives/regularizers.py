"""Losses that keep embeddings from collapsing without a target encoder.

Both losses measure how embeddings differ between clips at the same position of the token grid: embeddings
that depend on the position alone would be as useless as constant ones. Both are statistics of the whole
batch, so sums run over all processes, with gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

Predicted = Sequence[tuple[Tensor, Tensor]]
"""For each mask, predictions ``(B, M, D)`` and the positions that they are for, ``(B, M)``."""


class Regularizer(Protocol):
    """Additional loss on the embeddings."""

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            embedding_BND: Embeddings of all tokens of the clips.
            predicted: Predictions of each mask, and their positions.
            step: Number of optimiser steps taken so far; it seeds random draws.

        Returns:
            Scalar losses by name, already weighted.
        """
        ...


class SIGReg:
    """Sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544).

    Projected on random directions, embeddings should be standard normal. The Epps-Pulley statistic compares
    their empirical characteristic function with ``exp(-t^2 / 2)`` at points t, weighted by the same Gaussian.

    Args:
        weight: Weight of the statistic, which is averaged over directions and positions.
        directions: Number of random directions, drawn anew each step.
        places: Number of positions of the token grid, drawn anew each step. The embeddings at each of them
            are tested separately, over the batch.
    """

    def __init__(self, weight: float, directions: int, places: int) -> None:
        self.weight = weight
        self.directions = directions
        self.places = places

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """Compute the statistic of the embeddings; predictions follow their targets and are not tested."""
        width = embedding_BND.shape[-1]
        # Seeded by the step: all processes draw the same directions, and so does a resumed run.
        generator = torch.Generator().manual_seed(step)
        direction_DJ = torch.randn(width, self.directions, generator=generator)
        direction_DJ = (direction_DJ / direction_DJ.norm(dim=0)).to(embedding_BND.device)
        place_N = _drawn_places(embedding_BND, self.places, generator)
        projected_BNJ = embedding_BND[:, place_N].float() @ direction_DJ
        return {"sigreg": self.weight * epps_pulley(projected_BNJ).mean()}


def epps_pulley(sample: Tensor, frequencies: int = 17, highest: float = 3.0) -> Tensor:
    """Compute the Epps-Pulley statistic: how far samples ``(B, ...)`` are from a standard normal, ``(...)``.

    The statistic is ``B * integral of |mean_b exp(i t x_b) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt`` from
    ``-highest`` to `highest`, by the trapezoidal rule. The integrand is even, so only half of it is computed.
    For samples of another distribution it grows with their number, B over all processes.

    Args:
        sample: Samples of all processes' batches along the first axis.
        frequencies: Number of points t in ``[0, highest]``.
        highest: Upper limit of the integral.
    """
    t_f = torch.linspace(0, highest, frequencies, device=sample.device)
    gauss_f = torch.exp(-t_f.square() / 2)
    angle = sample.unsqueeze(-1) * t_f
    real, imaginary = (_mean_over_batch(part) for part in (angle.cos(), angle.sin()))
    gap = ((real - gauss_f).square() + imaginary.square()) * gauss_f
    return 2 * len(sample) * _num_processes() * torch.trapezoid(gap, t_f)


class VICReg:
    """Variance and covariance regularisation (arXiv 2105.04906) of embeddings and of predictions.

    Args:
        variance: Weight of ``mean_i max(0, 1 - std_i)``, which makes every dimension i differ between clips.
        covariance: Weight of ``sum_{i != j} cov_ij^2 / D``, which keeps dimensions from being redundant.
        predictions: Weight of the predictions' terms relative to those of the embeddings. A good prediction
            varies less than its target, by all that is unpredictable: if that is much, this term asks
            predictions for noise.
        places: Number of positions of the token grid, drawn anew each step. The variance and covariance at
            each of them are computed separately, over the batch, and their terms averaged. None computes them
            over all tokens together, each minus the mean of its position (EB-JEPA, arXiv 2602.03604); then it
            is enough that a few positions vary much. Predictions are always taken together, because their
            positions differ between clips.
    """

    def __init__(
        self, variance: float, covariance: float, predictions: float = 1.0, places: int | None = None
    ) -> None:
        self.variance = variance
        self.covariance = covariance
        self.predictions = predictions
        self.places = places

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """Compute both terms as weighted means over the embeddings and the predictions of each mask."""
        embedding_BND = embedding_BND.float()
        mean_ND = _mean_over_batch(embedding_BND)
        centred_BND = embedding_BND - mean_ND
        if self.places is None:
            found = [_terms(_together(centred_BND))]
        else:
            place_N = _drawn_places(centred_BND, self.places, torch.Generator().manual_seed(step))
            found = [_terms(centred_BND[:, place_N])]
        predicted = predicted if self.predictions else ()
        # Positions of predictions differ between clips, so each is centred by the mean embedding at its own
        # position.
        found += [
            _terms(_together(predicted_BMD.float() - mean_ND[target_BM]))
            for predicted_BMD, target_BM in predicted
        ]
        weight = torch.tensor([1.0, *[self.predictions] * len(predicted)], device=mean_ND.device)
        variance, covariance = (
            (torch.stack(term) * weight).sum() / weight.sum() for term in zip(*found, strict=True)
        )
        return {"variance": self.variance * variance, "covariance": self.covariance * covariance}


def _together(centred_BND: Tensor) -> Tensor:
    """Tokens of all positions as samples of a single position: ``(B, N, D) -> (B * N, 1, D)``."""
    return centred_BND.flatten(0, 1).unsqueeze(1)


def _terms(centred_BND: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and covariance terms over the batch, averaged over positions."""
    covariance_NDD = _mean_over_processes(
        torch.einsum("bnd,bne->nde", centred_BND, centred_BND) / len(centred_BND)
    )
    variance_ND = covariance_NDD.diagonal(dim1=1, dim2=2)
    off_diagonal = covariance_NDD.square().sum() - variance_ND.square().sum()
    return (1 - (variance_ND + 1e-4).sqrt()).relu().mean(), off_diagonal / variance_ND.numel()


def _drawn_places(embedding_BND: Tensor, places: int, generator: torch.Generator) -> Tensor:
    """Draw `places` positions of the token grid, ``(N,)``, or all positions if the grid has no more."""
    return torch.randperm(embedding_BND.shape[1], generator=generator)[:places].to(embedding_BND.device)


def _mean_over_batch(values: Tensor) -> Tensor:
    return _mean_over_processes(values.mean(dim=0))


def _mean_over_processes(local: Tensor) -> Tensor:
    """Average a tensor over all processes; the gradient flows back to each of them."""
    processes = _num_processes()
    return local if processes == 1 else all_reduce(local) / processes


def _num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
