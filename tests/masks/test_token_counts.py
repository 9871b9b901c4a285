"""Numbers of context and target tokens, against the published procedures written anew.

The references follow the text of facebookresearch/vjepa2 c2963a4, src/masks/multiseq_multiblock3d.py, and of
facebookresearch/ijepa 52c1ae9, src/masks/multiblock.py: draw a sample again while its context is too small,
then cut all samples of a batch to the shortest.
"""

import math

import numpy as np
import pytest

from vjepa.config import read_config
from vjepa.grid import Grid
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.token_counts import count_tokens
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import describe_masks

BATCH = 24
GRIDS = [Grid(4, 4, 4), Grid(8, 7, 7), Grid(4, 8, 8), Grid(2, 10, 10), Grid(2, 14, 14), Grid(2, 16, 16)]
OPTIONS = [
    {"max_temporal_keep": 0.5},
    {"max_keep": 20},
    {"complement": "targets"},
    {"complement": "context"},
    {"invert": True},
]


def sides(area, aspect):
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def published_multiblock(grid, mask, rng):
    """Numbers of context and target tokens of one batch."""
    high, wide = sides(int(grid.h * grid.w * mask.spatial_scale[0]), rng.uniform(*mask.aspect_ratio))
    high, wide = min(high, grid.h), min(wide, grid.w)
    kept_steps = max(1, int(grid.t * mask.max_temporal_keep))
    seen, covered = [], []
    while len(seen) < BATCH:
        # Blocks last all the clip here, so that one plane tells all time steps.
        visible = np.ones((grid.h, grid.w), dtype=bool)
        for _ in range(mask.num_blocks):
            top, left = rng.integers(grid.h - high + 1), rng.integers(grid.w - wide + 1)
            visible[top : top + high, left : left + wide] = False
        if visible.any():
            seen.append(kept_steps * int(visible.sum()))
            covered.append(grid.size - seen[-1])
    context, targets = min(seen), min(covered)
    if mask.max_keep is not None:
        context = min(context, mask.max_keep)
    if mask.complement == "targets":
        targets = grid.size - context
    elif mask.complement == "context":
        context = grid.size - targets
    return (targets, context) if mask.invert else (context, targets)


def published_image_blocks(side, mask, rng):
    """Numbers of context tokens and of tokens of one target of one batch.

    Places are drawn up to the last row.
    """
    plane, most = side * side, side - 1
    context_side = min(round(math.sqrt(int(plane * rng.uniform(*mask.context_scale)))), most)
    area = int(plane * rng.uniform(*mask.target_scale))
    high, wide = (min(extent, most) for extent in sides(area, rng.uniform(*mask.target_aspect)))
    seen = []
    while len(seen) < BATCH:
        free = np.zeros((side, side), dtype=bool)
        top, left = rng.integers(side - context_side + 1, size=2)
        free[top : top + context_side, left : left + context_side] = True
        for _ in range(mask.num_targets):
            top, left = rng.integers(side - high + 1), rng.integers(side - wide + 1)
            free[top : top + high, left : left + wide] = False
        if free.sum() > mask.min_keep:
            seen.append(int(free.sum()))
    return min(seen), high * wide


def assert_alike(ours, published, step):
    """Medians within a sixth or one place of the grid, and no step of ours below the shortest published
    batch.
    """
    median = float(np.median(published))
    assert abs(ours.median - median) <= max(median / 6, step)
    assert ours.least >= min(published)
    assert ours.most <= max(published) + step


@pytest.mark.parametrize(
    ("grid", "options"),
    [*((grid, {}) for grid in GRIDS), *((Grid(4, 7, 7), options) for options in OPTIONS)],
    ids=str,
)
@pytest.mark.parametrize(("num_blocks", "scale"), [(8, 0.15), (2, 0.7)])
def test_blocks_give_as_many_tokens_as_the_published_collator(grid, options, num_blocks, scale):
    mask = MultiBlock(num_blocks=num_blocks, spatial_scale=(scale, scale), **options)
    rng = np.random.default_rng(0)
    published = np.array([published_multiblock(grid, mask, rng) for _ in range(80)])
    counts = count_tokens(mask, grid)
    # One more or less of the rows or columns of a block changes a length by a step of the grid.
    assert_alike(counts.context, published[:, 0], 3 * grid.t)
    assert_alike(counts.targets, published[:, 1], 3 * grid.t)


@pytest.mark.parametrize(("side", "min_keep"), [(4, 1), (7, 5), (8, 8), (10, 10), (14, 10), (16, 10)])
def test_image_blocks_give_as_many_tokens_as_the_published_collator(side, min_keep):
    mask = ImageBlocks(min_keep=min_keep)
    rng = np.random.default_rng(0)
    published = np.array([published_image_blocks(side, mask, rng) for _ in range(60)])
    counts = count_tokens(mask, Grid(1, side, side))
    assert_alike(counts.context, published[:, 0], 3)
    assert counts.targets.median == pytest.approx(mask.num_targets * np.median(published[:, 1]), rel=1 / 6)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_block_through_all_time_leaves_whole_places(grid):
    assert count_tokens(MultiBlock(num_blocks=2, spatial_scale=(0.7, 0.7)), grid).context.least >= grid.t


def test_a_sample_beyond_all_attempts_takes_a_placement_that_fits():
    """Ten blocks that must all lie in the same of two places: one draw in 512 shows anything."""
    mask = MultiBlock(num_blocks=9, spatial_scale=(0.7, 0.7), aspect_ratio=(1.0, 1.0))
    grid = Grid(2, 3, 2)
    rngs = [np.random.default_rng([sample]) for sample in range(50)]
    context_BK, target_BM, _ = mask.sample(grid, rngs, np.random.default_rng(0))
    assert context_BK.shape == (50, 4)
    for context, target in zip(context_BK, target_BM, strict=True):
        assert len({*context} | {*target}) == grid.size
        assert len({token % 6 // 2 for token in context}) == 1


def test_blocks_that_hide_everything_are_refused_by_their_size():
    with pytest.raises(ValueError, match=r"hide all of a grid of \(2, 4, 4\): lower num_blocks"):
        count_tokens(
            MultiBlock(num_blocks=1, spatial_scale=(1.0, 1.0), aspect_ratio=(1.0, 1.0)), Grid(2, 4, 4)
        )


def test_the_summary_names_a_mask_that_shows_too_little():
    masks = "[{num_blocks: 1, spatial_scale: [0.5, 0.5]}, {max_keep: 3}]"
    config = read_config(["--config", "configs/debug.yaml", f"--masks.multiblock={masks}"], PretrainConfig)
    warnings = [line for line in describe_masks(config) if "WARNING" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("WARNING: masks.multiblock[1] shows 3 tokens at some steps")
