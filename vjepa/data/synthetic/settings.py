"""What can be set about the synthetic scene, and the names of its motions and shapes.

Units: lengths are fractions of the frame's side, times are frames, so a speed of .05 is 1.6 pixels a
frame in a video of 32 x 32. The origin is the upper left corner; x points right, y points down.
"""

from __future__ import annotations

from dataclasses import dataclass

from vjepa.data.synthetic.motion import BOUNCING

MOTIONS = ("still", "left", "right", "up", "down", "fall", "collide", "orbit")
"""Motion classes; a label is a place in ``RenderSettings.motions``, all of these unless told otherwise.

    still                  nothing moves (but the camera may)
    left, right, up, down  all objects share one constant velocity; what leaves comes back opposite
    fall                   gravity pulls all objects, which bounce off the walls and each other
    collide                every object its own direction, bouncing off the walls and each other
    orbit                  all objects go round in step, clockwise, a turn in 16 frames
"""

SHAPES = ("disc", "square", "triangle", "ring", "cross")
"""Shapes of objects; a shape id is a place in this tuple."""

BACKGROUNDS = ("shared", "video", "frame")
COLOURS = ("own", "white")
OCCLUDER_PLACES = ("video", "shared")
BOUNCES = ("mirror", "random")
LABELS = ("motion", "shape")

_MOST_COVERED = 0.35  # Above this share of the frame, objects that must not overlap no longer find room.


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """One family of videos. ValueError where a value is out of its range.

    The three dials go from 0 (off) to 3 (strong):
        texture  the background's 1/f texture has a standard deviation of 25 grey levels (of 255) a unit
        noise    every pixel of every frame gets Gaussian noise of 8 grey levels a unit
        camera   the camera pans, steadily and in a random direction, at .01 to .02 a frame and unit
    """

    size: int = 32
    """Height and width of a frame in pixels, even (as the video codec wants)."""
    frames: int = 16
    """Frames of a video."""
    frame_rate: int = 8
    """Frames a second that the video file claims."""
    motions: tuple[str, ...] = MOTIONS
    """The motion classes to draw from, in the order of their labels."""
    labels: str = "motion"
    """What the labels tell: the ``motion``, or the ``shape`` of a single object, which one frame shows."""
    objects: tuple[int, int] = (3, 6)
    """Fewest and most objects of a video."""
    radius: tuple[float, float] = (0.08, 0.13)
    """Smallest and largest radius of an object."""
    speed: tuple[float, float] = (0.03, 0.06)
    """Smallest and largest speed of a video: that of each object, or, with gravity, a typical one."""
    colours: str = "own"
    """``own``: each object its own, a strong one; ``white``: all alike. An object's own colour never
    changes, so it is the easiest thing to predict, and embeddings come to hold it instead of the motion."""
    texture: float = 1.0
    noise: float = 0.5
    camera: float = 1.0
    background: str = "video"
    """``shared``: one background for all videos; ``video``: each its own; ``frame``: new in every frame."""
    occluder: float = 0.0
    """Width of a bar that stands in the scene and hides what passes behind it; 0 for none."""
    occluder_place: str = "video"
    """``video``: upright or level, anywhere; ``shared``: upright in the middle of every first frame. A bar of
    its own in each video is the easiest thing to predict: a model may learn the bar and nothing else."""
    wall: float = 0.0
    """Thickness of walls along the frame's edges, for `fall` and `collide` with a camera that stands still; 0
    for invisible walls, anywhere on the screen."""
    bounce: str = "mirror"
    """How walls throw objects back: ``mirror``, or ``random``, in any direction, so that nobody can know."""

    def __post_init__(self) -> None:
        # A file of settings has lists where there should be tuples; equality and hashing need tuples.
        for name in ("motions", "objects", "radius", "speed"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_numbers()
        self._check_ranges()
        self._check_names()

    def _check_numbers(self) -> None:
        if self.size < 8 or self.size % 2:
            raise ValueError(f"size is {self.size}: give an even number of pixels, 8 or more")
        for name in ("frames", "frame_rate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in ("texture", "noise", "camera"):
            if not 0 <= getattr(self, name) <= 3:
                raise ValueError(f"{name} is {getattr(self, name)}: this dial goes from 0 (off) to 3")
        if not 0 <= self.occluder <= 0.5:
            raise ValueError(f"occluder is {self.occluder}: give a width from 0 (none) to .5 of the frame")
        if not 0 <= self.wall <= 0.2:
            raise ValueError(f"wall is {self.wall}: give a thickness from 0 (invisible) to .2 of the frame")
        if self.wall and (self.camera or not set(self.motions) <= set(BOUNCING)):
            raise ValueError(
                f"wall is {self.wall} with camera {self.camera} and motions {', '.join(self.motions)}: walls "
                "stand on "
                f"the frame's edges, so give camera 0 and no motions but {', '.join(BOUNCING)}"
            )

    def _check_ranges(self) -> None:
        limits = {"objects": (1, 32), "radius": (0.02, 0.3), "speed": (0.0, 0.2)}
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if len(value) != 2 or not lowest <= value[0] <= value[1] <= highest:
                raise ValueError(
                    f"{name} is {value}: give a smallest and a largest value, in order, "
                    f"between {lowest} and {highest}"
                )
        room = (1 - 2 * self.wall) ** 2
        covered = 3.1416 * self.objects[1] * self.radius[1] ** 2 / room
        if covered > _MOST_COVERED:
            raise ValueError(
                f"{self.objects[1]} objects of radius {self.radius[1]} cover {covered:.2f} of the room, "
                f"more than {_MOST_COVERED}: they would not fit side by side; give fewer or smaller ones"
            )

    def _check_names(self) -> None:
        unknown = [name for name in self.motions if name not in MOTIONS]
        if unknown or not self.motions or len(set(self.motions)) < len(self.motions):
            raise ValueError(
                f"motions is {self.motions}: give one or more of {', '.join(MOTIONS)}, each at most once"
            )
        choices = {"background": BACKGROUNDS, "colours": COLOURS, "occluder_place": OCCLUDER_PLACES}
        choices |= {"bounce": BOUNCES, "labels": LABELS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}: give one of {', '.join(known)}")
        if self.labels == "shape" and self.objects != (1, 1):
            raise ValueError(
                f"labels is 'shape' with objects {self.objects}: a video has one label, so give objects (1, "
                "1)"
            )
