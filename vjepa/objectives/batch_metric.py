"""Metrics that are statistics of a whole batch: ratios, deviations, the best of several.

An objective sees one micro-batch of one process. A ratio or deviation of a micro-batch differs from that of
the whole batch, and so does its mean over micro-batches: it would change with `train.micro_batch` and the
number of processes. Means over clips can be averaged exactly, because all micro-batches have the same size.
So an objective returns such a metric as means, together with the function that computes the metric from their
averages over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchMetric:
    """One micro-batch's contribution to a logged metric.

    Attributes:
        means: Means over the clips of this micro-batch, of any shape, without gradient.
        then: Function from the same means over the whole batch to the metric, a scalar. If those means are
            needed before something else can be averaged (deviations from the batch mean), it returns another
            `BatchMetric`.
    """

    means: Tensor
    then: Callable[[Tensor], Tensor | BatchMetric]


def ratio(numerator: Tensor, denominator: Tensor) -> BatchMetric:
    """The metric "one mean divided by another"; NaN if the denominator is 0."""
    return BatchMetric(torch.stack([numerator, denominator]).detach(), divide)


def divide(means: Tensor) -> Tensor:
    """Divide the first row of ``(2, ...)`` by the second: ``(...)``, NaN where the second is 0."""
    numerator, denominator = means
    return torch.where(denominator == 0, torch.nan, numerator / denominator)


def of_whole_batch(parts: Sequence[BatchMetric], over_processes: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute the metric of the whole batch from the micro-batches of all processes.

    Args:
        parts: The metric as returned by the objective for each micro-batch of this process.
        over_processes: Function that averages a tensor over all processes. Every process must call
            `of_whole_batch`.

    Returns:
        The metric, a scalar.
    """
    averages = over_processes(torch.stack([part.means for part in parts]).mean(dim=0))
    further = [part.then(averages) for part in parts]
    deeper = [part for part in further if isinstance(part, BatchMetric)]
    if deeper:
        return of_whole_batch(deeper, over_processes)
    metric = further[0]
    assert isinstance(metric, Tensor)
    return metric
