"""Metrics that are statistics of a whole batch: ratios, deviations, the best of several.

An objective sees one micro-batch of one process. A ratio or a deviation of such a part is another number than that of the
whole batch, and the mean over parts is neither: it changes with `train.micro_batch` and with the number of processes.
Means over clips do add up, because all parts have the same size. So an objective returns a metric of this kind as means,
together with the function that makes the metric out of their averages over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchMetric:
    """One logged metric, as far as a part of the batch can tell it.

    Attributes:
        means: means over the clips of this part, of any shape, without gradient.
        then: takes the same means of the whole batch and gives the metric, a scalar. Where these means are needed before
            something else can be averaged (deviations from the batch's mean), it gives a further `BatchMetric` instead.
    """

    means: Tensor
    then: Callable[[Tensor], Tensor | BatchMetric]


def ratio(numerator: Tensor, denominator: Tensor) -> BatchMetric:
    """One mean over another. The metric is NaN where the denominator is 0."""
    return BatchMetric(torch.stack([numerator, denominator]).detach(), divide)


def divide(means_2X: Tensor) -> Tensor:
    """The first row of ``(2, ...)`` over the second one, or NaN where the second one is 0."""
    numerator, denominator = means_2X
    return torch.where(denominator == 0, torch.nan, numerator / denominator)


def of_whole_batch(parts: Sequence[BatchMetric], over_processes: Callable[[Tensor], Tensor]) -> Tensor:
    """The metric of the batch that the micro-batches of all processes are parts of.

    Args:
        parts: what the objective returned for each micro-batch of this process.
        over_processes: averages a tensor over the processes; all of them must call this function.
    """
    averages = over_processes(torch.stack([part.means for part in parts]).mean(dim=0))
    further = [part.then(averages) for part in parts]
    deeper = [part for part in further if isinstance(part, BatchMetric)]
    if deeper:
        return of_whole_batch(deeper, over_processes)
    metric = further[0]
    assert isinstance(metric, Tensor)
    return metric
