"""The predictor: from context tokens to embeddings, or pixels, at target positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vjepa.choices import PositionKind, RotaryLayout
from vjepa.grid import Grid
from vjepa.layers.blocks import TokenTransformer, init_weights
from vjepa.layers.targets import PredictionTargets
from vjepa.models.network import Network, in_own_precision
from vjepa.tokens import gather_last_seen


class Predictor(Network):
    """A narrow ViT over context tokens and mask tokens that predicts one vector per target position.

    With ``out_dim = D`` it predicts embeddings (V-JEPA, arXiv 2404.08471, section 3.2); with
    ``out_dim = P`` it is the pixel decoder of a masked auto-encoder. Positions come from the indices alone,
    so the order of the tokens does not matter and any grid works.

    Args:
        in_dim: Width of the context tokens; if the encoder has levels, that of all levels together.
        out_dim: Width of the predicted vectors.
        embed_dim: Width E of the predictor's blocks.
        depth: Number of blocks.
        num_heads: Number of attention heads per block; it must divide `embed_dim`.
        mlp_ratio: Width of each block's MLP divided by `embed_dim`.
        num_mask_tokens: Number of learnt mask tokens, one for each kind of mask.
        positions: Kind of positions (see `VideoEncoder`).
        rotary_layout: Layout of rotary positions (see `VideoEncoder`).
        hidden_dim: Hidden width of an MLP that embeds the context tokens (V-JEPA 2.1, for tokens of several
            levels). None embeds them with a single matrix.
        predict_context: Build a second output layer, for predictions at the context positions (V-JEPA 2.1).
        noise_dim: Numbers of a noise vector, Z; different noise gives different predictions. None builds a
            predictor without noise.
        residual: Add the output at each target to the latest context token at the same place of an earlier
            time step, normalised as targets are; to zeros where there is none. The output layer starts at
            zero, so that the untrained predictor copies what it saw last. No gradient flows through the copy,
            because the encoder could make copies exact by encoding nothing that changes.
        causal: Let targets attend to earlier time steps of the context alone, and to targets of their own
            time step, so that each time step may be predicted from those before it in one pass. The encoder
            must be causal, too, or the context knows the future.
        trained_side: Side of the grid that rotary positions are stretched to (see `VideoEncoder`).
        norm_eps: Epsilon of all norms.

    Raises:
        ValueError: If `residual` is set and the output has another width than the tokens.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        num_mask_tokens: int = 1,
        positions: PositionKind = "rotary",
        rotary_layout: RotaryLayout = "interleave",
        hidden_dim: int | None = None,
        predict_context: bool = False,
        noise_dim: int | None = None,
        residual: bool = False,
        causal: bool = False,
        trained_side: int | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if residual and in_dim != out_dim:
            raise ValueError(
                f"residual is set, in_dim {in_dim} and out_dim {out_dim}: the output is added to a context "
                "token, so give equal widths, or leave residual out"
            )
        self.embed = _embedding(in_dim, hidden_dim, embed_dim)
        self.mask_tokens = nn.Parameter(torch.zeros(num_mask_tokens, embed_dim))
        self.transformer = TokenTransformer(
            embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio,
            positions=positions, rotary_layout=rotary_layout, causal=causal, trained_side=trained_side,
            norm_eps=norm_eps,
        )  # fmt: skip
        self.proj = nn.Linear(embed_dim, out_dim)
        self.context_proj = nn.Linear(embed_dim, out_dim) if predict_context else None
        # No bias, so that zero noise equals no noise.
        self.noise_proj = None if noise_dim is None else nn.Linear(noise_dim, embed_dim, bias=False)
        init_weights(self)
        self.residual = residual
        if residual:
            nn.init.zeros_(self.proj.weight)

    @in_own_precision
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
        targets: PredictionTargets | None = None,
        copied_BKD: Tensor | None = None,
    ) -> Tensor:
        """Predict the targets.

        Args:
            tokens_BKD: Encoded context, ``(B, K, D)``. If there are more tokens than indices in `context_BK`,
                the surplus is in front and has no position (a class token).
            context_BK: Int64 positions of the context tokens on `grid`, in ``[0, N)``.
            target_BM: Int64 positions to predict.
            grid: Token grid that both index into. It may extend in time beyond the context.
            mask_token: Index of the mask token that stands at the targets, in ``[0, num_mask_tokens)``.
            groups: Number of groups of equal length that the targets consist of, one after the other. Each
                group is predicted from the context independently of the others (I-JEPA's target blocks).
            predict_context: Also return predictions at the context, in front of those of the targets.
            noise_BZ: Standard normal noise, ``(B, noise_dim)``. All targets of a clip share one vector, so
                that they belong to the same future. None means zeros, which gives one more sample, not the
                mean of the samples.
            targets: Normalisation of the targets; only a predictor with `residual` needs it.
            copied_BKD: Tokens of the context that a predictor with `residual` adds its output to, such as
                those of the target encoder while the encoder is trained. None takes `tokens_BKD`.

        Returns:
            Predictions ``(B, M, out_width)`` in the order of `target_BM`; with `predict_context`,
            ``(B, K + M, out_width)``.

        Raises:
            ValueError: If `mask_token` does not exist, if noise or `predict_context` is given to a predictor
                that was built without it, if the noise has another width, or if a predictor with `residual`
                is given no `targets`.
        """
        base_BKD = tokens_BKD if copied_BKD is None else copied_BKD
        copied_BMY = self._copied(base_BKD, context_BK, target_BM, grid, targets)
        context_BKE = self.embed(tokens_BKD)
        index_BM = target_BM
        if groups > 1:  # fold the groups into the batch
            index_BM = target_BM.reshape(len(target_BM) * groups, -1)
            context_BK = context_BK.repeat_interleave(groups, dim=0)
            context_BKE = context_BKE.repeat_interleave(groups, dim=0)
        masked_BME = self._masked(mask_token, index_BM, noise_BZ, groups, context_BKE.dtype)
        tokens_BNE = torch.cat([context_BKE, masked_BME], dim=1)
        index_BN, queries = torch.cat([context_BK, index_BM], dim=1), index_BM.shape[1]
        tokens_BNE = self.transformer(tokens_BNE, grid, index_BN, queries=queries)
        context_BKE, target_BME = tokens_BNE.tensor_split([tokens_BNE.shape[1] - queries], dim=1)
        predicted_BMY = self.proj(target_BME).reshape(*target_BM.shape, -1)
        predicted_BMY = predicted_BMY if copied_BMY is None else predicted_BMY + copied_BMY
        if not predict_context:
            return predicted_BMY
        return torch.cat([self._at_context(context_BKE), predicted_BMY], dim=1)

    def _masked(
        self, mask_token: int, index_BM: Tensor, noise_BZ: Tensor | None, groups: int, dtype: torch.dtype
    ) -> Tensor:
        """Return what stands at the targets: a mask token for each, plus the noise of its clip."""
        masked_BME = self._mask_token(mask_token).to(dtype).expand(*index_BM.shape, -1)
        if noise_BZ is None:
            return masked_BME
        noise_BZ = noise_BZ.repeat_interleave(groups, dim=0)
        return masked_BME + self._projected(noise_BZ.to(dtype)).unsqueeze(1)

    def _mask_token(self, number: int) -> Tensor:
        if not 0 <= number < len(self.mask_tokens):
            raise ValueError(
                f"mask_token {number} does not exist: this predictor has {len(self.mask_tokens)}, "
                "counted from 0"
            )
        return self.mask_tokens[number]

    def _copied(
        self,
        tokens_BKD: Tensor,
        context_BK: Tensor,
        target_BM: Tensor,
        grid: Grid,
        targets: PredictionTargets | None,
    ) -> Tensor | None:
        """Return what the predictor's output is added to; None without `residual`."""
        if not self.residual:
            return None
        if targets is None:
            raise ValueError(
                "this predictor adds its output to context tokens, normalised as targets are: give targets"
            )
        seen_BKY = targets.normalise(tokens_BKD.detach()[:, -context_BK.shape[1] :])
        return gather_last_seen(seen_BKY, context_BK, target_BM, grid)

    def _projected(self, noise_BZ: Tensor) -> Tensor:
        if self.noise_proj is None:
            raise ValueError("this predictor takes no noise: build it with a noise_dim, or give no noise_BZ")
        if noise_BZ.shape[-1] != self.noise_proj.in_features:
            raise ValueError(
                f"noise_BZ has {noise_BZ.shape[-1]} numbers a clip: this predictor's noise_dim is "
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
    targets: PredictionTargets | None = None,
    copied_BKD: Tensor | None = None,
) -> Tensor:
    """Predict several futures of each clip, one for each noise vector.

    Only the predictor runs on repeated clips; the context is encoded once. Arguments not listed here are
    those of `Predictor.forward`.

    Args:
        noise_BsZ: Standard normal noise, ``(B, s, noise_dim)``.

    Returns:
        Predictions ``(B, s, M, out_width)``.
    """
    num_samples = noise_BsZ.shape[1]
    repeated = (part.repeat_interleave(num_samples, dim=0) for part in (tokens_BKD, context_BK, target_BM))
    noise_BZ = noise_BsZ.flatten(0, 1)
    copied_BKD = None if copied_BKD is None else copied_BKD.repeat_interleave(num_samples, dim=0)
    predicted_BMY: Tensor = predictor(
        *repeated, grid, mask_token, groups, noise_BZ=noise_BZ, targets=targets, copied_BKD=copied_BKD
    )
    return predicted_BMY.unflatten(0, (-1, num_samples))


def _embedding(in_dim: int, hidden_dim: int | None, embed_dim: int) -> nn.Module:
    if hidden_dim is None:
        return nn.Linear(in_dim, embed_dim)
    return nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, embed_dim))
