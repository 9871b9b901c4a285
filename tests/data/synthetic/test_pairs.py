"""Pairs of possible and impossible videos: what happens in them, when, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.data.builders import BOX
from vjepa.data.synthetic.pairs import CONTROL, VIOLATIONS, other_shapes, render_pair
from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import SHAPES

KINDS = (*VIOLATIONS, CONTROL)
LONE = replace(BOX, objects=(1, 1), noise=0, texture=0, size=64)
WALL = np.ones((64, 64), dtype=bool)
WALL[3:-3, 3:-3] = False
NUMBERS = range(6)


def ink(frames, levels=60):
    """Which pixels have a colour.

    The objects', for background, wall and bar are grey in a world without texture.
    """
    return np.ptp(frames.astype(int), axis=-1) > levels


def middle(frames):
    """Where the coloured pixels of each frame are, (T, 2) as x and y in frame sides.

    NaN where there are none.
    """
    seen = ink(frames)
    y, x = np.indices(seen.shape[1:]) + 0.5
    with np.errstate(invalid="ignore"):
        return (
            np.stack([(seen * axis).sum(axis=(1, 2)) / seen.sum(axis=(1, 2)) for axis in (x, y)], axis=1) / 64
        )


def colours(frames):
    """Mean colour of the coloured pixels in each frame."""
    return np.stack(
        [frame[seen].mean(axis=0) for frame, seen in zip(frames, ink(frames), strict=True) if seen.any()]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_differs_before_the_event_and_the_event_is_in_the_middle(kind):
    for number in NUMBERS:
        pair = render_pair(BOX, kind, 0, number)
        assert pair.possible.shape == pair.impossible.shape == (32, 32, 32, 3)
        assert pair.possible.dtype == pair.impossible.dtype == np.uint8
        differs = [bool((a != b).any()) for a, b in zip(pair.possible, pair.impossible, strict=True)]
        assert 32 // 3 <= pair.event.frame < 2 * 32 // 3
        assert not any(differs[: pair.event.frame])
        assert differs.index(True) == pair.first_difference
        if kind == "vanish":
            assert pair.first_difference > pair.event.frame
        else:
            assert pair.first_difference == pair.event.frame
            assert all(differs[pair.event.frame : pair.event.frame + 4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_a_pure_function_of_its_arguments(kind):
    pair, again = render_pair(BOX, kind, 1, 3), render_pair(BOX, kind, 1, 3)
    assert np.array_equal(pair.possible, again.possible)
    assert np.array_equal(pair.impossible, again.impossible)
    assert pair.event == again.event
    for seed, number in ((2, 3), (1, 4)):
        assert not np.array_equal(pair.possible, render_pair(BOX, kind, seed, number).possible)


def test_pairs_have_the_training_videos_background_but_not_their_scenes():
    settings = replace(BOX, noise=0)
    possible = np.stack([render_pair(settings, "shape", 0, number).possible for number in NUMBERS])
    training = np.stack([render_video(settings, 0, number)[0] for number in range(12)])
    background = [np.median(videos.reshape(-1, 32, 32, 3), axis=0) for videos in (possible, training)]
    assert np.abs(background[0] - background[1]).max() <= 1
    assert not any(np.array_equal(a, b) for a in possible for b in training)


def test_what_vanishes_is_hidden_at_the_event_and_never_seen_again():
    for number in NUMBERS:
        pair = render_pair(LONE, "vanish", 0, number)
        frame = pair.event.frame
        assert ink(pair.possible[:frame]).any()
        assert not ink(pair.impossible[frame:], levels=0).any()
        hidden = [not frame.any() for frame in ink(pair.possible[frame:], levels=0)]
        assert hidden[0]  # behind the bar
        assert hidden.index(False) == pair.first_difference - frame


def test_what_teleports_is_far_away_and_whole_and_goes_on_with_its_velocity():
    for number in NUMBERS:
        pair = render_pair(LONE, "teleport", 0, number)
        frame, before, after = pair.event.frame, middle(pair.possible), middle(pair.impossible)
        assert np.hypot(*(after[frame] - after[frame - 1])) > 0.25
        assert ink(pair.impossible[frame]).sum() > 0.7 * ink(pair.possible[frame]).sum()
        speeds = [np.hypot(*(places[frame + 1] - places[frame])) for places in (before, after)]
        assert speeds[0] == pytest.approx(speeds[1], abs=0.02)
        assert not (ink(pair.impossible) & WALL).any()


def test_what_passes_through_leaves_and_does_not_come_back_on_the_other_side():
    for number in NUMBERS:
        pair = render_pair(LONE, "pass_through", 0, number)
        seen, places = ink(pair.impossible), middle(pair.impossible)
        assert not (seen[: pair.event.frame - 1] & WALL).any()
        assert (seen & WALL).any()
        present = [place for place in places[pair.event.frame :] if np.isfinite(place).all()]
        assert np.abs(np.diff(present, axis=0)).max() < 0.1  # in one go, without a leap to the other side
        assert seen[-1].sum() < 0.5 * seen[pair.event.frame].sum()
        assert not (ink(pair.possible) & WALL).any()


def test_what_stops_stands_still_though_it_would_have_moved():
    for number in NUMBERS:
        pair = render_pair(LONE, "stop", 0, number)
        frame = pair.event.frame
        assert (pair.impossible[frame - 1 :] == pair.impossible[frame - 1]).all()
        steps = np.hypot(*np.diff(middle(pair.possible)[frame - 1 : frame + 4], axis=0).T)
        assert steps.min() > 0.02


def test_another_shape_is_at_the_same_place_in_the_same_colour():
    for number in NUMBERS:
        pair = render_pair(LONE, "shape", 0, number)
        now = slice(pair.event.frame, pair.event.frame + 4)
        one, other = ink(pair.possible[now]), ink(pair.impossible[now])
        assert (one != other).sum() > 0.2 * one.sum()
        assert np.abs(middle(pair.possible)[now] - middle(pair.impossible)[now]).max() < 0.03
        assert np.abs(colours(pair.possible[now]) - colours(pair.impossible[now])).max() < 25
    assert all(
        SHAPES.index("disc") not in other_shapes(SHAPES.index(name)) for name in ("ring", "square", "disc")
    )
    assert all(len(other_shapes(shape)) >= 2 for shape in range(len(SHAPES)))


def test_the_control_changes_the_colour_to_another_legal_one_and_nothing_else():
    for number in NUMBERS:
        pair = render_pair(LONE, CONTROL, 0, number)
        frame = pair.event.frame
        core = ink(pair.possible[frame]) & ink(pair.impossible[frame])
        pure = [video[frame][core].astype(int) for video in (pair.possible, pair.impossible)]
        strongest = [pixels[np.ptp(pixels, axis=1).argmax()] for pixels in pure]
        for colour in strongest:  # one channel full, one empty
            assert colour.max() == 255
            assert colour.min() == 0
        assert np.abs(strongest[0] - strongest[1]).sum() > 250
        present = np.isfinite(middle(pair.possible)).all(axis=1)
        assert np.abs(middle(pair.possible) - middle(pair.impossible))[present].max() < 0.02
        bare = ~(ink(pair.possible) | ink(pair.impossible))
        same = np.abs(pair.possible.astype(int) - pair.impossible)[bare]
        assert same.max() <= 60  # soft edges alone
    colour, again = (render_pair(LONE, CONTROL, 0, number).impossible for number in (0, 1))
    assert not np.array_equal(colour, again)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({}, "float", "kind is 'float': give one of vanish.*recolour"),
        ({"motions": ("fall",)}, "stop", "give motions .'collide',."),
        ({"bounce": "random"}, "stop", "bounce random.*bounce 'mirror'"),
        ({"camera": 1, "wall": 0}, "stop", "camera 1.*camera 0"),
        ({"frames": 11}, "stop", "frames is 11: a pair needs 12"),
        ({"occluder": 0}, "vanish", "occluder is 0.*give it a width"),
        ({"wall": 0}, "pass_through", "wall is 0.*thickness"),
        ({"speed": (0.0, 0.0)}, "stop", "none of 200 scenes.*room for 'stop'.*faster"),
        ({"occluder": 0.05}, "vanish", "wider occluder"),
    ],
)
def test_worlds_without_such_pairs_are_refused(change, kind, message):
    with pytest.raises(ValueError, match=message):
        render_pair(replace(BOX, **change), kind, 0, 0)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="number -1: give whole numbers"):
        render_pair(BOX, "stop", 0, -1)
