"""What every mask family gives, and the one way in which lengths are made equal.

Masks are drawn with numpy where batches are made, from one random
generator a sample and one a step: a sample's mask does not depend on its neighbours in the batch, so it
is the same on one process as on many, with any number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from vjepa.grid import Grid


class MaskIndices(NamedTuple):
    """Context and target token indices, int64, disjoint: ``(B, K)`` and ``(B, M)``.

    The targets are `groups` groups of equal length, one after the other, each predicted by itself; within a
    group indices ascend, as do those of the context.
    """

    context_BK: np.ndarray
    target_BM: np.ndarray
    groups: int = 1


class Mask(Protocol):
    """A mask family with its parameters."""

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw one mask for each sample; `step_rng` gives what a whole step shares (sizes, lengths)."""
        ...


def split_tokens(
    hidden_BN: np.ndarray, num_context: int, num_targets: int, sample_rngs: Sequence[np.random.Generator]
) -> MaskIndices:
    """Exactly `num_context` visible and `num_targets` hidden tokens of each sample.

    Surplus tokens are dropped at random, never the last ones in raster order (which would always be
    the latest frames and the bottom rows: a bias of the published collators). Where a sample has too
    few visible (or hidden) tokens, random ones of the other kind fill up, so that context and targets
    stay disjoint and neither is ever empty.
    """
    num_tokens = hidden_BN.shape[1]
    assert min(num_context, num_targets) >= 1
    assert num_context + num_targets <= num_tokens
    key_BN = np.stack([rng.random(num_tokens) for rng in sample_rngs])
    # Visible tokens first, each group in random order: one sort serves both ends.
    order_BN = np.argsort(key_BN + hidden_BN, axis=1)
    context_BK = np.sort(order_BN[:, :num_context], axis=1)
    target_BM = np.sort(order_BN[:, num_tokens - num_targets :], axis=1)
    return MaskIndices(context_BK, target_BM)
