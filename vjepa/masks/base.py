"""The interface of all mask families, and the function that gives all samples of a step equal lengths.

Masks are drawn with numpy where batches are made, from one random generator per sample and one per step. A
sample's mask does not depend on the other samples of its batch, so it is the same for any number of processes
and workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from vjepa.grid import Grid


class MaskIndices(NamedTuple):
    """Indices of context tokens and of target tokens.

    The two are disjoint, except in masks that predict each time step from those before it (`FutureMask`).

    Attributes:
        context_BK: Indices of the context tokens of each sample, int64, ascending.
        target_BM: Indices of the target tokens of each sample, int64: `groups` groups of equal length, one
            after the other, ascending within each group.
        groups: Number of groups of targets; each group is predicted by itself.
    """

    context_BK: np.ndarray
    target_BM: np.ndarray
    groups: int = 1


class Mask(Protocol):
    """Interface of a mask family with its settings."""

    def sample(
        self, grid: Grid, sample_rngs: Sequence[np.random.Generator], step_rng: np.random.Generator
    ) -> MaskIndices:
        """Draw one mask for each sample.

        Args:
            grid: Token grid of a clip.
            sample_rngs: Random generator of each sample, for the places of blocks or tokens.
            step_rng: Random generator of the step, for the sizes and lengths that all samples share.
        """
        ...


def split_tokens(
    hidden_BN: np.ndarray, num_context: int, num_targets: int, sample_rngs: Sequence[np.random.Generator]
) -> MaskIndices:
    """Choose exactly `num_context` visible and `num_targets` hidden tokens of each sample.

    Surplus tokens are dropped at random. The published collators drop the last ones in raster order, which
    are always the latest frames and the bottom rows. If a sample has too few visible (or hidden) tokens,
    random tokens of the other kind are added, so that context and targets stay disjoint and neither is empty.

    Args:
        hidden_BN: Whether each token of the grid is hidden, bool.
        num_context: Number of context tokens, 1 or more.
        num_targets: Number of target tokens, 1 or more.
        sample_rngs: Random generator of each sample.
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
