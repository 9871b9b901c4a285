"""Is the representation alive? Measures across samples, and an alarm that says what to do.

A falling loss proves nothing where the targets are learnt: constant embeddings have no loss at all. So
encoder, targets and predictions are measured across the samples of a batch, before any LayerNorm of the
targets (which would give every token unit deviation and hide the collapse).

Shape letters as in `vjepa.tokens`; here B counts the samples that are measured together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


def embedding_measures(embedding_BD: Tensor) -> dict[str, float]:
    """How much embeddings of different samples differ.

    Returns:
        ``std``: deviation across samples, mean over dimensions. ``rank``: RankMe (arXiv 2210.02885), the
        exponential of the entropy of the singular values, of the centred matrix; at most ``min(B - 1, D)``.
        ``cosine``: mean cosine of pairs of different samples; 1 if all point the same way. One sample alone
        has no measures.
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


@dataclass
class CollapseAlarm:
    """Watches measures over a run and speaks once when one falls far below what it has been.

    Absolute thresholds mean nothing across models and data; what collapses falls. A measure is held
    against its own best smoothed value so far.

    Attributes:
        fall: the alarm rings below this share of the best value.
        smoothing: weight of the past in the smoothed value.
    """

    fall: float = 0.2
    smoothing: float = 0.5
    smoothed: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    rung: list[str] = field(default_factory=list)

    def update(self, measures: dict[str, float]) -> str | None:
        """Take the measures of one logged step; the message of a new alarm, or None."""
        message = None
        for name, value in measures.items():
            # Predictions begin by falling to the mean: only what encodes is watched.
            if name.startswith("predicted/") or not name.endswith(("/std", "/rank")):
                continue
            past = self.smoothed.get(name, value)
            now = self.smoothing * past + (1 - self.smoothing) * value
            self.smoothed[name] = now
            self.best[name] = max(self.best.get(name, 0.0), now)
            if name not in self.rung and now < self.fall * self.best[name]:
                self.rung.append(name)
                message = message or _message(name, now, self.best[name])
        return message


def _message(name: str, now: float, best: float) -> str:
    part, measure = name.split("/")
    what = "embeddings of different clips become equal" if measure == "std" else "embeddings lose dimensions"
    return (
        f"collapse alarm: {name} fell to {now:.3g}, {100 * now / best:.0f} % of its best value {best:.3g}: the "
        f"{part} {what}. Likely causes, first the likeliest: the target encoder follows too fast (raise "
        "objective.momentum towards 1), the learning rate is too high (divide optim.lr by 3), the warm-up is "
        "too short, or masks leave nothing to predict. The loss may fall meanwhile: it is not progress."
    )
