import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa.grid import Grid
from vjepa.masks.future import FutureMask
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import RandomMask, TubeMask

GRID = Grid(8, 14, 14)
SHORT = MultiBlock(num_blocks=8, spatial_scale=(0.15, 0.15))
LONG = MultiBlock(num_blocks=2, spatial_scale=(0.7, 0.7))

shares = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: tuple(sorted(pair)))
grids = st.builds(Grid, st.integers(2, 6), st.integers(2, 9), st.integers(2, 9))


def multiblock(**settings):
    return MultiBlock(**settings | ({"max_keep": None} if settings["complement"] == "context" else {}))


any_mask = st.one_of(
    st.builds(
        multiblock,
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
    st.builds(ImageBlocks, target_scale=st.just((0.1, 0.2)), min_keep=st.integers(1, 12)),
    st.builds(TubeMask, ratio=st.floats(0.05, 0.95), running_cell=st.sampled_from([None, 0.25, 0.5, 0.75])),
    st.builds(FutureMask, context=shares, horizon=shares),
)


def rngs(count, seed=0):
    return [np.random.default_rng([seed, sample]) for sample in range(count)]


def draw(mask, grid=GRID, count=4, step=0, seed=0):
    return mask.sample(grid, rngs(count, seed), np.random.default_rng(step))


@settings(deadline=None, max_examples=150)
@given(mask=any_mask, grid=grids, step=st.integers(0, 2**32))
def test_context_and_targets_are_disjoint_and_never_empty(mask, grid, step):
    context, target, groups = draw(mask, grid, 3, step)
    assert context.dtype == target.dtype == np.int64
    assert target.shape[1] % groups == 0
    blocks = np.split(target, groups, axis=1)
    for seen, predicted in [pair for block in blocks for pair in zip(context, block, strict=True)]:
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
    assert together.groups == alone.groups


@settings(deadline=None, max_examples=60)
@given(ratio=st.floats(0.05, 0.95), grid=grids)
def test_tubes_hide_the_same_places_at_all_times(ratio, grid):
    if grid.h * grid.w < 2:
        with pytest.raises(ValueError, match="smaller tubelets"):
            draw(TubeMask(ratio=ratio), grid)
        return
    context, target, _ = draw(TubeMask(ratio=ratio), grid)
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
    context, target, _ = draw(MultiBlock(num_blocks=1, spatial_scale=(0.3, 0.3), complement="targets"))
    plane = GRID.h * GRID.w
    # Surplus context tokens are dropped one by one, so only the targets' union of places can be told.
    assert len(np.unique(target[0] % plane)) < plane
    assert not set(np.unique(context[0])) & set(target[0])


def test_equal_lengths_drop_tokens_at_random_not_the_last():
    """The last frames and the bottom rows are context and target as often as the first."""
    counts = np.zeros((2, GRID.t))
    for step in range(40):
        for number, index in enumerate(draw(SHORT, count=8, step=step, seed=step)[:2]):
            counts[number] += np.bincount(index.ravel() // (GRID.h * GRID.w), minlength=GRID.t)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - 1 / GRID.t).max() < 0.01


def test_late_frames_are_hidden_from_the_context():
    mask = MultiBlock(num_blocks=2, spatial_scale=(0.2, 0.2), max_temporal_keep=0.5)
    context, target, _ = draw(mask)
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


@settings(deadline=None, max_examples=60)
@given(context=shares, horizon=shares, grid=grids, step=st.integers(0, 2**32))
def test_the_targets_of_each_step_have_all_steps_before_them_as_context(context, horizon, grid, step):
    usual, each = (
        draw(FutureMask(context=context, horizon=horizon, each_step=each), grid, 2, step)
        for each in (False, True)
    )
    np.testing.assert_array_equal(each.target_BM, usual.target_BM)
    before_the_last = usual.target_BM.max() // (grid.h * grid.w) * grid.h * grid.w
    np.testing.assert_array_equal(each.context_BK, np.tile(np.arange(before_the_last), (2, 1)))


@pytest.mark.parametrize("steps", [4, 7, 8])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("mask", [
    lambda share: FutureMask(context=(share, share)),
    lambda share: FutureMask(context=(share, share), each_step=True),
    lambda share: MultiBlock(max_temporal_keep=share),
])  # fmt: skip
def test_the_longest_context_is_the_longest_that_is_drawn(mask, share, steps):
    mask, grid = mask(share), Grid(steps, 6, 6)
    longest = max(draw(mask, grid, 2, step).context_BK.max() // 36 + 1 for step in range(20))
    assert longest == mask.longest_context(steps)


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


def rolling_cells(grid, left_out, phase):
    """VideoMAE v2's decoder mask, written out: in each 2 x 2 cell a ring of four that moves on with time."""
    decoded = []
    for t in range(grid.t):
        for row in range(grid.h):
            for column in range(grid.w):
                ring = [False] * left_out + [True] * (4 - left_out)
                place = 2 * (row % 2) + column % 2
                decoded.append(ring[(place - t - phase) % 4])
    return np.flatnonzero(decoded)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("grid", [GRID, Grid(4, 5, 7)])
def test_a_running_cell_decodes_its_share_of_every_place(share, grid):
    plain, mask = TubeMask(ratio=0.9), TubeMask(ratio=0.9, running_cell=share)
    whole, part = draw(plain, grid, count=6), draw(mask, grid, count=6)
    assert np.array_equal(part.context_BK, whole.context_BK)
    assert part.target_BM.shape[1] == whole.target_BM.shape[1] * (1 - share)
    phases = set()
    for hidden, decoded in zip(whole.target_BM, part.target_BM, strict=True):
        matching = [
            phase
            for phase in range(4)
            if set(decoded) == set(hidden) & set(rolling_cells(grid, int(4 * share), phase).tolist())
        ]
        assert matching
        phases.update(matching[:1])
    assert len(phases) > 1


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6])
def test_a_running_cell_decodes_its_share_whatever_the_number_of_time_steps(steps, share):
    hidden, decoded = (
        draw(mask, Grid(steps, 10, 10), count=3).target_BM.shape[1]
        for mask in (TubeMask(ratio=0.9), TubeMask(ratio=0.9, running_cell=share))
    )
    assert abs(decoded - (1 - share) * hidden) < 1


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_a_running_cell_that_leaves_out_nothing_or_all_is_refused(share):
    with pytest.raises(ValueError, match="of 4 places"):
        TubeMask(running_cell=share)


IMAGE = Grid(1, 14, 14)


def test_image_blocks_are_blocks_that_the_context_never_touches():
    context, target, groups = draw(ImageBlocks(), IMAGE, count=64)
    assert groups == 4
    assert context.shape[1] >= 10
    for seen, all_targets in zip(context, target, strict=True):
        for block in np.split(all_targets, groups):
            rows, columns = block // 14, block % 14
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert height * width == len(block)
            assert 0.1 * IMAGE.size < len(block) < 0.25 * IMAGE.size
        assert not set(seen) & set(all_targets)


def test_target_blocks_overlap_at_times_and_their_sizes_change_with_the_step():
    draws = [draw(ImageBlocks(), IMAGE, count=16, step=step, seed=step) for step in range(20)]
    assert len({target.shape[1] for _, target, _ in draws}) > 1
    assert any(len(set(row)) < len(row) for _, target, _ in draws for row in target)


def test_image_blocks_too_large_for_their_grid_are_refused():
    with pytest.raises(ValueError, match="leave nothing to see"):
        draw(ImageBlocks(), Grid(1, 1, 1))


def test_later_time_steps_are_hidden_from_inverted_blocks_too():
    context = draw(MultiBlock(max_temporal_keep=0.5, invert=True)).context_BK
    assert context.max() < 4 * 14 * 14
    assert draw(MultiBlock(invert=True)).context_BK.max() > 4 * 14 * 14


def test_a_limit_of_the_context_that_would_be_overrun_is_refused():
    with pytest.raises(ValueError, match="max_keep is 100 and complement context"):
        MultiBlock(max_keep=100, complement="context")
