"""Several futures of each clip, and what makes them those that may happen.

Where more than one thing can happen, a single prediction goes between them, where nothing will be. Samples need not.

Shape letters as in `vjepa.tokens`; Y is the width of what is predicted, R samples of each clip.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor

Score = Literal["energy", "best"]


class Futures:
    """Loss of R samples against what happened: one number for each clip, averaged over clips.

    ``energy``  The energy score, which is smallest for samples from the true distribution: `energy_score`.
    ``best``    Only the best of the samples is held against what happened, and only it learns (as DeltaWorld, arXiv
                2604.04913): samples come to differ, but nothing tells them how often each should come.

    Args:
        score: which of the two.
    """

    def __init__(self, score: Score = "energy") -> None:
        self.score = score

    def __call__(self, predicted_BRMY: Tensor, target_BMY: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, the mean distance of samples from each other, and their mean distance from what happened.

        The second over the third, the relative spread, is 1 on average where what happened could be one of the samples,
        and 0 where the samples are all alike.
        """
        error_BRM, spread_BM = token_errors(predicted_BRMY, target_BMY), token_spread(predicted_BRMY)
        if self.score == "energy":
            loss = error_BRM.mean() - spread_BM.mean() / 2
        else:
            loss = error_BRM.mean(dim=-1).min(dim=1).values.mean()
        return loss, spread_BM.mean(), error_BRM.mean()


def energy_score(predicted_BRMY: Tensor, target_BMY: Tensor) -> Tensor:
    """Energy score of R samples, 2 or more, of every token, ``(B, M)``; the smaller the better.

    ``mean_r |x_r - y| - 1 / (2 R (R - 1)) * sum_{r != s} |x_r - x_s|``: an unbiased estimate of the score of the
    distribution that the samples are from (Gneiting and Raftery 2007, eq. 22), which is strictly proper: no other
    distribution has a score as good, on average, as that of the truth. So R only changes the noise of the gradient, and a
    score may be below 0.

    The norms are of each token by itself, over ``sqrt(Y)``, which makes them root mean squares: of the same size for any
    width, and of that of the distance which they replace. Of all tokens of a clip together the score would be proper for
    their joint distribution, too; but in so many dimensions a norm hardly tells where samples are spread, only how much
    they are in all, and the sure background would get the spread that the objects lack. That tokens are of one
    future is left to the noise, which they share: enough for weather over the globe (FGN, arXiv 2506.10772).
    """
    return token_errors(predicted_BRMY, target_BMY).mean(dim=1) - token_spread(predicted_BRMY) / 2


def token_errors(predicted_BRMY: Tensor, target_BMY: Tensor) -> Tensor:
    """Distance of every sample's tokens from their targets, ``(B, R, M)``."""
    return _distance(predicted_BRMY, target_BMY.unsqueeze(1))


def token_spread(predicted_BRMY: Tensor) -> Tensor:
    """Mean distance of two different samples, token by token, ``(B, M)``."""
    if predicted_BRMY.shape[1] < 2:
        raise ValueError(f"{predicted_BRMY.shape[1]} sample of each clip has no spread: give 2 or more")
    pairs = itertools.combinations(predicted_BRMY.unbind(dim=1), 2)
    return torch.stack([_distance(first_BMY, second_BMY) for first_BMY, second_BMY in pairs]).mean(dim=0)


def _distance(first_Y: Tensor, second_Y: Tensor) -> Tensor:
    """Root mean square of the difference; its gradient where there is none is 0."""
    return torch.linalg.vector_norm(first_Y - second_Y, dim=-1) / first_Y.shape[-1] ** 0.5
