"""The attentive probe: one learnt query attends to all tokens of a clip."""

from __future__ import annotations

from functools import partial

import torch
from timm.layers.attention_pool import AttentionPoolLatent
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.evaluation.probes.fit import fit_probe
from vjepa.evaluation.probes.linear import balanced_accuracy, check_labelled
from vjepa.seeding import seeded

STEPS = 200
BATCH = 128
PEAK_LR = 1e-3
WEIGHT_DECAY = 0.1
WARMUP = 20


def attentive_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, seed: int) -> float:
    """Fit an attentive probe on `train`, and return its balanced accuracy on `test`.

    Args:
        train: Frozen tokens ``(V, N, D)`` and int64 classes ``(V,)`` to fit on, see `attentive_classes`.
        test: Tokens and classes to measure on.
        seed: Random seed of the initial weights and the batches; the same seed gives the same metric.

    Returns:
        Balanced accuracy in [0, 1]: mean over classes of the share of their videos that is recognised.

    Raises:
        ValueError: A video has no class (-1).
    """
    check_labelled(train, test)
    return balanced_accuracy(attentive_classes(train, test[0], seed=seed), test[1])


def attentive_classes(train: tuple[Tensor, Tensor], others_VND: Tensor, *, seed: int) -> Tensor:
    """Fit an attentive probe on `train`, and return the classes that it gives other videos, int64 ``(V,)``.

    The probe is that of V-JEPA (arXiv 2404.08471, section 4): cross-attention of one learnt query, an MLP and
    a linear layer. Training takes 200 steps of AdamW on batches of at most 128 videos, with warm-up and
    cosine annealing; the settings are the same for every encoder and were tuned for none. Tokens are
    standardised with the training split's mean and standard deviation. Each class weighs the same in the
    loss.

    Args:
        train: Frozen tokens ``(V, N, D)`` and int64 classes ``(V,)`` to fit on.
        others_VND: Tokens of the videos to classify.
        seed: Random seed of the initial weights and the batches.
    """
    mean_D, std_D = train[0].mean(dim=(0, 1)), train[0].std(dim=(0, 1)).clamp_min(1e-6)
    train_VND, others_VND = ((tokens - mean_D) / std_D for tokens in (train[0], others_VND))
    weight_X = 1 / train[1].bincount().clamp(min=1)
    with seeded(seed):
        probe = _AttentiveClassifier(train_VND.shape[-1], int(train[1].max()) + 1)
        fit_probe(
            probe, train_VND, train[1], partial(F.cross_entropy, weight=weight_X),
            steps=STEPS, batch=BATCH, peak_lr=PEAK_LR, weight_decay=WEIGHT_DECAY, warmup=WARMUP, fused=True,
        )  # fmt: skip
    with torch.no_grad():
        return torch.cat([probe(tokens).argmax(dim=1) for tokens in others_VND.split(BATCH)])


class _AttentiveClassifier(nn.Module):
    def __init__(self, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        most = max(embed_dim // 64, 1)
        heads = next(number for number in range(most, 0, -1) if embed_dim % number == 0)
        self.pool = AttentionPoolLatent(embed_dim, num_heads=heads)
        self.head = nn.Linear(embed_dim, num_classes)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        return self.head(self.pool(tokens_BND))
