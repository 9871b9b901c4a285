"""Possible and impossible videos: what happens in them, when, and that nothing else tells them apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.data.builders import BOX
from vjepa.data.synthetic import matched as matched_videos
from vjepa.data.synthetic.matched import CONTROLS, VIOLATIONS, other_shapes, render_matched
from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import SHAPES

KINDS = (*VIOLATIONS, *CONTROLS)
BALANCED = [kind for kind in KINDS if kind != "fast"]
LONE = replace(BOX, objects=(1, 1), noise=0, texture=0, size=64)
WALL = np.ones((64, 64), dtype=bool)
WALL[3:-3, 3:-3] = False
NUMBERS = range(1, 6)


@cache
def lone(kind, number):
    """A set with one object in a plain world; several tests look at it."""
    matched = render_matched(LONE, kind, 0, number)
    for video in (*matched.possible, *matched.impossible):
        video.setflags(write=False)
    return matched


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


def steps(frames):
    """Distance that the object of a lone scene covers from frame to frame, in sides of the frame."""
    return np.hypot(*np.diff(middle(frames), axis=0).T)


@pytest.mark.parametrize("kind", BALANCED)
def test_every_beginning_and_every_end_is_in_one_possible_and_one_impossible_video(kind):
    for number in NUMBERS:
        matched = render_matched(BOX, kind, 0, number)
        (first, second), (crossed, back), frame = matched.possible, matched.impossible, matched.event.frame
        assert first.shape == crossed.shape == (32, 32, 32, 3)
        assert first.dtype == crossed.dtype == np.uint8
        assert 32 // 3 <= frame < 2 * 32 // 3
        for video, beginning, end in ((crossed, first, second), (back, second, first)):
            assert np.array_equal(video[:frame], beginning[:frame])
            assert np.array_equal(video[frame:], end[frame:])
        for possible, impossible in zip(matched.possible, matched.impossible, strict=True):
            differs = (possible != impossible).any(axis=(1, 2, 3)).tolist()
            assert differs.index(True) == matched.first_difference
        late = {"stop": 1, "turn": 1}.get(kind, 0)  # The object is where it would be, and then goes on.
        if kind == "vanish":
            assert matched.first_difference > frame
        else:
            assert matched.first_difference == frame + late
        assert (first[:frame] != second[:frame]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_a_pure_function_of_its_arguments(kind):
    matched, again = render_matched(BOX, kind, 1, 3), render_matched(BOX, kind, 1, 3)
    for side in ("possible", "impossible"):
        assert np.array_equal(getattr(matched, side), getattr(again, side))
    assert matched.event == again.event
    for seed, number in ((2, 3), (1, 4)):
        assert not np.array_equal(matched.possible, render_matched(BOX, kind, seed, number).possible)


def test_sets_have_the_training_videos_background_but_not_their_scenes():
    settings = replace(BOX, noise=0)
    possible = np.concatenate([render_matched(settings, "shape", 0, number).possible for number in NUMBERS])
    training = np.stack([render_video(settings, 0, number)[0] for number in range(12)])
    background = [np.median(videos.reshape(-1, 32, 32, 3), axis=0) for videos in (possible, training)]
    assert np.abs(background[0] - background[1]).max() <= 1
    assert not any(np.array_equal(a, b) for a in possible for b in training)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_jumps_in_a_possible_video(kind):
    """An object moves at one speed, and between walls; nothing is cut at the event."""
    covered = []
    for number in NUMBERS:
        matched = lone(kind, number)
        for video in (*matched.possible, *(matched.impossible if kind == "fast" else ())):
            seen = ink(video)
            assert not (seen & WALL).any()
            whole = seen.sum(axis=(1, 2)) > 0.9 * seen.sum(axis=(1, 2)).max()
            covered += [*steps(video)[whole[1:] & whole[:-1]]]
    assert len(covered) > 30
    assert max(covered) < 0.08


def test_what_vanishes_is_hidden_at_the_event_and_never_seen_again_and_the_other_way_round():
    for number in NUMBERS:
        matched = lone("vanish", number)
        frame = matched.event.frame
        (here, gone), (vanishes, appears) = matched.possible, matched.impossible
        assert not ink(gone, levels=0).any()
        for video, before, after in ((here, True, True), (vanishes, True, False), (appears, False, True)):
            assert not ink(video[frame - 1 : frame + 1], levels=0).any()  # behind the bar
            assert ink(video[:frame]).any() == before
            assert ink(video[frame:]).any() == after


def test_what_teleports_is_far_away_and_whole_and_goes_on_with_its_velocity():
    for number in NUMBERS:
        matched = lone("teleport", number)
        frame, jumped = matched.event.frame, steps(matched.impossible[0])
        assert jumped[frame - 1] == pytest.approx(matched.severity, abs=0.1)
        assert matched.severity > 0.3
        assert ink(matched.impossible[0][frame]).sum() > 0.7 * ink(matched.possible[0][frame]).sum()
        assert jumped[frame] == pytest.approx(jumped[frame - 2], abs=0.03)


def test_what_stops_stands_still_though_it_would_have_moved_and_the_other_way_round():
    for number in NUMBERS:
        matched = lone("stop", number)
        frame, (stops, starts) = matched.event.frame, matched.impossible
        assert (stops[frame:] == stops[frame]).all()
        assert (starts[:frame] == starts[0]).all()
        for moving in (steps(stops)[frame - 4 : frame - 1], steps(starts)[frame : frame + 3]):
            assert moving.mean() == pytest.approx(matched.severity, abs=0.02)


def test_what_turns_keeps_its_speed_and_changes_its_direction():
    for number in NUMBERS:
        matched = lone("turn", number)
        frame = matched.event.frame
        for video in matched.impossible:
            before, after = (np.diff(middle(video)[part], axis=0).mean(axis=0) for part in (
                slice(frame - 4, frame + 1), slice(frame, frame + 4)
            ))  # fmt: skip
            assert np.hypot(*before) == pytest.approx(np.hypot(*after), abs=0.015)
            assert before @ after < 0.1 * np.hypot(*before) * np.hypot(*after)  # 90 degrees or more


def test_another_shape_is_at_the_same_place_in_the_same_colour():
    for number in NUMBERS:
        matched = lone("shape", number)
        near = slice(matched.event.frame - 4, matched.event.frame + 4)
        one, other = (video[near] for video in matched.possible)
        assert (ink(one) != ink(other)).sum() > 0.2 * ink(one).sum()
        assert np.abs(middle(one) - middle(other)).max() < 0.03
        assert np.abs(colours(one) - colours(other)).max() < 25
    assert all(
        SHAPES.index("disc") not in other_shapes(SHAPES.index(name)) for name in ("ring", "square", "disc")
    )
    assert all(len(other_shapes(shape)) >= 2 for shape in range(len(SHAPES)))


def test_the_control_of_appearance_changes_the_colour_to_another_legal_one_and_nothing_else():
    for number in NUMBERS:
        matched = lone("recolour", number)
        frame, (one, other) = matched.event.frame, matched.possible
        core = ink(one[frame]) & ink(other[frame])
        pure = [video[frame][core].astype(int) for video in (one, other)]
        strongest = [pixels[np.ptp(pixels, axis=1).argmax()] for pixels in pure]
        for colour in strongest:  # one channel full, one empty
            assert colour.max() == 255
            assert colour.min() == 0
        assert np.abs(strongest[0] - strongest[1]).sum() > 250
        present = np.isfinite(middle(one)).all(axis=1)
        assert np.abs(middle(one) - middle(other))[present].max() < 0.02
        bare = ~(ink(one) | ink(other))
        assert np.abs(one.astype(int) - other)[bare].max() <= 60  # soft edges alone


def test_the_control_of_speed_has_a_slow_and_a_fast_object_that_meet_at_the_event():
    for number in NUMBERS:
        matched = lone("fast", number)
        assert len(matched.possible) == len(matched.impossible) == 1
        frame = matched.event.frame
        slow, fast = (steps(side[0])[frame - 4 : frame + 3].mean() for side in matched[:2])
        assert fast / slow == pytest.approx(matched.severity, rel=0.3)
        assert np.array_equal(matched.possible[0][frame], matched.impossible[0][frame])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({}, "float", "kind is 'float': give one of vanish.*recolour, fast"),
        ({"motions": ("fall",)}, "stop", "give motions .'collide',."),
        ({"bounce": "random"}, "stop", "bounce random.*bounce 'mirror'"),
        ({"camera": 1, "wall": 0}, "stop", "camera 1.*camera 0"),
        ({"frames": 11}, "stop", "frames is 11: matched videos need 12"),
        ({"occluder": 0}, "vanish", "occluder is 0.*give it a width"),
        ({"speed": (0.05, 0.06)}, "fast", "highest speed of 1.5 times the lowest"),
        ({"speed": (0.0, 0.06)}, "fast", "and a lowest above 0"),
        ({"speed": (0.0, 0.0)}, "stop", "none of 20 scenes.*room for 'stop'.*faster"),
        ({"occluder": 0.05}, "vanish", "wider occluder"),
    ],
)
def test_worlds_without_such_videos_are_refused(change, kind, message, monkeypatch):
    monkeypatch.setattr(matched_videos, "_MOST_SCENES", 20)
    with pytest.raises(ValueError, match=message):
        render_matched(replace(BOX, **change), kind, 0, 0)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="number -1: give whole numbers"):
        render_matched(BOX, "stop", 0, -1)
