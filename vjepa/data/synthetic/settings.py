"""Settings of rendered scenes, and the names of motions and shapes.

Lengths are fractions of the frame's side and times are frames, so a speed of 0.05 is 1.6 pixels per frame in
a video of 32 x 32 pixels. The origin is the upper left corner; x points right, y points down.
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

_MOST_COVERED = (
    0.35  # If objects that must not overlap take more than this share of the frame, no arrangement is found.
)


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Settings of one family of rendered videos.

    Attributes:
        size: Height and width of a frame in pixels; an even number, as the video codec requires.
        frames: Number of frames of a video.
        frame_rate: Frame rate of the video file in frames per second.
        motions: Motion classes, in the order of their labels.
        labels: Meaning of the labels: `motion`, the motion class, or `shape`, the shape of a single object,
            which one frame shows.
        objects: Smallest and largest number of objects in a video.
        radius: Smallest and largest radius of an object, as a share of the frame's side.
        speed: Smallest and largest speed of a video, in sides of the frame per frame: the speed of each
            object or, with gravity, a typical speed.
        colours: Colours of the objects: `own`, a strong colour for each object, or `white`. The colour of an
            object never changes, so it is the easiest thing to predict, and embeddings may represent it
            instead of the motion.
        texture: Strength of the background's 1/f texture, from 0 (off) to 3; its standard deviation is 25
            grey levels (of 255) per unit.
        noise: Strength of Gaussian noise in every pixel of every frame, from 0 (off) to 3; its standard
            deviation is 8 grey levels per unit.
        camera: Strength of a steady camera pan in a random direction, from 0 (off) to 3; its speed is 0.01 to
            0.02 sides of the frame per frame and unit.
        background: Background of the videos: `shared`, one for all videos; `video`, one for each video; or
            `frame`, a new one in every frame.
        occluder: Width of a bar in the scene that hides what passes behind it, as a share of the frame's
            side; 0 draws none.
        occluder_place: Place of the bar: `video`, vertical or horizontal, anywhere in each video; or
            `shared`, vertical in the middle of every first frame. If each video has its own bar, the bar is
            the easiest thing to predict, and a model may represent nothing else.
        wall: Thickness of visible walls along the edges of the frame, as a share of its side, for the motions
            `fall` and `collide` with a still camera; 0 makes walls invisible and places them anywhere.
        bounce: Direction in which walls throw objects back: `mirror`, by reflection, or `random`, which
            cannot be predicted.

    Raises:
        ValueError: A value is out of its range.
    """

    size: int = 32
    frames: int = 16
    frame_rate: int = 8
    motions: tuple[str, ...] = MOTIONS
    labels: str = "motion"
    objects: tuple[int, int] = (3, 6)
    radius: tuple[float, float] = (0.08, 0.13)
    speed: tuple[float, float] = (0.03, 0.06)
    colours: str = "own"
    texture: float = 1.0
    noise: float = 0.5
    camera: float = 1.0
    background: str = "video"
    occluder: float = 0.0
    occluder_place: str = "video"
    wall: float = 0.0
    bounce: str = "mirror"

    def __post_init__(self) -> None:
        # Settings files have lists, and equality and hashing need tuples.
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
