"""Class probabilities of the videos of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.data.sampling import SampleKey
from vjepa.evaluation.features.cache import FeatureShards
from vjepa.evaluation.features.extract import LeftOut, stack_samples
from vjepa.inference.views import view_probabilities
from vjepa.models.classifier import Classifier
from vjepa.models.head_grid import TokenClassifier
from vjepa.workers import Loader

BATCH = 16  # videos


def score_rows(
    network: Classifier | TokenClassifier,
    dataset: ClipDataset | FeatureShards,
    rows: Sequence[int],
    *,
    segments: int = 1,
    crops: int = 1,
    num_workers: int = 0,
    left_out: LeftOut,
) -> Tensor:
    """Class probabilities of some rows of a dataset, ``(G, V, X)``, on the CPU; one head gives ``G = 1``.

    A row that cannot be read gets another video's probabilities, and `left_out` receives the row.

    Args:
        network: Classifier in evaluation mode; it is used on its own device.
        dataset: Dataset whose samples are all views of a video, or their cached tokens.
        rows: Rows of the dataset to score.
        segments: Number of clips of a video that the head sees together, see `view_probabilities`.
        crops: Number of crops of each clip.
        num_workers: Number of processes that decode videos.
        left_out: Receives the rows that cannot be read.

    Raises:
        ValueError: There are no rows.
    """
    device = next(network.parameters()).device
    stack = _stack_tokens if isinstance(dataset, FeatureShards) else stack_samples
    keys = [SampleKey(serial=row, index=row, step=0) for row in rows]
    batches = [keys[first : first + BATCH] for first in range(0, len(keys), BATCH)]
    loader: Loader[tuple[Tensor, Tensor, LeftOut]] = Loader(
        dataset, num_workers=num_workers, batch_sampler=batches, collate_fn=stack
    )
    found = []
    for views, _, unreadable in loader:
        left_out |= unreadable
        found.append(view_probabilities(network, views.to(device), segments=segments, crops=crops).cpu())
    if not found:
        raise ValueError("there is no video to score: give one or more, and no more processes than videos")
    return torch.cat([part if part.ndim == 3 else part.unsqueeze(0) for part in found], dim=1)


def _stack_tokens(samples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, LeftOut]:
    tokens, labels = torch.utils.data.default_collate(list(samples))
    return tokens, labels, {}
