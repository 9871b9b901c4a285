"""Measures of representation collapse across samples, and an alarm that names remedies.

A falling loss does not show learning if the targets are learnt: constant embeddings have a loss of 0. So the
embeddings of encoder, targets and predictions are compared across the samples of a batch, before any
LayerNorm of the targets, which would give every token unit standard deviation and hide the collapse.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from vjepa.double_precision import in_double


def embedding_measures(embedding_BD: Tensor) -> dict[str, float]:
    """Measure how much the embeddings of different samples differ.

    Args:
        embedding_BD: One embedding of each sample.

    Returns:
        Measures by name; empty for a single sample. ``std`` is the standard deviation across samples, mean
        over dimensions. ``rank`` is RankMe (arXiv 2210.02885), the exponential of the entropy of the centred
        matrix's singular values, at most ``min(B - 1, D)``. ``cosine`` is the mean cosine similarity of pairs
        of different samples, 1 if all embeddings point the same way.
    """
    num_samples = len(embedding_BD)
    if num_samples < 2:
        return {}
    embedding_BD = embedding_BD.float()
    centred_BD = embedding_BD - embedding_BD.mean(dim=0)
    singular = torch.linalg.svdvals(centred_BD)
    share = singular / singular.sum().clamp_min(1e-12) + 1e-12
    unit_BD = F.normalize(embedding_BD, dim=-1)
    pairs = num_samples * (num_samples - 1)
    return {
        "std": centred_BD.pow(2).mean(dim=0).sqrt().mean().item(),
        "rank": torch.exp(-(share * share.log()).sum()).item(),
        "cosine": ((unit_BD.sum(dim=0).pow(2).sum() - num_samples) / pairs).item(),
    }


CONSTANT = 1e-5  # standard deviation across clips; normalised embeddings have one of about 1


@dataclass
class CollapseAlarm:
    """Alarm that is raised once for each collapse measure that falls far below its best value in the run.

    No absolute threshold fits all models and data, so the smoothed value of each measure is compared with its
    highest value so far. The exception is a standard deviation below 1e-5, where embeddings are the same for
    every clip: it raises the alarm at once.

    Attributes:
        fall: Share of the highest value below which the alarm is raised, in (0, 1).
        smoothing: Weight of the previous smoothed value in the exponential average, in [0, 1).
        smoothed: Current smoothed value of each measure.
        best: Highest smoothed value of each measure.
        rung: Names of the measures that have raised an alarm.
    """

    fall: float = 0.2
    smoothing: float = 0.5
    smoothed: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    rung: list[str] = field(default_factory=list)

    def update(self, measures: dict[str, float]) -> str | None:
        """Add the measures of one logged step and return the message of a new alarm.

        Args:
            measures: Measures by name, such as ``encoder/std``. Only standard deviations and ranks are
                watched, and not those of ``predicted``.

        Returns:
            Message that names all measures that raise the alarm now; None if no measure does.
        """
        message, others = None, []
        for name, value in measures.items():
            # At first, predictions approach the mean of the targets: their measures fall without a collapse.
            if name.startswith("predicted/") or not name.endswith(("/std", "/rank")):
                continue
            past = self.smoothed.get(name, value)
            now = self.smoothing * past + (1 - self.smoothing) * value
            self.smoothed[name] = now
            self.best[name] = max(self.best.get(name, 0.0), now)
            constant = name.endswith("/std") and value < CONSTANT
            if name not in self.rung and (constant or now < self.fall * self.best[name]):
                self.rung.append(name)
                if message is None:
                    message = (
                        _constant_message(name, value) if constant else _message(name, now, self.best[name])
                    )
                else:
                    others.append(name)
        return f"{message} The same alarm is raised by {', '.join(others)}." if others else message


def _constant_message(name: str, value: float) -> str:
    part, _ = name.split("/")
    return (
        f"collapse alarm: {name} is {value:.1g}: the {part} embeddings are the same for every clip, and "
        "nothing can be learnt from them. Look at what gives them: a target encoder that has collapsed or "
        "was never trained (objective.teacher), or clips that are all alike. The loss may be low "
        "meanwhile: it is not progress."
    )


def _message(name: str, now: float, best: float) -> str:
    part, measure = name.split("/")
    what = "embeddings of different clips become equal" if measure == "std" else "embeddings lose dimensions"
    return (
        f"collapse alarm: {name} fell to {now:.3g}, {100 * now / best:.0f} % of its best value {best:.3g}: "
        f"the {part} {what}. Likely causes, first the likeliest: the target encoder, where there is one, "
        "follows too fast (raise objective.momentum towards 1), the learning rate is too high (divide "
        "optim.lr by 3), the warm-up is too short, a regulariser is too weak (raise the weights of "
        "objective.sigreg or objective.vicreg), or masks leave nothing to predict. The loss may fall "
        "meanwhile: it is not progress."
    )


SHRINKAGE = 1e-4  # added to the diagonal of the covariance within videos


def lidar(features_VRD: Tensor) -> float:
    """Compute the effective rank of a linear discriminant analysis (LiDAR, arXiv 2312.04000).

    Videos are the classes. The result is the exponential of the entropy of the eigenvalues of
    ``W^-1/2 S W^-1/2``, from 1 to D. S is the covariance of the videos' means. W is the covariance of clips
    within their videos, plus 1e-4 times the identity.

    Args:
        features_VRD: Features of two or more videos, with two or more clips of each.

    Raises:
        ValueError: There are fewer than two videos, or fewer than two clips of each.
    """
    if features_VRD.ndim != 3 or features_VRD.shape[0] < 2 or features_VRD.shape[1] < 2:
        raise ValueError(
            f"features have the shape {tuple(features_VRD.shape)}: give (videos, clips, D) with 2 or more of "
            "both"
        )
    features_VRD = in_double(features_VRD)
    mean_VD = features_VRD.mean(dim=1)
    between_VD = mean_VD - mean_VD.mean(dim=0)
    within_BD = (features_VRD - mean_VD[:, None]).flatten(0, 1)
    num_videos, num_clips, width = features_VRD.shape
    between_DD = between_VD.T @ between_VD / (num_videos - 1)
    within_DD = within_BD.T @ within_BD / (num_videos * (num_clips - 1))
    values_D, vectors_DD = torch.linalg.eigh(within_DD + SHRINKAGE * torch.eye(width).to(within_DD))
    whitening_DD = vectors_DD / values_D.sqrt() @ vectors_DD.T
    eigenvalues_D = torch.linalg.eigvalsh(whitening_DD @ between_DD @ whitening_DD).clamp_min(0)
    share_D = eigenvalues_D / eigenvalues_D.sum().clamp_min(1e-12) + 1e-12
    return torch.exp(-(share_D * share_D.log()).sum()).item()
