"""Matched videos: possible and impossible ones that share their beginnings and their ends.

    matched = render_matched(settings, "vanish", seed=0, number=17)

At one frame of a scene, an object is given two states: here and gone, round and square, moving and at rest.
From each state the laws of motion say what follows and, backwards in time, what came before. Each of the two
beginnings is shown with each of the two ends: two videos, whose beginning and end are of the same state, are
possible, and the other two are not. Every beginning and every end is in one possible and one impossible
video, so that neither the number of objects nor their looks or motion tells them apart, but only the
transition. IntPhys (arXiv 1803.07616) is balanced in this way.

The scenes are boxes in which objects collide (`motions: [collide]`), so the possible videos are like those
that a model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.motion import Box, bounce
from vjepa.data.synthetic.render import Scene, draw_scene, paint, strong_colours
from vjepa.data.synthetic.settings import SHAPES, RenderSettings

VIOLATIONS = ("vanish", "teleport", "shape", "stop", "turn")
"""What happens to one object, and what happens in the other impossible video:

    vanish    it goes behind the occluder and is gone; it appears from behind the occluder
    teleport  it is elsewhere from one frame to the next, and goes on as before
    shape     it has another shape from one frame to the next
    stop      it stands still, though nothing is in its way; it begins to move, though nothing pushes it
    turn      it moves in another direction, though nothing is in its way
"""

CONTROLS = ("recolour", "fast")
"""Nothing impossible happens, so that a measure of surprise that rings here rings for something else:

    recolour  it has another colour from one frame to the next; no law of motion is broken. In a scene of
              white objects the colour is one that no model of that scene has seen.
    fast      it moves at the highest speed of the settings in the one video, at the lowest in the other
"""

IN_VIEW = 0.9  # smallest visible share of an object whose event must be seen
BEFORE, AFTERWARDS = 2, 4  # frames before the event, and from it on, in which the object must be visible
FEWEST_FRAMES = 12  # smallest number of frames, so that as many follow the middle third
NEAREST, FARTHEST = 0.3, 0.7  # smallest distance of a teleport, in sides of the frame
SMALLEST_TURN = np.pi / 2  # radians
BRISK = 0.03  # sides of the frame per frame; nobody would notice that a slower object stops
SPREAD = 1.5  # smallest ratio of the highest to the lowest speed, for `fast`
LOOK_ALIKE = (
    {"disc", "square"},
    {"disc", "ring"},
)  # pairs of shapes of which less than 30 % of the pixels differ
_FIRST_SCENE = 10**9  # more than any training set has videos, so that no set has a scene of the training set
_MOST_SCENES = 200  # scenes that are drawn at most for one set
_MOST_PLACES = 100  # places that are drawn at most for one teleport
_STREAM = 3001  # separates the random stream of events from that of scenes

Frames = NDArray[np.uint8]
Array = NDArray[np.float64]


class Event(NamedTuple):
    """At `frame`, the first frame of the ends, the object number `which` has one of two states."""

    frame: int
    which: int


class State(NamedTuple):
    """State of an object at the frame of the event."""

    place: Array  # (2,), in the scene
    velocity: Array  # (2,)
    shape: int
    colour: Array  # (3,)
    present: bool = True


class MatchedVideos(NamedTuple):
    """Possible and impossible videos ``(T, H, W, 3)``, uint8; those at the same place of both are a pair.

    Videos of a pair are equal before the frame of the event, except for `fast`, which is one pair of possible
    videos. How much happens is `severity`: of `teleport` the distance in sides of the frame; of `stop` and
    `turn` the change of velocity in sides per frame; of `fast` the ratio of the speeds; otherwise the radius
    of the object in sides of the frame.
    """

    possible: tuple[Frames, ...]
    impossible: tuple[Frames, ...]
    event: Event
    severity: float

    @property
    def first_difference(self) -> int:
        """First frame in which the videos of a pair differ, the same for both pairs.

        For `vanish` it is the frame in which the object reappears; for `stop` and `turn` the one after the
        event, at which the object is still where it would be; for `fast` any; for the others the event.
        """
        return int((self.possible[0] != self.impossible[0]).any(axis=(1, 2, 3)).argmax())


def render_matched(settings: RenderSettings, kind: str, seed: int, number: int) -> MatchedVideos:
    """Render set `number` of a kind of violation or control: a pure function of its arguments.

    Scenes are drawn until one has, in its middle third, an object to which the event can happen in full view
    (for `vanish`: behind the occluder). `render_video` draws none of these scenes with the same seed, but
    they have the same background if the settings share it.

    Args:
        settings: Render settings with `collide` as the only motion, reflecting walls, a still camera and 12
            frames or more; for `vanish` with an occluder.
        kind: One of `VIOLATIONS` or `CONTROLS`.
        seed: Random seed of the training videos, whose background the sets share.
        number: Number of the set, 0 or more.

    Raises:
        ValueError: The settings allow no such event.
    """
    check_violation(settings, kind)
    if seed < 0 or number < 0:
        raise ValueError(f"seed is {seed} and number {number}: give whole numbers, 0 or more")
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, _STREAM]))
    for attempt in range(_MOST_SCENES):
        scene = draw_scene(settings, seed, _FIRST_SCENE + number * _MOST_SCENES + attempt)
        for event in _candidates(scene, settings, kind, rng):
            matched = _happen(scene, settings, kind, event, rng)
            if matched is not None:
                return matched
    raise ValueError(
        f"none of {_MOST_SCENES} scenes of {settings} has room for '{kind}': give more frames, faster, "
        "smaller or fewer objects or, to vanish, a wider occluder"
    )


def check_violation(settings: RenderSettings, kind: str) -> None:
    """Raise ValueError if the settings allow no sets of this kind, or the kind is unknown."""
    if kind not in (*VIOLATIONS, *CONTROLS):
        raise ValueError(f"kind is {kind!r}: give one of {', '.join((*VIOLATIONS, *CONTROLS))}")
    if settings.motions != ("collide",) or settings.bounce != "mirror" or settings.camera:
        raise ValueError(
            f"a scene with motions {settings.motions}, bounce {settings.bounce} and camera {settings.camera} "
            "has no matched videos: give motions ('collide',), bounce 'mirror' and camera 0"
        )
    if settings.frames < FEWEST_FRAMES:
        raise ValueError(
            f"frames is {settings.frames}: matched videos need {FEWEST_FRAMES} or more, to show what follows"
        )
    if kind == "vanish" and not settings.occluder:
        raise ValueError("occluder is 0: an object can vanish only behind one; give it a width")
    if kind == "fast" and not 0 < SPREAD * settings.speed[0] <= settings.speed[1]:
        raise ValueError(
            f"speed is {settings.speed}: fast and slow objects need a highest speed of {SPREAD} times the "
            "lowest or more, and a lowest above 0"
        )


def _candidates(
    scene: Scene, settings: RenderSettings, kind: str, rng: np.random.Generator
) -> Iterator[Event]:
    """Iterate, in random order, over events whose first state, that of the scene, can be judged."""
    _, visible = paint(scene, settings)
    frames, count = visible.shape
    places = [(f, n) for f in range(frames // 3, 2 * frames // 3) for n in range(count)]
    for place in rng.permutation(len(places)):
        event = Event(*places[place])
        if _can_be_judged(kind, event, scene.velocities, visible):
            yield event


def _happen(
    scene: Scene, settings: RenderSettings, kind: str, event: Event, rng: np.random.Generator
) -> MatchedVideos | None:
    """Render the videos of an event; None if it could not be seen."""
    states = _states(scene, settings, kind, event, rng)
    if states is None:
        return None
    worlds = [_play(scene, settings, event, state) for state in states]
    # Painting takes longest, so what the motion alone shows is checked before.
    if kind in ("stop", "turn") and not all(_is_free(event, world.velocities) for world in worlds):
        return None
    painted = [paint(world, settings) for world in worlds]
    judged = zip(worlds, painted, states, strict=True)
    if not all(
        _can_be_judged(kind, event, world.velocities, visible)
        for world, (_, visible), state in judged
        if state.present
    ):
        return None
    (first, _), (second, _) = painted
    severity = _severity(kind, states, float(scene.radii[event.which]))
    if kind == "fast":
        return MatchedVideos((first,), (second,), event, severity)
    crossed = [
        np.concatenate([one[: event.frame], other[event.frame :]])
        for one, other in ((first, second), (second, first))
    ]
    return MatchedVideos((first, second), (crossed[0], crossed[1]), event, severity)


def _states(
    scene: Scene, settings: RenderSettings, kind: str, event: Event, rng: np.random.Generator
) -> tuple[State, State] | None:
    """Return the two states of the object; None if it can have no second one."""
    frame, which = event
    own = State(
        scene.scene_positions[frame, which],
        scene.velocities[frame, which],
        int(scene.shapes[frame, which]),
        scene.colours[frame, which],
    )
    speed = float(np.hypot(*own.velocity))
    if kind == "vanish":
        return own, own._replace(present=False)
    if kind == "shape":
        return own, own._replace(shape=int(rng.choice(other_shapes(own.shape))))
    if kind == "recolour":
        return own, own._replace(colour=_another_colour(own.colour, rng))
    if kind == "teleport":
        place = _elsewhere(scene, settings, event, rng)
        return None if place is None else (own, own._replace(place=place))
    if speed < (1e-9 if kind == "fast" else BRISK):
        return None
    if kind == "stop":
        return own, own._replace(velocity=np.zeros(2))
    if kind == "turn":
        return own, own._replace(velocity=_turned(own.velocity, rng))
    slow, fast = (own._replace(velocity=own.velocity / speed * each) for each in settings.speed)
    return slow, fast


def _turned(velocity: Array, rng: np.random.Generator) -> Array:
    angle = rng.uniform(SMALLEST_TURN, 2 * np.pi - SMALLEST_TURN)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]]) @ velocity


def other_shapes(shape: int) -> list[int]:
    """Return the indices in `SHAPES` of the shapes that look clearly different from this one."""
    name = SHAPES[shape]
    return [place for place, other in enumerate(SHAPES) if other != name and {name, other} not in LOOK_ALIKE]


def _another_colour(colour: Array, rng: np.random.Generator) -> Array:
    """Draw a strong colour that looks clearly different from the first."""
    while True:
        other = strong_colours(rng.uniform(0, 255, size=(1, 3)))[0]
        if np.abs(other - colour).sum() >= 255:
            return other


def _elsewhere(
    scene: Scene, settings: RenderSettings, event: Event, rng: np.random.Generator
) -> Array | None:
    """Draw a free place between the walls that is far enough away; None if none is found."""
    frame, which = event
    radius = scene.radii[which]
    low, others = radius + settings.wall, np.arange(len(scene.radii)) != which
    for place in rng.uniform(low, 1 - low, size=(_MOST_PLACES, 2)):
        far = np.hypot(*(place - scene.scene_positions[frame, which]))
        gaps = np.hypot(*(place - scene.scene_positions[frame, others]).T) - scene.radii[others] - radius
        if NEAREST <= far <= FARTHEST and (gaps > 0).all():
            return place
    return None


def _play(scene: Scene, settings: RenderSettings, event: Event, state: State) -> Scene:
    """Simulate a scene from the state of the event, forwards to its end and backwards to its beginning.

    Bounces and collisions without gravity are the same in both directions of time.
    """
    frame, which = event
    start, velocities = scene.scene_positions[frame].copy(), scene.velocities[frame].copy()
    start[which], velocities[which] = state.place, state.velocity
    ghost = None
    if not state.present:
        start[which], velocities[which], ghost = 10.0, 0.0, which  # out of the way of all other objects
    box, frames = Box(settings.wall), len(scene.scene_positions)
    after = bounce(start, velocities, scene.radii, frames - frame, box, ghost)
    before = bounce(start, -velocities, scene.radii, frame + 1, box, ghost)
    shapes, colours, present = scene.shapes.copy(), scene.colours.copy(), scene.present.copy()
    shapes[:, which], colours[:, which], present[:, which] = state.shape, state.colour, state.present
    return scene._replace(
        scene_positions=np.concatenate([before[0][:0:-1], after[0]]),
        velocities=np.concatenate([-before[1][:0:-1], after[1]]),
        shapes=shapes,
        colours=colours,
        present=present,
    )


def _can_be_judged(kind: str, event: Event, velocities: Array, visible: Array) -> bool:
    """Return whether a video shows the object at the event, and nothing else that could be its cause."""
    frame, which = event
    seen = visible[:, which]
    if kind == "vanish":  # The object is hidden for a moment, and visible before and afterwards.
        whole = seen >= IN_VIEW
        hidden = not seen[frame - 1 : frame + 1].any()
        return hidden and min(whole[:frame].sum(), whole[frame:].sum()) >= AFTERWARDS
    if seen[frame - BEFORE : frame + AFTERWARDS].min() < IN_VIEW:
        return False
    return kind not in ("stop", "turn") or _is_free(event, velocities)


def _is_free(event: Event, velocities: Array) -> bool:
    """Return whether the object touches nothing: a collision could also bring it to rest, or turn it."""
    path = velocities[event.frame - BEFORE : event.frame + AFTERWARDS, event.which]
    return bool(np.allclose(path, path[0]))


def _severity(kind: str, states: tuple[State, State], radius: float) -> float:
    one, other = states
    if kind == "teleport":
        return float(np.hypot(*(one.place - other.place)))
    if kind in ("stop", "turn"):
        return float(np.hypot(*(one.velocity - other.velocity)))
    if kind == "fast":
        return float(np.hypot(*other.velocity) / np.hypot(*one.velocity))
    return radius
