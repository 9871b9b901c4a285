"""Losses of future masks beside the error of one prediction: weights by change, and chained predictions."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from vjepa.batch import TokenMask
from vjepa.grid import Grid
from vjepa.layers.targets import PredictionTargets
from vjepa.models.predictor import Predictor
from vjepa.tokens import gather_last_seen, gather_tokens

_EPSILON = 1e-6


class FutureLoss:
    """Settings of the loss that only future masks have.

    Args:
        masks: Mask tokens of the future masks. Their context is the whole beginning of a clip, and their
            targets follow it in time.
        change_weight: Part of a target's weight that grows with the distance between the target and the
            latest target embedding in the context at its place, in [0, 1]. At 0, all targets have the same
            weight; at 1, one that does not change has none. The weights of a clip have mean 1.
        rollout_steps: Number of predictions that are made after the first one, each from a context that
            is longer by one predicted time step. Their mean error, against true targets, is a loss of its
            own, as in V-JEPA 2-AC (arXiv 2506.09985). A mask with fewer target time steps has fewer.
    """

    def __init__(self, masks: Collection[int], *, change_weight: float = 0.0, rollout_steps: int = 0) -> None:
        self.masks = frozenset(masks)
        self.change_weight = change_weight
        self.rollout_steps = rollout_steps

    def weights(self, target_BNY: Tensor, mask: TokenMask, grid: Grid) -> Tensor | None:
        """Compute the weight of each target, ``(B, M)``; None if all have the same.

        Args:
            target_BNY: Targets of all tokens of the clip.
            mask: Which tokens are context and which are targets.
            grid: Token grid of the clip.
        """
        if not self.change_weight or mask.mask_token not in self.masks:
            return None
        seen_BKY = gather_tokens(target_BNY, mask.context_BK)
        last_BMY = gather_last_seen(seen_BKY, mask.context_BK, mask.target_BM, grid)
        change_BM = (gather_tokens(target_BNY, mask.target_BM) - last_BMY).float().abs().mean(dim=-1)
        relative_BM = (change_BM + _EPSILON) / (change_BM + _EPSILON).mean(dim=1, keepdim=True)
        return (1 - self.change_weight) + self.change_weight * relative_BM

    def rollout_error(
        self,
        predictor: Predictor,
        targets: PredictionTargets,
        context_BKY: Tensor,
        predicted_BMY: Tensor,
        target_BNY: Tensor,
        mask: TokenMask,
        grid: Grid,
        distance: Callable[[Tensor, Tensor], Tensor],
        copied_BKY: Tensor | None = None,
    ) -> Tensor | None:
        """Compute the mean error of the chained predictions, a scalar; None for a mask that has none.

        Args:
            predictor: Predictor, which is applied once for each chained prediction.
            targets: Normalisation of the targets, which is undone before a prediction becomes context.
            context_BKY: Tokens of the context as the encoder returns them.
            predicted_BMY: First prediction, from the true context alone.
            target_BNY: Targets of all tokens of the clip.
            mask: Which tokens are context and which are targets.
            grid: Token grid of the clip.
            distance: Elementwise distance between predictions and targets.
            copied_BKY: Tokens of the context that the predictor's output is added to, see `Predictor`.
        """
        plane = grid.h * grid.w
        chained = min(self.rollout_steps, mask.target_BM.shape[1] // plane - 1)
        if mask.mask_token not in self.masks or chained < 1:
            return None
        seen_BKY, index_BK, rest_BM = context_BKY, mask.context_BK, mask.target_BM
        errors = []
        for _ in range(chained):
            imagined_BSY = targets.restore(predicted_BMY[:, :plane], context_BKY)
            seen_BKY = torch.cat([seen_BKY, imagined_BSY.to(seen_BKY.dtype)], dim=1)
            if copied_BKY is not None:
                copied_BKY = torch.cat([copied_BKY, imagined_BSY.to(copied_BKY.dtype)], dim=1)
            index_BK = torch.cat([index_BK, rest_BM[:, :plane]], dim=1)
            rest_BM = rest_BM[:, plane:]
            predicted_BMY = predictor(
                seen_BKY, index_BK, rest_BM, grid, mask.mask_token, targets=targets, copied_BKD=copied_BKY
            )
            errors.append(distance(predicted_BMY.float(), gather_tokens(target_BNY, rest_BM).float()).mean())
        return torch.stack(errors).mean()
