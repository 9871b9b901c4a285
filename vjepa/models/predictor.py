"""The predictor: from context tokens to what stands at target positions.

Shape letters as in `vjepa.tokens`; E is the predictor's own width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.positions import PositionKind, RotaryLayout
from vjepa.tokens import Grid


class Predictor(nn.Module):
    """A narrow ViT over context tokens and mask tokens that predicts one vector a target position.

    With ``out_width = D`` it predicts embeddings (V-JEPA, arXiv 2404.08471, section 3.2); with
    ``out_width = P`` it is the pixel decoder of a masked auto-encoder. Positions come from the
    indices alone, so the order of tokens does not matter and any grid will do.

    Args:
        in_width: width of the context tokens, D.
        out_width: of the predicted vectors.
        width, depth, heads: of the predictor itself.
        num_mask_tokens: learnt placeholders for targets, one for every kind of mask.
    """

    def __init__(
        self,
        *,
        in_width: int,
        out_width: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        num_mask_tokens: int = 1,
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(in_width, width)
        self.mask_tokens = nn.Parameter(torch.zeros(num_mask_tokens, width))
        self.transformer = TokenTransformer(
            width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio,
            positions=positions, rotary_layout=rotary_layout,
        )  # fmt: skip
        self.proj = nn.Linear(width, out_width)
        init_weights(self)

    def forward(
        self, tokens_BKD: Tensor, context_BK: Tensor, target_BM: Tensor, grid: Grid, mask_token: int = 0
    ) -> Tensor:
        """Predict the targets.

        Args:
            tokens_BKD: encoded context, ``(B, K, D)``.
            context_BK: int64 positions of those tokens on `grid`, in ``[0, N)``.
            target_BM: int64 positions to predict.
            grid: ``(t, h, w)`` that both index into; time may reach beyond the context.
            mask_token: which learnt placeholder stands at the targets, in ``[0, num_mask_tokens)``.

        Returns:
            ``(B, M, out_width)``, in the order of `target_BM`.
        """
        if not 0 <= mask_token < len(self.mask_tokens):
            raise ValueError(
                f"mask_token {mask_token} does not exist: this predictor has {len(self.mask_tokens)}, "
                "counted from 0"
            )
        context_BKE = self.embed(tokens_BKD)
        num_targets = target_BM.shape[1]
        target_BME = (
            self.mask_tokens[mask_token].to(context_BKE.dtype).expand(len(target_BM), num_targets, -1)
        )
        tokens_BXE = torch.cat([context_BKE, target_BME], dim=1)
        tokens_BXE = self.transformer(tokens_BXE, grid, torch.cat([context_BK, target_BM], dim=1))
        return self.proj(tokens_BXE[:, -num_targets:])

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.transformer.grad_checkpointing = enable
