"""The order of samples: complete, weighted as asked, and the same however steps are cut up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa.data.sampling import SampleKey, SampleOrder, StepBatches


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(0, 2**31), st.integers(0, 4))
def test_an_epoch_has_every_row_once(lengths, seed, epoch):
    total = sum(lengths)
    rows = SampleOrder(lengths, None, seed).indices(np.arange(epoch * total, (epoch + 1) * total))
    assert sorted(rows) == list(range(total))


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0.05, 10)), min_size=2, max_size=4),
    st.integers(0, 2**31),
)
def test_mixtures_keep_shares_and_walk_each_manifest_through(parts, seed):
    lengths, weights = [length for length, _ in parts], [weight for _, weight in parts]
    count = 8192
    rows = SampleOrder(lengths, weights, seed).indices(np.arange(count))
    offset = 0
    for length, weight in parts:
        own = rows[(rows >= offset) & (rows < offset + length)] - offset
        # Blocks are exact to one sample; the last may be cut short.
        assert abs(len(own) / count - weight / sum(weights)) < 0.05
        for epoch in range(min(len(own) // length, 20)):
            assert sorted(own[epoch * length : (epoch + 1) * length]) == list(range(length))
        offset += length


def test_shares_are_exact_over_a_long_run_even_for_tiny_weights():
    order = SampleOrder([5, 1000, 7], [1e-4, 1.0, 0.5], 3)
    rows = order.indices(np.arange(300_000))
    assert abs((rows < 5).sum() - 300_000 * 1e-4 / 1.5001) <= 25
    assert abs((rows >= 1005).mean() - 1 / 3) < 1e-3


@given(st.integers(0, 10**12), st.integers(0, 9))
def test_any_sample_can_be_computed_directly(serial, seed):
    for order in (SampleOrder([17], None, seed), SampleOrder([17, 4], [1.0, 2.0], seed)):
        window = order.indices(np.arange(serial, serial + 5))
        assert [order.index_of(serial + k) for k in range(5)] == window.tolist()
        assert window.min() >= 0
        assert window.max() < 21


def test_epochs_and_seeds_differ():
    first, second = SampleOrder([100], None, 0), SampleOrder([100], None, 1)
    assert first.indices(np.arange(100)).tolist() != first.indices(np.arange(100, 200)).tolist()
    assert first.indices(np.arange(100)).tolist() != second.indices(np.arange(100)).tolist()
    assert first.indices(np.arange(6).reshape(2, 3)).shape == (2, 3)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 50))
def test_a_step_has_the_same_samples_however_it_is_cut_up(micro_batch, world_size, micro_steps, step):
    batch_size = micro_batch * world_size * micro_steps
    order = SampleOrder([29], None, 7)
    keys: list[SampleKey] = []
    for rank in range(world_size):
        batches = StepBatches(order, batch_size, micro_batch, rank, world_size, step, step + 2)
        listed = list(batches)
        assert len(listed) == len(batches) == 2 * micro_steps
        assert all(len(batch) == micro_batch for batch in listed)
        keys += [key for batch in listed for key in batch]
    serials = np.arange(step * batch_size, (step + 2) * batch_size)
    expected = zip(serials, order.indices(serials), serials // batch_size, strict=True)
    assert sorted(keys) == sorted(SampleKey(*map(int, key)) for key in expected)


def test_micro_batches_come_in_the_stated_order():
    batches = StepBatches(SampleOrder([100], None, 0), 8, 2, 1, 2, 3, 4)
    assert [[key.serial for key in batch] for batch in batches] == [[26, 27], [30, 31]]


def test_impossible_settings_are_refused():
    order = SampleOrder([4], None, 0)
    with pytest.raises(ValueError, match="batch_size 10 is not a multiple of micro_batch 4 x 2"):
        StepBatches(order, 10, 4, 0, 2, 0, 1)
    with pytest.raises(ValueError, match="rank is 2 of 2"):
        StepBatches(order, 8, 4, 2, 2, 0, 1)
    with pytest.raises(ValueError, match=r"lengths are \[3, 0\]"):
        SampleOrder([3, 0], None, 0)
    with pytest.raises(ValueError, match=r"weights are \[1.0\] for 2 manifests"):
        SampleOrder([3, 2], [1.0], 0)
    with pytest.raises(ValueError, match="give a number above 0"):
        SampleOrder([3, 2], [1.0, 0.0], 0)
    with pytest.raises(ValueError, match="serial -1"):
        order.index_of(-1)
