"""Losses that keep embeddings from collapsing without a target encoder.

Both look at how embeddings differ between clips, place by place on the grid: tokens that differ only by where they
are would be as useless as constant ones. Both are statistics of the whole batch, so sums are taken over all
processes, with gradient. Shape letters as in `vjepa.tokens`; J random directions, F frequencies, X places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

Predicted = Sequence[tuple[Tensor, Tensor]]  # (predicted_BMD, target_BM) of each mask


class Regularizer(Protocol):
    """A further loss on the embeddings."""

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """Scalar losses by name, already weighted; `step` is the number of optimiser steps taken."""
        ...


class SIGReg:
    """Sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544).

    Projected on random directions, embeddings should be standard normal: the Epps-Pulley statistic compares
    their empirical characteristic function with ``exp(-t^2 / 2)`` at points t, weighted by the same Gaussian.

    Args:
        weight: of the statistic, which is the mean over directions and places.
        directions: drawn anew each step.
        places: tokens of the grid, drawn anew each step, whose embeddings are tested over the batch, each by itself.
    """

    def __init__(self, weight: float, directions: int, places: int) -> None:
        self.weight = weight
        self.directions = directions
        self.places = places

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """The statistic; predictions follow their targets and need none of their own."""
        width = embedding_BND.shape[-1]
        # Seeded by the step: the same directions on all processes, and after an interruption.
        generator = torch.Generator().manual_seed(step)
        direction_DJ = torch.randn(width, self.directions, generator=generator)
        direction_DJ = (direction_DJ / direction_DJ.norm(dim=0)).to(embedding_BND.device)
        place_X = _drawn_places(embedding_BND, self.places, generator)
        projected_BXJ = embedding_BND[:, place_X].float() @ direction_DJ
        return {"sigreg": self.weight * epps_pulley(projected_BXJ).mean()}


def epps_pulley(sample_BX: Tensor, frequencies: int = 17, highest: float = 3.0) -> Tensor:
    """Distance of samples ``(B, ...)`` from a standard normal, ``(...)``; grows with their number where they differ.

    ``B * integral of |mean_b exp(i t x_b) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt`` from -3 to 3, by the trapezoidal rule;
    the integrand is even, so half of it is computed.
    """
    t_F = torch.linspace(0, highest, frequencies, device=sample_BX.device)
    gauss_F = torch.exp(-t_F.square() / 2)
    angle_BXF = sample_BX.unsqueeze(-1) * t_F
    real_XF, imaginary_XF = (_mean_over_batch(part) for part in (angle_BXF.cos(), angle_BXF.sin()))
    gap_XF = ((real_XF - gauss_F).square() + imaginary_XF.square()) * gauss_F
    return 2 * len(sample_BX) * _num_processes() * torch.trapezoid(gap_XF, t_F)


class VICReg:
    """Variance and covariance regularisation (arXiv 2105.04906) of embeddings and of predictions.

    Args:
        variance: weight of ``mean_d max(0, 1 - std_d)``: every dimension differs between clips.
        covariance: weight of ``sum_{d != e} cov_de^2 / D``: no two dimensions say the same.
        predictions: weight of the predictions' terms beside those of the embeddings. A good prediction varies less than
            what it predicts, by all that cannot be known: where that is much, the variance asked of predictions is noise.
        places: tokens of the grid, drawn anew each step, whose embeddings have their own variance and covariance over
            the batch; their terms are averaged. None takes all tokens together, each about the mean of its place
            (EB-JEPA, arXiv 2602.03604): then a few places that vary much are enough. Predictions are always taken
            together: each clip has its own places.
    """

    def __init__(
        self, variance: float, covariance: float, predictions: float = 1.0, places: int | None = None
    ) -> None:
        self.variance = variance
        self.covariance = covariance
        self.predictions = predictions
        self.places = places

    def __call__(self, embedding_BND: Tensor, predicted: Predicted, step: int) -> dict[str, Tensor]:
        """The two terms, weighted means over the encoder's embeddings and the predictions of each mask."""
        embedding_BND = embedding_BND.float()
        mean_ND = _mean_over_batch(embedding_BND)
        centred_BND = embedding_BND - mean_ND
        if self.places is None:
            found = [_terms(_together(centred_BND))]
        else:
            place_X = _drawn_places(centred_BND, self.places, torch.Generator().manual_seed(step))
            found = [_terms(centred_BND[:, place_X])]
        predicted = predicted if self.predictions else ()
        # A prediction is held against the mean of the place that it is for: places differ from clip to clip.
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
    """Tokens of all places as samples of one, ``(B * N, 1, D)``."""
    return centred_BND.flatten(0, 1).unsqueeze(1)


def _terms(centred_BXD: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and covariance term over the batch, means over places."""
    covariance_XDD = _mean_over_processes(
        torch.einsum("bxd,bxe->xde", centred_BXD, centred_BXD) / len(centred_BXD)
    )
    variance_XD = covariance_XDD.diagonal(dim1=1, dim2=2)
    off_diagonal = covariance_XDD.square().sum() - variance_XD.square().sum()
    return (1 - (variance_XD + 1e-4).sqrt()).relu().mean(), off_diagonal / variance_XD.numel()


def _drawn_places(embedding_BND: Tensor, places: int, generator: torch.Generator) -> Tensor:
    """Positions of so many tokens, ``(X,)``: all of them where there are no more."""
    return torch.randperm(embedding_BND.shape[1], generator=generator)[:places].to(embedding_BND.device)


def _mean_over_batch(values_BX: Tensor) -> Tensor:
    return _mean_over_processes(values_BX.mean(dim=0))


def _mean_over_processes(local: Tensor) -> Tensor:
    """The mean over processes; its gradient goes back to each of them."""
    processes = _num_processes()
    return local if processes == 1 else all_reduce(local) / processes


def _num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
