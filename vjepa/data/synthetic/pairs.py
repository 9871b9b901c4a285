"""Pairs of videos that are equal until something impossible happens in one of them.

    pair = render_pair(settings, "vanish", seed=0, number=17)

The scenes are boxes in which objects collide (`motions: [collide]`), so a pair's possible video is like those
that a model was trained on. After the event the laws of motion hold again: the rest is simulated, not edited.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.motion import Box, bounce
from vjepa.data.synthetic.render import Scene, draw_scene, paint, strong_colours
from vjepa.data.synthetic.settings import SHAPES, RenderSettings

VIOLATIONS = ("vanish", "teleport", "pass_through", "shape", "stop")
"""What happens to one object:

    vanish        it goes behind the occluder and is gone
    teleport      it is elsewhere from one frame to the next, and goes on as before
    pass_through  a wall does not hold it, and it leaves the image
    shape         it has another shape from one frame to the next
    stop          it stands still, though nothing is in its way
"""

CONTROL = "recolour"
"""No law of motion is broken: the object has another colour from one frame to the next. A measure of surprise
that rings here as loudly rings for changes of appearance. In a scene of white objects the new colour is one
that no model of that scene has seen: the sharper control."""

IN_VIEW = 0.9  # smallest visible share of an object whose event must be seen
AFTERWARDS = 4  # frames from the event on in which the consequence must be visible
FEWEST_FRAMES = 12  # smallest number of frames, so that this many follow the middle third
NEAREST, FARTHEST = 0.3, 0.7  # smallest distance of a teleport, in sides of the frame
BRISK = 0.03  # sides of the frame per frame; nobody would notice that a slower object stops
LOOK_ALIKE = (
    {"disc", "square"},
    {"disc", "ring"},
)  # pairs of shapes of which less than 30 % of the pixels differ
_FIRST_SCENE = 10**9  # more than any training set has videos, so that no pair has a scene of the training set
_MOST_SCENES = 200  # scenes that are drawn at most for one pair
_MOST_PLACES = 100  # places that are drawn at most for one teleport
_STREAM = 3001  # separates the random stream of events from that of scenes


class Event(NamedTuple):
    """What happens, at `frame`, the first frame in which the laws are broken, to the object number
    `which`.
    """

    frame: int
    which: int


class Pair(NamedTuple):
    """Two videos ``(T, H, W, 3)``, uint8, that are equal before the frame of the event."""

    possible: NDArray[np.uint8]
    impossible: NDArray[np.uint8]
    event: Event

    @property
    def first_difference(self) -> int:
        """First frame in which the videos differ.

        It is the frame of the event, except for `vanish`, where it is the frame in which the object should
        reappear.
        """
        return int((self.possible != self.impossible).any(axis=(1, 2, 3)).argmax())


def render_pair(settings: RenderSettings, kind: str, seed: int, number: int) -> Pair:
    """Render pair `number` of a kind of violation: a pure function of its arguments.

    Scenes are drawn until one has, in its middle third, an object to which the event can happen in full view
    (for `vanish`: behind the occluder). `render_video` draws none of these scenes with the same seed, but
    they have the same background if the settings share it.

    Args:
        settings: Render settings with `collide` as the only motion, reflecting walls, a still camera and 12
            frames or more; for `vanish` with an occluder, for `pass_through` with walls.
        kind: One of `VIOLATIONS`, or `CONTROL`.
        seed: Random seed of the training videos, whose background the pairs share.
        number: Number of the pair, 0 or more.

    Raises:
        ValueError: The settings allow no such event.
    """
    check_violation(settings, kind)
    if seed < 0 or number < 0:
        raise ValueError(f"seed is {seed} and number {number}: give whole numbers, 0 or more")
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, _STREAM]))
    for attempt in range(_MOST_SCENES):
        scene = draw_scene(settings, seed, _FIRST_SCENE + number * _MOST_SCENES + attempt)
        possible, visible = paint(scene, settings)
        for event in _candidates(scene, visible, settings, kind, rng):
            pair = _happen(scene, possible, settings, kind, event, rng)
            if pair is not None:
                return pair
    raise ValueError(
        f"none of {_MOST_SCENES} scenes of {settings} has room for '{kind}': give more frames, faster or "
        "smaller objects "
        "or, to vanish, a wider occluder"
    )


def check_violation(settings: RenderSettings, kind: str) -> None:
    """Raise ValueError if the settings allow no pairs of this kind, or the kind is unknown."""
    if kind not in (*VIOLATIONS, CONTROL):
        raise ValueError(f"kind is {kind!r}: give one of {', '.join((*VIOLATIONS, CONTROL))}")
    if settings.motions != ("collide",) or settings.bounce != "mirror" or settings.camera:
        raise ValueError(
            f"a scene with motions {settings.motions}, bounce {settings.bounce} and camera {settings.camera} "
            "has no "
            "pairs: give motions ('collide',), bounce 'mirror' and camera 0"
        )
    if settings.frames < FEWEST_FRAMES:
        raise ValueError(
            f"frames is {settings.frames}: a pair needs {FEWEST_FRAMES} or more, to show what follows"
        )
    if kind == "vanish" and not settings.occluder:
        raise ValueError("occluder is 0: an object can vanish only behind one; give it a width")
    if kind == "pass_through" and not settings.wall:
        raise ValueError("wall is 0: nobody sees what is passed through; give walls a thickness")


def _candidates(
    scene: Scene, visible: NDArray[np.float64], settings: RenderSettings, kind: str, rng: np.random.Generator
) -> Iterator[Event]:
    """Iterate over the events of a kind that are possible in a scene, in random order."""
    frames, count = visible.shape
    places = [(f, n) for f in range(frames // 3, 2 * frames // 3) for n in range(count)]
    for place in rng.permutation(len(places)):
        event = Event(*places[place])
        if _has_room(scene, visible, settings, kind, event):
            yield event


def _has_room(
    scene: Scene, visible: NDArray[np.float64], settings: RenderSettings, kind: str, event: Event
) -> bool:
    frame, which = event
    seen = visible[:, which]
    if kind == "vanish":  # the object is hidden for a moment and would come back
        back = seen[frame:] >= IN_VIEW
        return bool(seen[frame] == 0 and seen[:frame].max() >= IN_VIEW and back.sum() >= AFTERWARDS)
    if seen[frame - 1 : frame + AFTERWARDS].min() < IN_VIEW:
        return False
    if kind == "pass_through":
        return _bounces_off_wall(scene, settings, event)
    if kind == "stop":
        # The object is unhindered all the time, since a collision could also bring an object to rest.
        around = scene.velocities[frame - 1 : frame + AFTERWARDS, which]
        return bool(np.hypot(*around[0]) >= BRISK and np.allclose(around, around[0]))
    return True


def _bounces_off_wall(scene: Scene, settings: RenderSettings, event: Event) -> bool:
    """Return whether a wall turns the object between the frame before the event and its frame."""
    frame, which = event
    place, velocity = scene.scene_positions[frame - 1, which], scene.velocities[frame - 1, which]
    reach = scene.radii[which] + settings.wall + np.abs(velocity)
    near = ((place < reach) & (velocity < 0)) | ((place > 1 - reach) & (velocity > 0))
    return bool((near & np.isclose(velocity, -scene.velocities[frame, which])).any())


def _happen(
    scene: Scene,
    possible: NDArray[np.uint8],
    settings: RenderSettings,
    kind: str,
    event: Event,
    rng: np.random.Generator,
) -> Pair | None:
    """Render the pair of an event; None if the event could not be seen."""
    frame, which = event
    if kind in ("shape", CONTROL):
        changed: Scene | None = _look_different(scene, kind, event, rng)
    else:
        changed = _move_differently(scene, settings, kind, event, rng)
    if changed is None:
        return None
    impossible, visible = paint(changed, settings)
    if kind == "pass_through":
        if not _has_left(changed.scene_positions[-1, which]):
            return None
        impossible = _without_return(changed, impossible, settings, which)
    elif kind != "vanish" and visible[frame : frame + AFTERWARDS, which].min() < IN_VIEW:
        return None
    differs = (possible != impossible).any(axis=(1, 2, 3))
    assert not differs[:frame].any()
    if not differs[frame:].any() or (kind != "vanish" and not differs[frame]):
        return None
    return Pair(possible, impossible, event)


def _look_different(scene: Scene, kind: str, event: Event, rng: np.random.Generator) -> Scene:
    """Return the scene with the same motion, and another shape or colour from the event on."""
    frame, which = event
    shapes, colours = scene.shapes.copy(), scene.colours.copy()
    if kind == "shape":
        shapes[frame:, which] = rng.choice(other_shapes(int(shapes[frame, which])))
    else:
        colours[frame:, which] = _another_colour(colours[frame, which], rng)
    return scene._replace(shapes=shapes, colours=colours)


def other_shapes(shape: int) -> list[int]:
    """Return the indices in `SHAPES` of the shapes that look clearly different from this one."""
    name = SHAPES[shape]
    return [place for place, other in enumerate(SHAPES) if other != name and {name, other} not in LOOK_ALIKE]


def _another_colour(colour: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a strong colour that looks clearly different from the first."""
    while True:
        other = strong_colours(rng.uniform(0, 255, size=(1, 3)))[0]
        if np.abs(other - colour).sum() >= 255:
            return other


def _move_differently(
    scene: Scene, settings: RenderSettings, kind: str, event: Event, rng: np.random.Generator
) -> Scene | None:
    """Simulate the scene anew from the event; None if a teleported object finds no free place."""
    frame, which = event
    # A turn or a stop is visible in the frame of the event if the simulation starts one frame before it.
    begin = frame - 1 if kind in ("pass_through", "stop") else frame
    start, velocities = scene.scene_positions[begin].copy(), scene.velocities[begin].copy()
    present, ghost = scene.present, None
    if kind == "vanish":
        present = present.copy()
        present[frame:, which] = False
        start[which] = 10.0  # out of the way of all other objects
        velocities[which], ghost = 0, which
    elif kind == "teleport":
        place = _elsewhere(scene, settings, event, rng)
        if place is None:
            return None
        start[which] = place
    elif kind == "pass_through":
        ghost = which
    else:
        velocities[which] = 0
    rest = bounce(
        start, velocities, scene.radii, len(scene.scene_positions) - begin, Box(settings.wall), ghost
    )
    return scene._replace(
        scene_positions=np.concatenate([scene.scene_positions[:begin], rest[0]]),
        velocities=np.concatenate([scene.velocities[:begin], rest[1]]),
        present=present,
    )


def _elsewhere(
    scene: Scene, settings: RenderSettings, event: Event, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw a free place between the walls that is far enough away, also across the edges of a repeating
    scene.

    Return None if no such place is found.
    """
    frame, which = event
    radius = scene.radii[which]
    low, others = radius + settings.wall, np.arange(len(scene.radii)) != which
    for place in rng.uniform(low, 1 - low, size=(_MOST_PLACES, 2)):
        far = np.hypot(*(place - scene.scene_positions[frame, which]))
        gaps = np.hypot(*(place - scene.scene_positions[frame, others]).T) - scene.radii[others] - radius
        if NEAREST <= far <= FARTHEST and (gaps > 0).all():
            return place
    return None


def _has_left(place: NDArray[np.float64]) -> bool:
    """Return whether the centre of an object is outside the frame."""
    return bool(((place < 0) | (place > 1)).any())


def _without_return(
    scene: Scene, frames: NDArray[np.uint8], settings: RenderSettings, which: int
) -> NDArray[np.uint8]:
    """Remove an object that has left the frame and would come back on the opposite side of a repeating
    scene.
    """
    present = scene.present.copy()
    present[:, which] = False
    absent, _ = paint(scene._replace(present=present), settings)
    middles = (np.arange(settings.size) + 0.5) / settings.size
    # The renderer draws the nearest copy, which is the object itself up to half a frame away.
    x, y = (np.abs(middles - scene.scene_positions[:, which, axis, None]) < 0.5 for axis in (0, 1))
    own = y[:, :, None] & x[:, None, :]
    return np.where(own[..., None], frames, absent)
