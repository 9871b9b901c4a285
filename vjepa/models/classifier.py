"""Classification heads, and an encoder with a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from vjepa.layers.attentive_pool import AttentivePooler, BlocksOn
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.network import Network, in_own_precision

HeadKind = Literal["linear", "mlp", "attentive"]

QUERIES = "pool.queries_QD"
"""Name of an attentive head's learnt queries, which have no weight decay."""


class MeanHead(Network):
    """The mean of all tokens, a norm, and one or two layers (VideoMAE's fine-tuning; linear and MLP probes).

    Args:
        embed_dim: Width D of the tokens.
        num_classes: Number of classes X, 2 or more.
        hidden_dim: Width of a hidden layer. None leaves it out.
        dropout: Dropout rate before the last layer, in [0, 1).
        init_scale: Factor on the last layer's initial weights (0.001 in VideoMAE).

    Raises:
        ValueError: If there are fewer than 2 classes.
    """

    def __init__(
        self,
        embed_dim: int,
        num_classes: int,
        *,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.hidden = (
            nn.Identity()
            if hidden_dim is None
            else nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.GELU())
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = _last_layer(embed_dim if hidden_dim is None else hidden_dim, num_classes, init_scale)

    @in_own_precision
    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits, ``(B, N, D) -> (B, X)``."""
        return self.fc(self.dropout(self.hidden(self.norm(tokens_BND.mean(dim=1)))))


class AttentiveHead(Network):
    """`AttentivePooler`, and one linear layer on the concatenated outputs of its queries.

    Args:
        embed_dim: Width D of the tokens.
        num_classes: Number of classes X, 2 or more.
        num_heads: Number of attention heads; it must divide `embed_dim`. None takes the largest number whose
            heads are 64 wide or more (one head for narrower tokens).
        depth: Number of the pooler's blocks (see `AttentivePooler`).
        queries: Number of the pooler's learnt queries.
        blocks_on: What the pooler's self-attention works on, `tokens` or `queries`.
        norm_eps: Epsilon of the pooler's norms.
        dropout: Dropout rate before the last layer, in [0, 1).
        init_scale: Factor on the last layer's initial weights.

    Raises:
        ValueError: If there are fewer than 2 classes, or if an argument of the pooler is invalid.
    """

    def __init__(
        self,
        embed_dim: int,
        num_classes: int,
        *,
        num_heads: int | None = None,
        depth: int = 1,
        queries: int = 1,
        blocks_on: BlocksOn = "tokens",
        norm_eps: float = 1e-6,
        dropout: float = 0.0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if num_heads is None:
            num_heads = next(
                count for count in range(max(embed_dim // 64, 1), 0, -1) if embed_dim % count == 0
            )
        self.pool = AttentivePooler(
            embed_dim, num_heads, depth=depth, queries=queries, blocks_on=blocks_on, norm_eps=norm_eps
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = _last_layer(queries * embed_dim, num_classes, init_scale)

    @in_own_precision
    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits, ``(B, N, D) -> (B, X)``."""
        return self.fc(self.dropout(self.pool(tokens_BND).flatten(1)))


def build_head(kind: HeadKind, embed_dim: int, num_classes: int, **rest: Any) -> MeanHead | AttentiveHead:
    """Build a head.

    Args:
        kind: Kind of head. `linear` and `mlp` are a `MeanHead`, `attentive` is an `AttentiveHead`.
        embed_dim: Width D of the tokens.
        num_classes: Number of classes X.
        **rest: Further arguments of the head. The hidden layer of an `mlp` is `embed_dim` wide by default.
    """
    if kind == "attentive":
        return AttentiveHead(embed_dim, num_classes, **rest)
    if kind == "mlp":
        rest = {**rest, "hidden_dim": rest.get("hidden_dim") or embed_dim}
    return MeanHead(embed_dim, num_classes, **rest)


@torch.no_grad()
def _last_layer(embed_dim: int, num_classes: int, init_scale: float) -> nn.Linear:
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: give 2 or more, or there is nothing to classify")
    layer = nn.Linear(embed_dim, num_classes)
    trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    layer.weight.mul_(init_scale)
    return layer


class Classifier(nn.Module):
    """An encoder with a classification head.

    Args:
        encoder: Encoder that gives the tokens.
        head: Module from tokens ``(B, N, D)`` to logits ``(B, X)``.
        normalizer: Module that turns uint8 frames into the encoder's pixels.
        levels: Indices of the blocks, counted from 0, whose tokens the head sees. The tokens of all of them
            are concatenated along the sequence, each after the encoder's last norm (V-JEPA 2's multilevel
            probes). Empty takes those of the last block alone.
        token_norm: Apply the encoder's last norm to the tokens. VideoMAE's fine-tuning does not: its head has
            a norm after the mean instead.

    Raises:
        ValueError: If a level does not exist or is given twice.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        head: nn.Module,
        normalizer: PixelNormalizer,
        levels: Sequence[int] = (),
        token_norm: bool = True,
    ) -> None:
        super().__init__()
        depth = len(encoder.transformer.blocks)
        wrong = [level for level in levels if not 0 <= level < depth]
        if wrong or len(set(levels)) < len(levels):
            raise ValueError(
                f"levels are {list(levels)} of {depth} blocks: give numbers from 0 to {depth - 1}, each once"
            )
        self.encoder = encoder
        self.head = head
        self.normalizer = normalizer
        self.levels = tuple(levels)
        self.token_norm = token_norm

    def features(self, video_BTCHW: Tensor) -> Tensor:
        """Compute the tokens that the head sees: videos ``(B, T, C, H, W)`` to ``(B, N, D)``.

        Videos are uint8 in [0, 255] or floats in [0, 1].
        """
        pixels_BCTHW = self.normalizer(video_BTCHW)
        if self.token_norm and not self.levels:
            return self.encoder(pixels_BCTHW)
        levels = self.levels or (len(self.encoder.transformer.blocks) - 1,)
        _, tokens = self.encoder.forward_intermediates(pixels_BCTHW, levels, norm=self.token_norm)
        return torch.cat(tokens, dim=1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """Compute the logits of videos, uint8 or floats in [0, 1]: ``(B, T, C, H, W) -> (B, X)``."""
        return self.head(self.features(video_BTCHW))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that sort parameter names into layers, for timm's layer-wise learning rate decay.

        Names that match none of them (the last norm and the head) form the top layer.
        """
        # timm reads every capturing group as a layer number, so the inner group of "stem" does not capture.
        return {
            "stem": r"^encoder\.(?:patch_embed|image_embed|class_token|modality_tokens)",
            "blocks": r"^encoder\.transformer\.blocks\.(\d+)",
        }

    def no_weight_decay(self) -> set[str]:
        """Names of matrices without weight decay: stacks of learnt token vectors."""
        return {"encoder.class_token", "encoder.modality_tokens", f"head.{QUERIES}"}
