"""Pairs of videos that are alike until something happens in one of them that cannot happen.

    pair = render_pair(settings, "vanish", seed=0, number=17)

The worlds are boxes in which objects collide (`motions: [collide]`), so that a pair's possible video is one of the
family that a model was trained on. After the event the laws hold again: what follows is simulated, not edited.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.motion import Box, bounce
from vjepa.data.synthetic.render import Scene, draw_scene, paint, strong_colours
from vjepa.data.synthetic.settings import SHAPES, WorldSettings

VIOLATIONS = ("vanish", "teleport", "pass_through", "shape", "stop")
"""What happens to one object:

    vanish        it goes behind the occluder and is gone
    teleport      it is elsewhere from one frame to the next, and goes on as before
    pass_through  a wall does not hold it
    shape         it has another shape from one frame to the next
    stop          it stands still, though nothing is in its way
"""

CONTROL = "recolour"
"""No law of motion is broken: the object has another colour from one frame to the next. A measure of surprise that
rings here as loudly rings for changes of appearance."""

IN_VIEW = 0.9  # share of an object that must be seen where an event is to be seen
HIDDEN = 0.02
AFTERWARDS = 4  # frames in which what happened must show
FARTHEST, NEAREST = 0.7, 0.3  # of a teleport, in frame sides
_MOST_SCENES = 1000  # drawn for one pair
_STREAM = 3001  # separates the chance of events from that of scenes


class Event(NamedTuple):
    """What happens: from `frame` on, to object number `which`."""

    frame: int
    which: int


class Pair(NamedTuple):
    """Two videos ``(T, H, W, 3)``, uint8, equal before the event's frame."""

    possible: NDArray[np.uint8]
    impossible: NDArray[np.uint8]
    event: Event


def render_pair(settings: WorldSettings, kind: str, seed: int, number: int) -> Pair:
    """Pair `number` of its kind: a pure function of its arguments.

    Scenes are drawn until one has, in its middle third, an object to which this can happen in full view (to vanish:
    behind the occluder). ValueError where the world has no such scenes.

    Args:
        settings: of a family with `collide` as its only motion, mirrors for walls, and a camera that stands still; for
            `vanish` with an occluder.
        kind: one of `VIOLATIONS`, or `CONTROL`.
    """
    _check(settings, kind)
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, _STREAM]))
    for attempt in range(_MOST_SCENES):
        scene = draw_scene(settings, seed, number * _MOST_SCENES + attempt)
        possible, visible = paint(scene, settings)
        for event in _candidates(scene, visible, settings, kind, rng):
            changed = _happen(scene, settings, kind, event, rng)
            impossible, visible_after = paint(changed, settings)
            if _shows(kind, event, visible_after, possible, impossible):
                return Pair(possible, impossible, event)
    raise ValueError(
        f"none of {_MOST_SCENES} scenes of {settings} has room for '{kind}': give more frames, faster objects or, to "
        "vanish, a wider occluder"
    )


def _check(settings: WorldSettings, kind: str) -> None:
    if kind not in (*VIOLATIONS, CONTROL):
        raise ValueError(f"kind is {kind!r}: give one of {', '.join((*VIOLATIONS, CONTROL))}")
    if settings.motions != ("collide",) or settings.bounce != "mirror" or settings.camera:
        raise ValueError(
            f"a world with motions {settings.motions}, bounce {settings.bounce} and camera {settings.camera} has no "
            "pairs: give motions ('collide',), bounce 'mirror' and camera 0"
        )
    if kind == "vanish" and not settings.occluder:
        raise ValueError("occluder is 0: an object can vanish only behind one; give it a width")


def _candidates(
    scene: Scene, visible: NDArray[np.float64], settings: WorldSettings, kind: str, rng: np.random.Generator
) -> Iterator[Event]:
    """Events of this kind that a scene has room for, in random order."""
    frames, count = visible.shape
    places = [(f, n) for f in range(frames // 3, 2 * frames // 3) for n in range(count)]
    for place in rng.permutation(len(places)):
        event = Event(*places[place])
        if _possible(scene, visible, settings, kind, event):
            yield event


def _possible(
    scene: Scene, visible: NDArray[np.float64], settings: WorldSettings, kind: str, event: Event
) -> bool:
    frame, which = event
    seen = visible[:, which]
    if kind == "vanish":  # gone for a moment, and it would come back
        back = seen[frame:] >= IN_VIEW
        return bool(seen[frame] <= HIDDEN and seen[:frame].max() >= IN_VIEW and back.sum() >= AFTERWARDS)
    if seen[frame - 1 : frame + AFTERWARDS].min() < IN_VIEW:
        return False
    if kind != "pass_through":
        return True
    velocity, ahead = scene.velocities[frame, which], scene.velocities[frame + 1, which]
    reach = scene.radii[which] + settings.wall + np.abs(velocity)
    place = scene.world[frame, which]
    near = ((place < reach) & (velocity < 0)) | ((place > 1 - reach) & (velocity > 0))
    return bool((near & np.isclose(velocity, -ahead)).any())


def _happen(
    scene: Scene, settings: WorldSettings, kind: str, event: Event, rng: np.random.Generator
) -> Scene:
    """The same scene, in which it happens."""
    frame, which = event
    if kind in ("shape", CONTROL):
        shapes, colours = scene.shapes.copy(), scene.colours.copy()
        others = [shape for shape in range(len(SHAPES)) if shape != shapes[frame, which]]
        if kind == "shape":
            shapes[frame:, which] = rng.choice(others)
        else:
            colours[frame:, which] = _another_colour(colours[frame, which], rng)
        return scene._replace(shapes=shapes, colours=colours)
    start, velocities = scene.world[frame].copy(), scene.velocities[frame].copy()
    present, ghost = scene.present, None
    if kind == "vanish":
        present = present.copy()
        present[frame:, which] = False
        start[which] = 10.0 + which  # out of everybody's way
        velocities[which], ghost = 0, which
    if kind == "teleport":
        start[which] = _elsewhere(scene, settings, event, rng)
    if kind == "pass_through":
        ghost = which
    if kind == "stop":
        velocities[which] = 0
    rest = bounce(start, velocities, scene.radii, len(scene.world) - frame, Box(settings.wall), ghost)
    return scene._replace(
        world=np.concatenate([scene.world[:frame], rest[0]]),
        velocities=np.concatenate([scene.velocities[:frame], rest[1]]),
        present=present,
    )


def _another_colour(colour: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A strong colour that nobody takes for the first."""
    while True:
        other = strong_colours(rng.uniform(0, 255, size=(1, 3)))[0]
        if np.abs(other - colour).sum() >= 255:
            return other


def _elsewhere(
    scene: Scene, settings: WorldSettings, event: Event, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A free place within the walls, neither near nor at the other end of the world."""
    frame, which = event
    radius = scene.radii[which]
    low, others = radius + settings.wall, np.arange(len(scene.radii)) != which
    while True:
        place = rng.uniform(low, 1 - low, size=2)
        far = np.hypot(*(place - scene.world[frame, which]))
        gaps = np.hypot(*(place - scene.world[frame, others]).T) - scene.radii[others] - radius
        if NEAREST <= far <= FARTHEST and (gaps > 0).all():
            return place


def _shows(
    kind: str,
    event: Event,
    visible: NDArray[np.float64],
    possible: NDArray[np.uint8],
    impossible: NDArray[np.uint8],
) -> bool:
    """Whether the event can be seen, and nothing before it."""
    if kind not in ("vanish", "pass_through") and visible[event.frame, event.which] < IN_VIEW:
        return False
    differs = (possible != impossible).any(axis=(1, 2, 3))
    return not differs[: event.frame].any() and bool(differs[event.frame :].any())
