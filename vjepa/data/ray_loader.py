"""Batches made by actors of a Ray cluster, apart from the processes that train.

    pip install ray
    ray start --head --num-cpus 16             on one machine, which may be the one that trains
    ray start --address HEAD:6379              on each further machine
    accelerate launch -m vjepa pretrain ... --data.loader ray --data.num_workers 64

Each process that trains has `num_workers` actors, with one CPU each, that read, decode, crop and draw masks.
On all machines, this library must be installed, and the paths of the videos must be valid (a shared file
system, or URLs). The batches are those of torch's DataLoader, bit for bit, in the same order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

AHEAD = 2  # Batches that an actor has finished or begun before they are used; torch's DataLoader has as many.


class RayLoader:
    """Batches of a dataset, made by actors of the running Ray cluster.

    Args:
        dataset: Dataset indexed by the keys that `sampler` gives; it is sent to each machine once.
        collate: Function that makes a batch of the samples of one micro-batch.
        sampler: Keys of each micro-batch, by its number.
        num_workers: Number of actors, 1 or more, with one CPU each.
        pin_memory: Copy each batch to page-locked memory, by its method `pin_memory`.

    Raises:
        ValueError: Ray is not installed, no Ray cluster is running, or there are no workers.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        sampler: Sequence[Any],
        num_workers: int,
        *,
        pin_memory: bool = False,
    ) -> None:
        if num_workers < 1:
            raise ValueError(f"data.num_workers is {num_workers}: Ray needs at least 1")
        self._ray = _connected()
        self._parts = {"dataset": dataset, "collate": collate, "sampler": sampler}
        self._num_workers = num_workers
        self._pin_memory = pin_memory

    def __len__(self) -> int:
        return len(self._parts["sampler"])

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches in order; closing the iterator ends the actors.

        Raises:
            Exception: What the dataset or the collate function raised.
        """
        ray = self._ray
        maker, parts = ray.remote(num_cpus=1)(_BatchMaker), ray.put(self._parts)
        actors = [maker.remote(parts) for _ in range(min(self._num_workers, len(self)))]
        pool = ray.util.ActorPool(actors)
        numbers = iter(range(len(self)))
        try:
            for number in islice(numbers, AHEAD * len(actors)):
                pool.submit(_make, number)
            while pool.has_next():
                batch = pool.get_next()
                for number in islice(numbers, 1):
                    pool.submit(_make, number)
                yield batch.pin_memory() if self._pin_memory else batch
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        finally:
            for actor in actors:
                ray.kill(actor)


class _BatchMaker:
    """Makes batches by their numbers, in an actor."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    def make(self, number: int) -> Any:
        dataset, keys = self._parts["dataset"], self._parts["sampler"][number]
        return self._parts["collate"]([dataset[key] for key in keys])


def _make(actor: Any, number: int) -> Any:
    return actor.make.remote(number)


def _connected() -> ModuleType:
    """Import Ray and connect to the running cluster, of `RAY_ADDRESS` or of this machine."""
    try:
        import ray
        import ray.util
    except ImportError as error:
        raise ValueError("data.loader is ray, and Ray is not installed: pip install ray") from error
    try:
        ray.init(address="auto", ignore_reinit_error=True, logging_level=logging.WARNING, log_to_driver=False)
    except ConnectionError as error:
        raise ValueError(
            "data.loader is ray, and no Ray cluster is running: start one on this machine with `ray start "
            "--head`, or give the address of one in the environment variable RAY_ADDRESS"
        ) from error
    module: ModuleType = ray
    return module
