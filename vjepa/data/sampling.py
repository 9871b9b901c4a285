"""Order of the samples of a run: stateless, so that the samples of any step can be computed directly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from vjepa.workers import Loader

# Separate these random streams from others with the same seed.
_PERMUTATION, _MIXTURE, _IMAGE_STEP = 1001, 1002, 1003


class SampleKey(NamedTuple):
    """Request for one sample; with the seed, all that the sample depends on.

    Attributes:
        serial: Number of the sample in the run, from 0.
        index: Row of the dataset.
        step: Optimiser step that uses the sample.
    """

    serial: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here needs
    step: int


class SampleOrder:
    """Endless random order of rows, a pure function of (lengths, weights, seed): there is no state to save.

    Rows are numbered consecutively over the manifests. Without weights, all rows together are permuted anew
    each epoch, so that an epoch has every row once. With weights, each manifest has its own endless sequence
    of permutations, and the samples are divided among the manifests in blocks of at least 1024: at the end of
    each block, a manifest's number of samples is its exact share, up to rounding. Epochs follow one another
    without a gap, so no row is dropped.

    Args:
        lengths: Number of rows of each manifest.
        weights: Relative share of the samples from each manifest, on any positive scale; None treats all rows
            alike.
        seed: Random seed of the permutations and the mixture.

    Raises:
        ValueError: A manifest is empty, or the weights are not one positive number per manifest.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float] | None, seed: int) -> None:
        if not lengths or min(lengths) < 1:
            raise ValueError(f"lengths are {list(lengths)}: every manifest needs at least one row")
        if weights is not None and (len(weights) != len(lengths) or not min(weights) > 0):
            raise ValueError(
                f"weights are {list(weights)} for {len(lengths)} manifests: give a number above 0 for each"
            )
        self._arguments = (lengths, weights, seed)
        self.seed = seed
        self.lengths = list(lengths) if weights is not None else [sum(lengths)]
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        shares = np.asarray([1.0] if weights is None else weights, dtype=np.float64)
        shares = shares / shares.sum()
        self._bounds = np.concatenate([[0.0], np.cumsum(shares)])
        self._bounds[-1] = 1.0  # Without rounding error, or a sample could fall beyond the last manifest.
        # Every manifest has at least two samples in a block on average, so no count in a block is below zero.
        self._block = max(1024, int(np.ceil(2 / shares.min())))
        self._permutation = lru_cache(maxsize=4 * len(self.lengths))(self._make_permutation)
        self._sources = lru_cache(maxsize=4)(self._make_sources)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is kept in memory is made anew in another process.
        return SampleOrder, self._arguments

    @property
    def num_rows(self) -> int:
        """Number of rows of all manifests together."""
        return sum(self.lengths)

    def index_of(self, serial: int) -> int:
        """Return the row of sample number `serial`."""
        return int(self.indices(np.asarray([serial]))[0])

    def indices(self, serials: np.ndarray) -> np.ndarray:
        """Return the rows of samples, int64 of the shape of `serials`; ValueError if a serial is negative."""
        serials = np.asarray(serials, dtype=np.int64)
        if serials.size and serials.min() < 0:
            raise ValueError(f"serial {serials.min()} was asked for: samples are numbered from 0")
        source, place = self._place(serials.reshape(-1))
        rows = np.empty(len(place), dtype=np.int64)
        epoch = place // np.asarray(self.lengths)[source]
        by_walk = np.lexsort((epoch, source))
        changes = np.flatnonzero(np.diff(source[by_walk]) | np.diff(epoch[by_walk])) + 1
        for here in np.split(by_walk, changes) if len(by_walk) else ():
            number, turn = int(source[here[0]]), int(epoch[here[0]])
            inside = place[here] - turn * self.lengths[number]
            rows[here] = self._offsets[number] + self._permutation(number, turn)[inside]
        return rows.reshape(serials.shape)

    def _place(self, serials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each sample's manifest, and its position in that manifest's endless sequence."""
        if len(self.lengths) == 1:
            return np.zeros_like(serials), serials
        source, place = np.empty_like(serials), np.empty_like(serials)
        block = serials // self._block
        for number in np.unique(block).tolist():
            here = block == number
            sources, places = self._sources(number)
            inside = serials[here] - number * self._block
            source[here], place[here] = sources[inside], places[inside]
        return source, place

    def _make_sources(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        before = self._counts(block * self._block)
        counts = self._counts((block + 1) * self._block) - before
        sources = np.repeat(np.arange(len(counts)), counts)
        np.random.default_rng([self.seed, _MIXTURE, block]).shuffle(sources)
        places = np.empty(len(sources), dtype=np.int64)
        for number, count in enumerate(counts):
            places[sources == number] = before[number] + np.arange(count)
        return sources, places

    def _counts(self, samples: int) -> np.ndarray:
        """Return how many of the first `samples` come from each manifest; their sum is `samples`."""
        return np.diff(np.floor(samples * self._bounds).astype(np.int64))

    def _make_permutation(self, source: int, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, _PERMUTATION, source, epoch])
        return rng.permutation(self.lengths[source])


class StepBatches:
    """Batch sampler for `DataLoader` that yields this rank's micro-batches of every optimiser step, in order.

    Micro-batch a of rank r in step s has the samples ``s * batch_size + (a * world_size + r) * micro_batch +
    [0, micro_batch)``: a step has the same samples for any micro-batch size and number of processes.

    Args:
        order: Order of the rows.
        batch_size: Number of samples of an optimiser step, over all ranks and micro-batches.
        micro_batch: Number of samples in one forward pass on one rank.
        rank, world_size: Number of this process, and number of processes.
        first_step, last_step: First step to yield, and the step to stop before.
        images: Order of the image rows, for a run on videos and images; None for a run on videos only. Steps
            on images advance only this order, steps on videos only `order`. Image rows are numbered after the
            video rows.
        image_share: Share of the steps that are on images: one randomly chosen step of every
            ``1 / image_share``, so that steps logged at a regular interval include both kinds.

    Raises:
        ValueError: `batch_size` is not a multiple of ``micro_batch * world_size``, or `rank` is out of range.
    """

    def __init__(
        self,
        order: SampleOrder,
        batch_size: int,
        micro_batch: int,
        rank: int,
        world_size: int,
        first_step: int,
        last_step: int,
        images: SampleOrder | None = None,
        image_share: float = 0.0,
    ) -> None:
        if min(micro_batch, world_size, batch_size) < 1 or batch_size % (micro_batch * world_size):
            raise ValueError(
                f"batch_size {batch_size} is not a multiple of micro_batch {micro_batch} x "
                f"{world_size} processes: change one of them"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank} of {world_size} processes: give 0 to {world_size - 1}")
        self.order = order
        self.batch_size = batch_size
        self.micro_batch = micro_batch
        self.rank = rank
        self.world_size = world_size
        self.first_step = first_step
        self.last_step = last_step
        self.images = images
        self._image_share = Fraction(image_share).limit_denominator(10**6)

    @property
    def micro_steps(self) -> int:
        """Number of this rank's micro-batches in an optimiser step."""
        return self.batch_size // (self.micro_batch * self.world_size)

    def __len__(self) -> int:
        return max(0, self.last_step - self.first_step) * self.micro_steps

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> list[SampleKey]:
        """Keys of this rank's micro-batch of this number, counted from 0 at `first_step`."""
        step, micro = divmod(range(len(self))[number], self.micro_steps)
        step += self.first_step
        first = (micro * self.world_size + self.rank) * self.micro_batch
        numbers = np.arange(first, first + self.micro_batch)
        serials = (step * self.batch_size + numbers).tolist()
        rows = self._rows(step, numbers).tolist()
        return [SampleKey(*pair, step) for pair in zip(serials, rows, strict=True)]

    def _rows(self, step: int, numbers: np.ndarray) -> np.ndarray:
        """Return the rows of a step's samples, given their numbers within the step."""
        image_steps = self._image_steps(step)
        if self.images is not None and self._image_steps(step + 1) > image_steps:
            return self.order.num_rows + self.images.indices(image_steps * self.batch_size + numbers)
        return self.order.indices((step - image_steps) * self.batch_size + numbers)

    def _image_steps(self, steps: int) -> int:
        """Return how many of the first `steps` steps are on images."""
        if self.images is None:
            return 0
        stretch = int(steps * self._image_share)
        first, end = (math.ceil(number / self._image_share) for number in (stretch, stretch + 1))
        place = np.random.default_rng([self.images.seed, _IMAGE_STEP, stretch]).integers(first, end)
        return stretch + int(place < steps)


def step_loader(
    dataset: Any, collate: Callable[[Any], Any], sampler: StepBatches, num_workers: int, **loader: Any
) -> Loader[Any]:
    """Build a loader of micro-batches from a dataset indexed by `SampleKey`.

    Args:
        dataset, collate: Dataset and collate function, see torch's DataLoader.
        sampler: Batch sampler that determines which samples each micro-batch has.
        num_workers: Number of processes that load batches; 0 loads them in this process. Results do not
            depend on it.
        loader: Further arguments of torch's DataLoader.
    """
    return Loader(
        dataset, num_workers=num_workers, batch_sampler=cast(Any, sampler), collate_fn=collate, **loader
    )
