"""An encoder that names classes: heads, and the two together. Shape letters as in `vjepa.tokens`; X classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from vjepa.layers.attentive_pool import AttentivePooler, BlocksOn
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder

HeadKind = Literal["linear", "mlp", "attentive"]


class MeanHead(nn.Module):
    """The mean of all tokens, a norm, and one layer or two (VideoMAE's fine-tuning; linear and MLP probes).

    Args:
        width: of the tokens, D.
        num_classes: X.
        hidden: width of a hidden layer; None for none.
        dropout: before the last layer.
        init_scale: factor of the last layer's first weights (VideoMAE has .001).
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        hidden: int | None = None,
        dropout: float = 0.0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.hidden = nn.Identity() if hidden is None else nn.Sequential(nn.Linear(width, hidden), nn.GELU())
        self.dropout = nn.Dropout(dropout)
        self.fc = _last_layer(width if hidden is None else hidden, num_classes, init_scale)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits, ``(B, N, D) -> (B, X)``."""
        return self.fc(self.dropout(self.hidden(self.norm(tokens_BND.mean(dim=1)))))


class AttentiveHead(nn.Module):
    """`AttentivePooler`, and one layer on what its queries found, side by side.

    Args:
        width: of the tokens, D.
        num_classes: X.
        heads: attention heads; None takes the greatest number that divides D of those with 64 values or more each.
        depth, queries, blocks_on, norm_eps: of the pooler.
        dropout, init_scale: of the last layer, as of `MeanHead`.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        heads: int | None = None,
        depth: int = 1,
        queries: int = 1,
        blocks_on: BlocksOn = "tokens",
        norm_eps: float = 1e-6,
        dropout: float = 0.0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if heads is None:
            heads = next(count for count in range(max(width // 64, 1), 0, -1) if width % count == 0)
        self.pool = AttentivePooler(
            width, heads, depth=depth, queries=queries, blocks_on=blocks_on, norm_eps=norm_eps
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = _last_layer(queries * width, num_classes, init_scale)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits, ``(B, N, D) -> (B, X)``."""
        return self.fc(self.dropout(self.pool(tokens_BND).flatten(1)))


def build_head(kind: HeadKind, width: int, num_classes: int, **rest: Any) -> MeanHead | AttentiveHead:
    """The head of a kind; `rest` are its further arguments, plain values. An `mlp` is as wide as the tokens unless told."""
    if kind == "attentive":
        return AttentiveHead(width, num_classes, **rest)
    if kind == "mlp":
        rest = {**rest, "hidden": rest.get("hidden") or width}
    return MeanHead(width, num_classes, **rest)


@torch.no_grad()
def _last_layer(width: int, num_classes: int, init_scale: float) -> nn.Linear:
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: give 2 or more, or there is nothing to tell apart")
    layer = nn.Linear(width, num_classes)
    trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    layer.weight.mul_(init_scale)
    return layer


class Classifier(nn.Module):
    """An encoder with a head.

    Args:
        encoder: gives tokens.
        head: tokens ``(B, N, D)`` to logits ``(B, X)``.
        normalizer: bytes to pixels.
        levels: numbers of the blocks whose tokens the head sees, one after the other as further tokens, each after the
            encoder's last norm (V-JEPA 2's multilevel probes); empty for the last block's alone.
        token_norm: tokens pass the encoder's last norm. VideoMAE's fine-tuning leaves it out: the norm of its head
            comes after the mean instead.
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
        """Tokens that the head sees, of videos (uint8, or floats in [0, 1]): ``(B, T, C, H, W) -> (B, N, D)``."""
        pixels_BCTHW = self.normalizer(video_BTCHW)
        if self.token_norm and not self.levels:
            return self.encoder(pixels_BCTHW)
        levels = self.levels or (len(self.encoder.transformer.blocks) - 1,)
        _, tokens = self.encoder.forward_intermediates(pixels_BCTHW, levels, norm=self.token_norm)
        return torch.cat(tokens, dim=1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """Logits of videos (uint8, or floats in [0, 1]): ``(B, T, C, H, W) -> (B, X)``."""
        return self.head(self.features(video_BTCHW))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How names become layers, for timm's layer-wise learning rates; the last norm and the head are the top."""
        # What matches nothing is one more layer on top. An inner group would be read as a number.
        return {
            "stem": r"^encoder\.(?:patch_embed|image_embed|class_token|modality_tokens)",
            "blocks": r"^encoder\.transformer\.blocks\.(\d+)",
        }

    def no_weight_decay(self) -> set[str]:
        """Matrices that are vectors, one for each kind of token: they do not decay."""
        return {"encoder.class_token", "encoder.modality_tokens", "head.pool.queries_QD"}
