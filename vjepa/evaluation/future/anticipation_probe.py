"""The attentive probe of action anticipation, its loss and its metric.

All three are those of V-JEPA 2 (arXiv 2506.09985, section 6).
"""

from __future__ import annotations

import math

import torch
from timm.layers.attention_pool import AttentionPoolLatent
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from vjepa.double_precision import in_double
from vjepa.evaluation.probes.fit import fit_probe
from vjepa.seeding import seeded

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
DEPTH = 4  # blocks; the last is the cross-attention of the query
BATCH = 128
EPOCHS, LEAST_STEPS = 20, 300
PEAK_LR, WEIGHT_DECAY = 1e-3, 0.1
WARMUP = 0.1  # share of all steps


class AnticipationProbe(nn.Module):
    """Probe of three self-attention blocks, one learnt query that attends to all tokens, and a linear layer.

    Args:
        embed_dim: Embedding dimension of the tokens.
        num_classes: Number of classes.
    """

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        num_heads = max(embed_dim // 64, 1)
        while embed_dim % num_heads:
            num_heads -= 1
        blocks = [Block(embed_dim, num_heads, qkv_bias=True) for _ in range(DEPTH - 1)]
        pool = AttentionPoolLatent(embed_dim, num_heads=num_heads, norm_layer=nn.LayerNorm)
        self.layers = nn.Sequential(*blocks, nn.LayerNorm(embed_dim), pool, nn.Linear(embed_dim, num_classes))
        self.register_buffer("mean_D", torch.zeros(embed_dim))
        self.register_buffer("std_D", torch.ones(embed_dim))

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Compute logits ``(B, X)`` of tokens ``(B, N, D)``, for an independent sigmoid on each class."""
        return self.layers((tokens_BND - self.mean_D) / self.std_D)

    @staticmethod
    def fit(
        tokens_VND: Tensor,
        labels_V: Tensor,
        num_classes: int,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> AnticipationProbe:
        """Train a probe with sigmoid focal loss (alpha 0.25, gamma 2).

        AdamW takes 20 epochs of batches of at most 128, and at least 300 steps, with warm-up and cosine
        annealing. The settings are the same for every encoder and were tuned for none.

        Args:
            tokens_VND: Frozen tokens; their mean and standard deviation standardise the inputs of the probe.
            labels_V: Int64 classes, from 0 to ``num_classes - 1``.
            num_classes: Number of classes.
            seed: Random seed of the initial weights and the batches, drawn on the CPU.
            device: Device to train on.
        """
        with seeded(seed):
            probe = AnticipationProbe(tokens_VND.shape[-1], num_classes)
        probe.mean_D.copy_(tokens_VND.mean(dim=(0, 1)))
        probe.std_D.copy_(tokens_VND.std(dim=(0, 1)).clamp_min(1e-6))
        steps = max(LEAST_STEPS, EPOCHS * math.ceil(len(labels_V) / BATCH))
        fit_probe(
            probe.to(device), tokens_VND, labels_V, focal_loss,
            steps=steps, batch=BATCH, peak_lr=PEAK_LR, weight_decay=WEIGHT_DECAY, warmup=WARMUP * steps,
            shuffle=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return probe

    @torch.no_grad()
    def scores(self, tokens_VND: Tensor) -> Tensor:
        """Compute logits ``(V, X)`` of tokens ``(V, N, D)``, and return them on the CPU."""
        return torch.cat([self(part.to(self.mean_D.device)).cpu() for part in tokens_VND.split(BATCH)])


def focal_loss(logits_BX: Tensor, labels_B: Tensor) -> Tensor:
    """Compute the sigmoid focal loss (arXiv 1708.02002): sum over classes, mean over clips.

    Each class is a binary problem against all others. `labels_B` holds int64 classes.
    """
    wanted_BX = F.one_hot(labels_B, logits_BX.shape[1]).to(logits_BX.dtype)
    return sigmoid_focal_loss(logits_BX, wanted_BX, ALPHA, GAMMA, reduction="sum") / len(labels_B)


def mean_class_recall(scores_VX: Tensor, labels_V: Tensor, k: int) -> float:
    """Compute mean-class recall@k: the share of hit segments of each class, averaged over the classes.

    A segment is hit if its class is among the `k` best scores. Only classes that occur count.

    Args:
        scores_VX: Scores of the classes; greater is more likely.
        labels_V: Int64 classes. Segments of a class without a column in the scores are missed.
        k: Number of classes that count as named, from 1 to X.

    Raises:
        ValueError: `k` is outside its range.
    """
    if not 1 <= k <= scores_VX.shape[1]:
        raise ValueError(f"k is {k}: there are {scores_VX.shape[1]} classes, so give 1 to as many")
    scores_VX, labels_V = scores_VX.cpu(), labels_V.cpu()
    hit_V = in_double((scores_VX.topk(k, dim=1).indices == labels_V.unsqueeze(1)).any(dim=1))
    return torch.stack([hit_V[labels_V == label].mean() for label in labels_V.unique()]).mean().item()
