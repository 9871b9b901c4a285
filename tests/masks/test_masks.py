import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa.masks.future import FutureMask
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import RandomMask, TubeMask
from vjepa.tokens import Grid

GRID = Grid(8, 14, 14)
SHORT = MultiBlock(num_blocks=8, spatial_scale=(0.15, 0.15))
LONG = MultiBlock(num_blocks=2, spatial_scale=(0.7, 0.7))

shares = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: tuple(sorted(pair)))
grids = st.builds(Grid, st.integers(2, 6), st.integers(1, 9), st.integers(1, 9))
any_mask = st.one_of(
    st.builds(
        MultiBlock,
        num_blocks=st.integers(1, 10),
        spatial_scale=shares,
        temporal_scale=shares,
        aspect_ratio=st.just((0.75, 1.5)),
        max_temporal_keep=st.floats(0.1, 1),
        max_keep=st.none() | st.integers(1, 50),
        complement=st.sampled_from(["none", "targets", "context"]),
        invert=st.booleans(),
    ),
    st.builds(RandomMask, ratio=st.floats(0.01, 0.99)),
    st.builds(FutureMask, context=shares, horizon=shares),
)


def rngs(count, seed=0):
    return [np.random.default_rng([seed, sample]) for sample in range(count)]


def draw(mask, grid=GRID, count=4, step=0, seed=0):
    return mask.sample(grid, rngs(count, seed), np.random.default_rng(step))


@settings(deadline=None, max_examples=150)
@given(mask=any_mask, grid=grids, step=st.integers(0, 2**32))
def test_context_and_targets_are_disjoint_and_never_empty(mask, grid, step):
    context, target = draw(mask, grid, 3, step)
    assert context.dtype == target.dtype == np.int64
    for seen, predicted in zip(context, target, strict=True):
        assert len(seen) >= 1
        assert len(predicted) >= 1
        assert not set(seen) & set(predicted)
        assert set(seen) | set(predicted) <= set(range(grid.size))
        assert list(seen) == sorted(set(seen))
        assert list(predicted) == sorted(set(predicted))


@settings(deadline=None, max_examples=60)
@given(mask=any_mask, grid=grids, step=st.integers(0, 2**32))
def test_a_sample_does_not_depend_on_its_batch(mask, grid, step):
    """The mask of a sample is the same alone as in company: any split over processes gives the same run."""
    together = draw(mask, grid, 5, step)
    alone = mask.sample(grid, rngs(5)[3:4], np.random.default_rng(step))
    assert np.array_equal(together.context_BK[3:4], alone.context_BK)
    assert np.array_equal(together.target_BM[3:4], alone.target_BM)


@settings(deadline=None, max_examples=60)
@given(ratio=st.floats(0.05, 0.95), grid=grids)
def test_tubes_hide_the_same_places_at_all_times(ratio, grid):
    if grid.h * grid.w < 2:
        with pytest.raises(ValueError, match="smaller tubelets"):
            draw(TubeMask(ratio=ratio), grid)
        return
    context, target = draw(TubeMask(ratio=ratio), grid)
    plane = grid.h * grid.w
    assert context.shape[1] + target.shape[1] == grid.size
    assert context.shape[1] % grid.t == 0
    for index in (*context, *target):
        places = (index % plane).reshape(grid.t, -1)
        assert (places == places[0]).all()


def test_published_ratios_give_published_counts():
    assert draw(TubeMask(ratio=0.9)).context_BK.shape == (4, 8 * (196 - 176))
    assert draw(RandomMask(ratio=0.75), Grid(1, 14, 14)).context_BK.shape == (4, 49)


def reference_multiblock(grid, mask, draws, rng):
    """Hidden shares of masks drawn as the paper says: block by block, with loops."""
    hidden_shares = []
    for _ in range(draws):
        hidden = np.zeros(grid, dtype=bool)
        area = int(grid.h * grid.w * mask.spatial_scale[0])
        aspect = rng.uniform(*mask.aspect_ratio)
        height = min(round(np.sqrt(area * aspect)), grid.h)
        width = min(round(np.sqrt(area / aspect)), grid.w)
        for _ in range(mask.num_blocks):
            top, left = rng.integers(0, grid.h - height + 1), rng.integers(0, grid.w - width + 1)
            hidden[:, top : top + height, left : left + width] = True
        hidden_shares.append(hidden.mean())
    return np.array(hidden_shares)


@pytest.mark.parametrize("mask", [SHORT, LONG])
def test_blocks_cover_what_the_paper_says(mask):
    """Coverage before lengths are made equal, against an independent sampler."""
    expected = reference_multiblock(GRID, mask, 2000, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    actual = np.concatenate(
        [
            mask._hidden(GRID, mask._draw_block(GRID, rng), rng.random((20, mask.num_blocks, 3))).mean(1)
            for _ in range(100)
        ]
    )
    assert actual.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert actual.std() == pytest.approx(expected.std(), abs=0.01)


def test_hidden_blocks_last_all_the_clip():
    """With temporal scale 1 a place is either seen or hidden, at all times."""
    context, target = draw(MultiBlock(num_blocks=1, spatial_scale=(0.3, 0.3), complement="targets"))
    plane = GRID.h * GRID.w
    # Surplus context tokens are dropped one by one, so only the targets' union of places can be told.
    assert len(np.unique(target[0] % plane)) < plane
    assert not set(np.unique(context[0])) & set(target[0])


def test_equal_lengths_drop_tokens_at_random_not_the_last():
    """The last frames and the bottom rows are context and target as often as the first."""
    counts = np.zeros((2, GRID.t))
    for step in range(40):
        for number, index in enumerate(draw(SHORT, count=8, step=step, seed=step)):
            counts[number] += np.bincount(index.ravel() // (GRID.h * GRID.w), minlength=GRID.t)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - 1 / GRID.t).max() < 0.01


def test_late_frames_are_hidden_from_the_context():
    mask = MultiBlock(num_blocks=2, spatial_scale=(0.2, 0.2), max_temporal_keep=0.5)
    context, target = draw(mask)
    plane = GRID.h * GRID.w
    assert context.max() < 4 * plane
    assert target.max() >= 4 * plane


def test_inversion_swaps_the_parts():
    block = MultiBlock(num_blocks=1, spatial_scale=(0.25, 0.25), aspect_ratio=(1, 1))
    seen = draw(MultiBlock(num_blocks=1, spatial_scale=(0.25, 0.25), aspect_ratio=(1, 1), invert=True))
    assert seen.context_BK.shape == draw(block).target_BM.shape == (4, 8 * 49)
    assert seen.target_BM.shape == draw(block).context_BK.shape


@settings(deadline=None, max_examples=60)
@given(context=shares, horizon=shares, grid=grids, step=st.integers(0, 2**32))
def test_the_future_never_contains_the_past(context, horizon, grid, step):
    mask = draw(FutureMask(context=context, horizon=horizon), grid, 2, step)
    plane = grid.h * grid.w
    assert mask.context_BK.max() // plane < mask.target_BM.min() // plane


def test_a_still_has_no_future():
    with pytest.raises(ValueError, match="no future"):
        draw(FutureMask(), Grid(1, 4, 4))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"num_blocks": 0}, "1 or more"),
        ({"spatial_scale": (0.5, 0.2)}, "low <= high"),
        ({"temporal_scale": (0.5, 1.2)}, "high <= 1"),
        ({"max_temporal_keep": 0}, "share in"),
        ({"max_keep": 0}, "null for no limit"),
    ],
)
def test_parameters_out_of_range_are_refused(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        MultiBlock(**arguments)
