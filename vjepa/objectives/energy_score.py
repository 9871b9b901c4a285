"""Losses for predictors of several futures.

If several things can happen, a single prediction ends up at their mean, which matches none of them. Several
sampled predictions can each match one of them.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from vjepa.choices import Score


class Futures:
    """Loss of several samples of each clip's future against the true future, averaged over clips.

    Args:
        score: Kind of loss.
            ``energy`` is the energy score (`energy_score`), which is smallest, on average, for samples from
            the true distribution.
            ``best`` compares only the best sample of each clip with the true future, so only that one gets a
            gradient (as in DeltaWorld, arXiv 2604.04913). The samples learn to differ, but not how likely
            each of them is.
    """

    def __init__(self, score: Score = "energy") -> None:
        self.score = score

    def __call__(self, predicted_BsMY: Tensor, target_BMY: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the loss, the spread and the error, each a scalar.

        Args:
            predicted_BsMY: Sampled predictions of each clip's targets, ``(B, s, M, Y)``, 2 samples or more.
            target_BMY: True targets, ``(B, M, Y)``.

        Returns:
            The loss, the mean distance between two samples, and the mean distance between a sample and the
            target. The second divided by the third is the relative spread: 1 on average if the target could
            be one of the samples, 0 if all samples are equal.
        """
        error_BsM, spread_BM = token_errors(predicted_BsMY, target_BMY), token_spread(predicted_BsMY)
        if self.score == "energy":
            loss = error_BsM.mean() - spread_BM.mean() / 2
        else:
            loss = error_BsM.mean(dim=-1).min(dim=1).values.mean()
        return loss, spread_BM.mean(), error_BsM.mean()


def energy_score(predicted_BsMY: Tensor, target_BMY: Tensor) -> Tensor:
    """Compute the energy score of samples ``(B, s, M, Y)``, s of 2 or more, for every token: ``(B, M)``.

    Smaller is better. The score is ``mean_i |x_i - y| - 1 / (2 s (s - 1)) * sum_{i != j} |x_i - x_j|`` with
    samples x_i and target y: an unbiased estimate of the energy score of the distribution of the samples
    (Gneiting and Raftery 2007, eq. 22). That score is strictly proper: on average, only the true distribution
    reaches the best score. So the number of samples changes only the noise of the gradient, and a single
    score may be below 0.

    The norms are taken of each token by itself and divided by ``sqrt(Y)``, which makes them root mean
    squares: their size does not depend on the width, and is that of the distance which this loss replaces. A
    norm over all tokens of a clip would make the score proper for their joint distribution, too. But in so
    many dimensions such a norm hardly shows where samples differ, only how much in all, and the certain
    background would get the spread that the objects lack. That all tokens of a sample belong to one future
    follows from the noise vector that they share, which is enough for global weather forecasts (FGN, arXiv
    2506.10772).
    """
    return token_errors(predicted_BsMY, target_BMY).mean(dim=1) - token_spread(predicted_BsMY) / 2


def token_errors(predicted_BsMY: Tensor, target_BMY: Tensor) -> Tensor:
    """Root mean square distance between every sample's tokens and their targets, ``(B, s, M)``."""
    return _distance(predicted_BsMY, target_BMY.unsqueeze(1))


def token_spread(predicted_BsMY: Tensor) -> Tensor:
    """Mean root mean square distance between two different samples of each token, ``(B, M)``.

    Raises:
        ValueError: If there are fewer than 2 samples.
    """
    if predicted_BsMY.shape[1] < 2:
        raise ValueError(f"{predicted_BsMY.shape[1]} sample of each clip has no spread: give 2 or more")
    pairs = itertools.combinations(predicted_BsMY.unbind(dim=1), 2)
    return torch.stack([_distance(first_BMY, second_BMY) for first_BMY, second_BMY in pairs]).mean(dim=0)


def _distance(first_Y: Tensor, second_Y: Tensor) -> Tensor:
    """Root mean square of the difference over the last axis; its gradient is 0 where the difference is 0."""
    return torch.linalg.vector_norm(first_Y - second_Y, dim=-1) / first_Y.shape[-1] ** 0.5
