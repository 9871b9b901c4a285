"""Losses that keep embeddings from collapsing, with or without a target encoder.

Both losses measure how embeddings differ between clips at the same position of the token grid: embeddings
that depend on the position alone would be as useless as constant ones. Both are statistics of the whole
batch, so sums run over all processes, with gradient. Where the encoder sees context tokens alone, the
statistics of a position are taken over the clips in which it is a context token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F

Predicted = Sequence[tuple[Tensor, Tensor]]
"""For each mask, predictions ``(B, M, D)`` and the positions that they are for, ``(B, M)``."""


class Regularizer(Protocol):
    """Additional loss on the embeddings."""

    def __call__(
        self, embedding_BND: Tensor, predicted: Predicted, step: int, present_BN: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            embedding_BND: Embeddings of the tokens of the clips, with gradient.
            predicted: Predictions of each mask, and their positions.
            step: Number of optimiser steps taken so far; it seeds random draws.
            present_BN: Whether each token was encoded. None if all were; embeddings of others are ignored.

        Returns:
            Scalar losses by name, already weighted.
        """
        ...


class SIGReg(nn.Module):
    """Sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544).

    Projected on random directions, embeddings should be standard normal. The Epps-Pulley statistic compares
    their empirical characteristic function with ``exp(-t^2 / 2)`` at points t, weighted by the same Gaussian.

    Args:
        weight: Weight of the statistic, which is averaged over directions and positions.
        directions: Number of random directions, drawn anew each step.
        places: Number of positions of the token grid, drawn anew each step. The embeddings at each of them
            are tested separately, over the batch.
        projector: Network whose outputs are tested instead of the embeddings, as published. None tests the
            embeddings themselves.
    """

    def __init__(
        self, weight: float, directions: int, places: int, projector: Projector | None = None
    ) -> None:
        super().__init__()
        self.weight = weight
        self.directions = directions
        self.places = places
        self.projector = projector

    def forward(
        self, embedding_BND: Tensor, predicted: Predicted, step: int, present_BN: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the statistic of the embeddings; predictions follow their targets and are not tested."""
        # Seeded by the step: all processes draw the same directions, and so does a resumed run.
        generator = torch.Generator().manual_seed(step)
        width = embedding_BND.shape[-1] if self.projector is None else self.projector.out_dim
        direction_DJ = torch.randn(width, self.directions, generator=generator)
        direction_DJ = (direction_DJ / direction_DJ.norm(dim=0)).to(embedding_BND.device)
        place_N = _drawn_places(embedding_BND, self.places, generator)
        drawn_BND = embedding_BND[:, place_N].float()
        present_BN = None if present_BN is None else present_BN[:, place_N]
        if self.projector is not None:
            drawn_BND = self.projector(drawn_BND, present_BN)
        statistic_NJ = epps_pulley(drawn_BND @ direction_DJ, present_BN)
        return {"sigreg": self.weight * _mean_over_places(statistic_NJ, present_BN)}


class Projector(nn.Module):
    """The projector of LeJEPA: three linear layers, the first two with batch normalisation and ReLU.

    Source: rbalestr-lab/lejepa at eddffdd, MINIMAL.md (``MLP(512, [2048, 2048, proj_dim], BatchNorm1d)``).
    Statistics of the normalisation are those of the batch over all processes, tokens of all positions
    together. There are no running statistics, because the projector serves training alone.

    Args:
        in_dim: Embedding dimension.
        hidden_dim: Width of the two hidden layers.
        out_dim: Number of outputs.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim
        # Without bias, which the normalisation takes out again.
        self.linear = nn.ModuleList(
            [nn.Linear(in_dim, hidden_dim, bias=False), nn.Linear(hidden_dim, hidden_dim, bias=False)]
        )
        self.scale = nn.ParameterList([nn.Parameter(torch.ones(hidden_dim)) for _ in self.linear])
        self.shift = nn.ParameterList([nn.Parameter(torch.zeros(hidden_dim)) for _ in self.linear])
        self.last = nn.Linear(hidden_dim, out_dim)

    def forward(self, embedding_BND: Tensor, present_BN: Tensor | None = None) -> Tensor:
        """Project embeddings ``(B, N, D)`` to ``(B, N, out_dim)``; statistics leave absent tokens out."""
        if present_BN is None:
            present_BN = torch.ones_like(embedding_BND[..., 0], dtype=torch.bool)
        for linear, scale, shift in zip(self.linear, self.scale, self.shift, strict=True):
            embedding_BND = F.relu(_standardised(linear(embedding_BND), present_BN) * scale + shift)
        return self.last(embedding_BND)


def _standardised(value_BND: Tensor, present_BN: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Standardise each dimension over the present tokens of all clips and processes."""
    weight_BN1 = present_BN.unsqueeze(-1).to(value_BND.dtype)
    count = _sum_over_processes(weight_BN1.sum()).clamp(min=1)
    mean_D = _sum_over_processes((value_BND * weight_BN1).sum(dim=(0, 1))) / count
    centred_BND = value_BND - mean_D
    variance_D = _sum_over_processes((centred_BND.square() * weight_BN1).sum(dim=(0, 1))) / count
    return centred_BND * (variance_D + epsilon).rsqrt()


def epps_pulley(
    sample: Tensor, present_BN: Tensor | None = None, frequencies: int = 17, highest: float = 3.0
) -> Tensor:
    """Compute the Epps-Pulley statistic: how far samples ``(B, ...)`` are from a standard normal, ``(...)``.

    The statistic is ``B * integral of |mean_b exp(i t x_b) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt`` from
    ``-highest`` to `highest`, by the trapezoidal rule. The integrand is even, so only half of it is computed.
    For samples of another distribution it grows with their number, B over all processes.

    Args:
        sample: Samples of all processes' batches along the first axis.
        present_BN: Which samples ``(B, N, ...)`` exist; B is then their number at each position. None if all
            do.
        frequencies: Number of points t in ``[0, highest]``.
        highest: Upper limit of the integral.
    """
    t_f = torch.linspace(0, highest, frequencies, device=sample.device)
    gauss_f = torch.exp(-t_f.square() / 2)
    angle = sample.unsqueeze(-1) * t_f
    real, imaginary = (_mean_over_batch(part, present_BN) for part in (angle.cos(), angle.sin()))
    gap = ((real - gauss_f).square() + imaginary.square()) * gauss_f
    integral = torch.trapezoid(gap, t_f)
    if present_BN is None:
        return 2 * len(sample) * _num_processes() * integral
    count_N = _count_over_batch(present_BN)
    return 2 * count_N.reshape(-1, *[1] * (integral.ndim - 1)) * integral


class VICReg(nn.Module):
    """Variance and covariance regularisation (arXiv 2105.04906) of embeddings and of predictions.

    Args:
        variance: Weight of ``mean_i max(0, 1 - std_i)``, which makes every dimension i differ between clips.
        covariance: Weight of ``sum_{i != j} cov_ij^2 / D``, which keeps dimensions from being redundant.
        predictions: Weight of the predictions' terms relative to those of the embeddings; 0 with a target
            encoder, which the predictions follow. A good prediction varies less than its target, by all that
            is unpredictable: if that is much, this term asks predictions for noise.
        places: Number of positions of the token grid, drawn anew each step. The variance and covariance at
            each of them are computed separately, over the batch, and their terms averaged. None computes them
            over all tokens together, each minus the mean of its position (EB-JEPA, arXiv 2602.03604); then it
            is enough that a few positions vary much. Predictions are always taken together, because their
            positions differ between clips.
    """

    def __init__(
        self, variance: float, covariance: float, predictions: float = 0.0, places: int | None = None
    ) -> None:
        super().__init__()
        self.variance = variance
        self.covariance = covariance
        self.predictions = predictions
        self.places = places

    def forward(
        self, embedding_BND: Tensor, predicted: Predicted, step: int, present_BN: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute both terms as weighted means over the embeddings and the predictions of each mask."""
        embedding_BND = embedding_BND.float()
        mean_ND = _mean_over_batch(embedding_BND, present_BN)
        centred_BND = embedding_BND - mean_ND
        if self.places is None:
            found = [_terms(_together(centred_BND), None if present_BN is None else _together(present_BN))]
        else:
            place_N = _drawn_places(centred_BND, self.places, torch.Generator().manual_seed(step))
            found = [_terms(centred_BND[:, place_N], None if present_BN is None else present_BN[:, place_N])]
        predicted = predicted if self.predictions else ()
        # Positions of predictions differ between clips, so each is centred by the mean embedding at its own
        # position.
        found += [
            _terms(_together(predicted_BMD.float() - mean_ND[target_BM]))
            for predicted_BMD, target_BM in predicted
        ]
        weights = [1.0, *[self.predictions] * len(predicted)]
        variance, covariance = (
            sum(weight * part for weight, part in zip(weights, term, strict=True)) / sum(weights)
            for term in zip(*found, strict=True)
        )
        return {"variance": self.variance * variance, "covariance": self.covariance * covariance}


def _together(values: Tensor) -> Tensor:
    """Return tokens of all positions as samples of one position: ``(B, N, ...) -> (B * N, 1, ...)``."""
    return values.flatten(0, 1).unsqueeze(1)


def _terms(centred_BND: Tensor, present_BN: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Variance and covariance terms over the batch, averaged over positions."""
    if present_BN is None:
        covariance_NDD = _mean_over_processes(
            torch.einsum("bnd,bne->nde", centred_BND, centred_BND) / len(centred_BND)
        )
        variance_ND = covariance_NDD.diagonal(dim1=1, dim2=2)
        off_diagonal = covariance_NDD.square().sum() - variance_ND.square().sum()
        return (1 - (variance_ND + 1e-4).sqrt()).relu().mean(), off_diagonal / variance_ND.numel()
    present_BND = centred_BND * present_BN.unsqueeze(-1)
    products_NDD = _sum_over_processes(torch.einsum("bnd,bne->nde", present_BND, present_BND))
    covariance_NDD = products_NDD / _count_over_batch(present_BN).clamp(min=1)[:, None, None]
    variance_ND = covariance_NDD.diagonal(dim1=1, dim2=2)
    off_diagonal_N = covariance_NDD.square().sum(dim=(1, 2)) - variance_ND.square().sum(dim=1)
    hinge_ND = (1 - (variance_ND + 1e-4).sqrt()).relu()
    return (
        _mean_over_places(hinge_ND, present_BN),
        _mean_over_places(off_diagonal_N / variance_ND.shape[1], present_BN),
    )


def _drawn_places(embedding_BND: Tensor, places: int, generator: torch.Generator) -> Tensor:
    """Draw `places` positions of the token grid, ``(N,)``, or all positions if the grid has no more."""
    return torch.randperm(embedding_BND.shape[1], generator=generator)[:places].to(embedding_BND.device)


def _mean_over_places(values: Tensor, present_BN: Tensor | None) -> Tensor:
    """Average values ``(N, ...)`` over all axes, leaving out positions without two present tokens."""
    if present_BN is None:
        return values.mean()
    usable_N = (_count_over_batch(present_BN) >= 2).to(values.dtype)
    mean_N = values.flatten(1).mean(dim=1) if values.ndim > 1 else values
    return (mean_N * usable_N).sum() / usable_N.sum().clamp(min=1)


def _mean_over_batch(values: Tensor, present_BN: Tensor | None = None) -> Tensor:
    """Average values ``(B, ...)`` over the clips of all processes, or over those with a present token."""
    if present_BN is None:
        return _mean_over_processes(values.mean(dim=0))
    weight = present_BN.reshape(*present_BN.shape, *[1] * (values.ndim - 2)).to(values.dtype)
    count_N = _count_over_batch(present_BN).clamp(min=1)
    total = _sum_over_processes((values * weight).sum(dim=0))
    return total / count_N.reshape(-1, *[1] * (values.ndim - 2))


def _count_over_batch(present_BN: Tensor) -> Tensor:
    """Number of present tokens at each position, over the clips of all processes, ``(N,)``."""
    return _sum_over_processes(present_BN.float().sum(dim=0))


def _mean_over_processes(local: Tensor) -> Tensor:
    """Average a tensor over all processes; the gradient flows back to each of them."""
    processes = _num_processes()
    return local if processes == 1 else all_reduce(local) / processes


def _sum_over_processes(local: Tensor) -> Tensor:
    """Add a tensor up over all processes; the gradient flows back to each of them."""
    return local if _num_processes() == 1 else all_reduce(local)


def _num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
