"""The predictor: from context tokens to what stands at target positions.

Shape letters as in `vjepa.tokens`; E is the predictor's own width, Y that of what it predicts, G groups, R
samples of a clip, Z numbers of a noise vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vjepa.choices import PositionKind, RotaryLayout
from vjepa.grid import Grid
from vjepa.layers.blocks import TokenTransformer, init_weights


class Predictor(nn.Module):
    """A narrow ViT over context tokens and mask tokens that predicts one vector a target position.

    With ``out_width = D`` it predicts embeddings (V-JEPA, arXiv 2404.08471, section 3.2); with
    ``out_width = P`` it is the pixel decoder of a masked auto-encoder. Positions come from the
    indices alone, so the order of tokens does not matter and any grid will do.

    Args:
        in_width: width of the context tokens; that of all levels together where the encoder has levels.
        out_width: of the predicted vectors.
        width, depth, heads: of the predictor itself.
        num_mask_tokens: learnt placeholders for targets, one for every kind of mask.
        hidden_width: where given, context tokens enter through an MLP with so many hidden values instead of
            one matrix (V-JEPA 2.1, for tokens of several levels).
        predict_context: it has a second output, at the context's own positions (V-JEPA 2.1).
        trained_side, norm_eps: as of `VideoEncoder`.
        noise_width: where given, it takes noise vectors of so many numbers, and each gives another
            prediction.
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
        hidden_width: int | None = None,
        predict_context: bool = False,
        noise_width: int | None = None,
        trained_side: int | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.embed = _embedding(in_width, hidden_width, width)
        self.mask_tokens = nn.Parameter(torch.zeros(num_mask_tokens, width))
        self.transformer = TokenTransformer(
            width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio,
            positions=positions, rotary_layout=rotary_layout, trained_side=trained_side, norm_eps=norm_eps,
        )  # fmt: skip
        self.proj = nn.Linear(width, out_width)
        self.context_proj = nn.Linear(width, out_width) if predict_context else None
        # Without a bias: no noise and noise that is zero are the same.
        self.noise_proj = None if noise_width is None else nn.Linear(noise_width, width, bias=False)
        init_weights(self)

    def forward(
        self,
        tokens_BKD: Tensor,
        context_BK: Tensor,
        target_BM: Tensor,
        grid: Grid,
        mask_token: int = 0,
        groups: int = 1,
        *,
        predict_context: bool = False,
        noise_BZ: Tensor | None = None,
    ) -> Tensor:
        """Predict the targets.

        Args:
            tokens_BKD: encoded context, ``(B, K, D)``; tokens more than `context_BK` has stand in front and
                have no position (a class token).
            context_BK: int64 positions of those tokens on `grid`, in ``[0, N)``.
            target_BM: int64 positions to predict.
            grid: ``(t, h, w)`` that both index into; time may reach beyond the context.
            mask_token: which learnt placeholder stands at the targets, in ``[0, num_mask_tokens)``.
            groups: the targets are so many groups of equal length, one after the other, each predicted from
                the context as if the others were not there (I-JEPA's target blocks).
            predict_context: predict at the context, too, in front of the targets.
            noise_BZ: standard normal, ``(B, noise_width)``: all targets of a clip share its vector, so that
                they are of one and the same future. None is zeros: one more sample, and not the mean of them.

        Returns:
            ``(B, M, out_width)``, in the order of `target_BM`; with `predict_context`,
            ``(B, K + M, out_width)``.
        """
        if not 0 <= mask_token < len(self.mask_tokens):
            raise ValueError(
                f"mask_token {mask_token} does not exist: this predictor has {len(self.mask_tokens)}, "
                "counted from 0"
            )
        context_BKE = self.embed(tokens_BKD)
        index_BM = target_BM
        if groups > 1:  # folded into the batch
            index_BM = target_BM.reshape(len(target_BM) * groups, -1)
            context_BK = context_BK.repeat_interleave(groups, dim=0)
            context_BKE = context_BKE.repeat_interleave(groups, dim=0)
        masked_BME = self.mask_tokens[mask_token].to(context_BKE.dtype).expand(*index_BM.shape, -1)
        if noise_BZ is not None:
            noise_BE = self._projected(noise_BZ.to(context_BKE.dtype)).repeat_interleave(groups, dim=0)
            masked_BME = masked_BME + noise_BE.unsqueeze(1)
        tokens_BXE = torch.cat([context_BKE, masked_BME], dim=1)
        tokens_BXE = self.transformer(tokens_BXE, grid, torch.cat([context_BK, index_BM], dim=1))
        context_BKE, target_BME = tokens_BXE.tensor_split([tokens_BXE.shape[1] - index_BM.shape[1]], dim=1)
        predicted_BMY = self.proj(target_BME).reshape(*target_BM.shape, -1)
        return (
            torch.cat([self._at_context(context_BKE), predicted_BMY], dim=1)
            if predict_context
            else predicted_BMY
        )

    def _projected(self, noise_BZ: Tensor) -> Tensor:
        if self.noise_proj is None:
            raise ValueError(
                "this predictor takes no noise: build it with a noise_width, or give no noise_BZ"
            )
        if noise_BZ.shape[-1] != self.noise_proj.in_features:
            raise ValueError(
                f"noise_BZ has {noise_BZ.shape[-1]} numbers a clip: this predictor's noise_width is "
                f"{self.noise_proj.in_features}; give as many"
            )
        return self.noise_proj(noise_BZ)

    def _at_context(self, context_BKE: Tensor) -> Tensor:
        if self.context_proj is None:
            raise ValueError(
                "this predictor has no output at the context: build it with predict_context=True"
            )
        return self.context_proj(context_BKE)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.transformer.grad_checkpointing = enable


def predict_samples(
    predictor: nn.Module,
    tokens_BKD: Tensor,
    context_BK: Tensor,
    target_BM: Tensor,
    grid: Grid,
    noise_BsZ: Tensor,
    mask_token: int = 0,
    groups: int = 1,
) -> Tensor:
    """Several predictions of each clip, ``(B, R, M, out_width)``: one a noise vector of ``(B, R, noise_width)``.

    The other arguments are those of `Predictor.forward`. Clips are repeated for the predictor alone: what
    encodes the context works once.
    """
    num_samples = noise_BsZ.shape[1]
    repeated = (part.repeat_interleave(num_samples, dim=0) for part in (tokens_BKD, context_BK, target_BM))
    predicted_XMY: Tensor = predictor(*repeated, grid, mask_token, groups, noise_BZ=noise_BsZ.flatten(0, 1))
    return predicted_XMY.unflatten(0, (-1, num_samples))


def _embedding(in_width: int, hidden_width: int | None, width: int) -> nn.Module:
    if hidden_width is None:
        return nn.Linear(in_width, width)
    return nn.Sequential(nn.Linear(in_width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width))
