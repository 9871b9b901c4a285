"""Which sample comes when: a stateless order, so that any step of a run can be computed directly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

# Separate these random streams from others made of the same seed.
_PERMUTATION, _MIXTURE, _IMAGE_STEP = 1001, 1002, 1003


class SampleKey(NamedTuple):
    """What a dataset is asked for, and all that the sample depends on, beside the seed.

    `serial` is the number of the sample in the run, `index` the row of the manifest, `step` the
    optimiser step that uses it.
    """

    serial: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here needs
    step: int


class SampleOrder:
    """An endless order of rows, a pure function of (lengths, weights, seed): nothing to save or restore.

    Rows are numbered through the manifests one after the other. Without weights the manifests
    are one: a fresh permutation of all rows each epoch, so that an epoch has every row once. With
    weights, each manifest is walked through its own permutations, at its own pace and without
    end; shares hold exactly: of any first k samples, a manifest has its share of k, give or take
    a block's rounding. Epochs follow one another without a gap, so no row is dropped.

    Args:
        lengths: rows of each manifest.
        weights: the manifests' shares of the samples, any positive scale; None to treat all rows alike.
        seed: of the permutations and the mixture.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float] | None, seed: int) -> None:
        if not lengths or min(lengths) < 1:
            raise ValueError(f"lengths are {list(lengths)}: every manifest needs at least one row")
        if weights is not None and (len(weights) != len(lengths) or not min(weights) > 0):
            raise ValueError(
                f"weights are {list(weights)} for {len(lengths)} manifests: give a number above 0 for each"
            )
        self.seed = seed
        self.lengths = list(lengths) if weights is not None else [sum(lengths)]
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        shares = np.asarray([1.0] if weights is None else weights, dtype=np.float64)
        shares = shares / shares.sum()
        self._bounds = np.concatenate([[0.0], np.cumsum(shares)])
        self._bounds[-1] = 1.0  # exactly, else a sample could fall beyond the last manifest
        # A block has a few samples of every manifest, so that its counts never round below zero.
        self._block = max(1024, int(np.ceil(2 / shares.min())))
        self._permutation = lru_cache(maxsize=4 * len(self.lengths))(self._make_permutation)
        self._sources = lru_cache(maxsize=4)(self._make_sources)

    @property
    def num_rows(self) -> int:
        """Rows of all manifests."""
        return sum(self.lengths)

    def index_of(self, serial: int) -> int:
        """The row of sample number `serial`."""
        return int(self.indices(np.asarray([serial]))[0])

    def indices(self, serials: np.ndarray) -> np.ndarray:
        """The rows of samples, int64, of the shape of `serials` (int64, 0 or more)."""
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
        """Which manifest a sample comes from, and its number within that manifest's own endless walk."""
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
        """How many of the first `samples` come from each manifest; they add up exactly."""
        return np.diff(np.floor(samples * self._bounds).astype(np.int64))

    def _make_permutation(self, source: int, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, _PERMUTATION, source, epoch])
        return rng.permutation(self.lengths[source])


class StepBatches:
    """A batch sampler for `DataLoader`: this rank's micro-batches of every optimiser step, in order.

    Micro-batch a of rank r in step s has the samples ``s * batch_size + (a * world_size + r) *
    micro_batch + [0, micro_batch)``: however a step is cut up, it has the same samples.

    Args:
        order: which row each sample is.
        batch_size: samples of an optimiser step, over all ranks and micro-batches.
        micro_batch: samples of one forward pass on one rank.
        rank, world_size: this process and their number.
        first_step, last_step: it yields the steps ``first_step <= s < last_step``.
        images, image_share: which row each image is, and the share of the steps that take images: of every
            ``1 / image_share`` steps one, at random, so that steps that are logged at regular distances see both.
            Each order is walked by its own steps alone; rows of images follow those of the videos.
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
        """Micro-batches of this rank in an optimiser step."""
        return self.batch_size // (self.micro_batch * self.world_size)

    def __len__(self) -> int:
        return max(0, self.last_step - self.first_step) * self.micro_steps

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.first_step, self.last_step):
            for micro in range(self.micro_steps):
                first = (micro * self.world_size + self.rank) * self.micro_batch
                numbers = np.arange(first, first + self.micro_batch)
                serials = (step * self.batch_size + numbers).tolist()
                rows = self._rows(step, numbers).tolist()
                yield [SampleKey(*pair, step) for pair in zip(serials, rows, strict=True)]

    def _rows(self, step: int, numbers: np.ndarray) -> np.ndarray:
        """Rows of samples of a step, numbered within it."""
        image_steps = self._image_steps(step)
        if self.images is not None and self._image_steps(step + 1) > image_steps:
            return self.order.num_rows + self.images.indices(image_steps * self.batch_size + numbers)
        return self.order.indices((step - image_steps) * self.batch_size + numbers)

    def _image_steps(self, steps: int) -> int:
        """How many of the first `steps` steps take images."""
        if self.images is None:
            return 0
        stretch = int(steps * self._image_share)
        first, end = (math.ceil(number / self._image_share) for number in (stretch, stretch + 1))
        place = np.random.default_rng([self.images.seed, _IMAGE_STEP, stretch]).integers(first, end)
        return stretch + int(place < steps)
