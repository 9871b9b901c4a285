"""The attentive probe of action anticipation, its loss and its metric.

As in V-JEPA 2 (arXiv 2506.09985, section 6).
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
from vjepa.schedules import warm_up_then_anneal
from vjepa.seeding import seeded

ALPHA, GAMMA = 0.25, 2.0
DEPTH = 4  # blocks, the last of them cross-attention
BATCH = 128
EPOCHS, LEAST_STEPS = 20, 300
PEAK_LR, WEIGHT_DECAY = 1e-3, 0.1
WARMUP = 0.1  # share of all steps


class AnticipationProbe(nn.Module):
    """Three blocks of self-attention, then one learnt query that attends to all tokens, and a linear layer.

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
        """Logits ``(B, X)`` of tokens ``(B, N, D)``, for a sigmoid on each class by itself."""
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

        AdamW for 20 epochs of batches of at most 128, or for 300 steps where that is more, with warm-up and
        cosine annealing. The settings are the same for every encoder and tuned for none.

        Args:
            tokens_VND: Frozen tokens; the probe standardises them with their mean and standard deviation.
            labels_V: Int64 classes, from 0 to ``num_classes - 1``.
            num_classes: Number of classes.
            seed: Random seed of the initial weights and the batches, drawn on the CPU.
            device: Device to train on.
        """
        with seeded(seed):
            probe = AnticipationProbe(tokens_VND.shape[-1], num_classes)
        probe.mean_D.copy_(tokens_VND.mean(dim=(0, 1)))
        probe.std_D.copy_(tokens_VND.std(dim=(0, 1)).clamp_min(1e-6))
        _train(probe.to(device), tokens_VND, labels_V, torch.Generator().manual_seed(seed))
        return probe.eval()

    @torch.no_grad()
    def scores(self, tokens_VND: Tensor) -> Tensor:
        """Logits ``(V, X)`` of tokens ``(V, N, D)``, on the CPU."""
        return torch.cat([self(part.to(self.mean_D.device)).cpu() for part in tokens_VND.split(BATCH)])


def _train(probe: AnticipationProbe, tokens_VND: Tensor, labels_V: Tensor, random: torch.Generator) -> None:
    device, batch = probe.mean_D.device, min(BATCH, len(labels_V))
    steps = max(LEAST_STEPS, EPOCHS * math.ceil(len(labels_V) / batch))
    optimizer = torch.optim.AdamW(probe.parameters(), lr=PEAK_LR, weight_decay=WEIGHT_DECAY)
    order: list[Tensor] = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = warm_up_then_anneal(
            step, total=steps, warmup=WARMUP * steps, start=0.0, peak=PEAK_LR, final=0.0, shape="cosine"
        )
        order = order or list(torch.randperm(len(labels_V), generator=random).split(batch))
        rows = order.pop()
        logits_BX = probe(tokens_VND[rows].to(device))
        focal_loss(logits_BX, labels_V[rows].to(device)).backward()
        optimizer.step()
        optimizer.zero_grad()


def focal_loss(logits_BX: Tensor, labels_B: Tensor) -> Tensor:
    """Sigmoid focal loss (arXiv 1708.02002) of each class against all others.

    Sum over classes, mean over clips, of logits ``(B, X)`` and int64 classes ``(B,)``.
    """
    wanted_BX = F.one_hot(labels_B, logits_BX.shape[1]).to(logits_BX.dtype)
    return sigmoid_focal_loss(logits_BX, wanted_BX, ALPHA, GAMMA, reduction="sum") / len(labels_B)


def mean_class_recall(scores_VX: Tensor, labels_V: Tensor, k: int) -> float:
    """Mean-class recall@k: mean over the classes that occur of the share of their segments that are hit.

    A segment is hit where its class is among the `k` best scores.

    Args:
        scores_VX: Scores of the classes; greater is more likely.
        labels_V: Int64 classes. A number without a column in the scores is a class that cannot be named: its
            segments are missed.
        k: Number of classes that count as named, from 1 to X.

    Raises:
        ValueError: `k` is outside its range.
    """
    if not 1 <= k <= scores_VX.shape[1]:
        raise ValueError(f"k is {k}: there are {scores_VX.shape[1]} classes, so give 1 to as many")
    scores_VX, labels_V = scores_VX.cpu(), labels_V.cpu()
    hit_V = in_double((scores_VX.topk(k, dim=1).indices == labels_V.unsqueeze(1)).any(dim=1))
    return torch.stack([hit_V[labels_V == label].mean() for label in labels_V.unique()]).mean().item()
