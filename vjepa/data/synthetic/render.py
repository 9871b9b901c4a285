"""Rendering of scenes: background, objects with smooth edges, occluder and noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.motion import Box, move, start_positions
from vjepa.data.synthetic.settings import SHAPES, RenderSettings

Array = NDArray[np.float64]
Pixels = NDArray[np.float32]

TEXTURE_LEVELS = 25.0
NOISE_LEVELS = 8.0
WALL_GREY = np.float32(220)
CAMERA_SPEEDS = (0.01, 0.02)

# Each cause of variation has its own random stream, so that changing one setting leaves the rest as it was,
# and random numbers that a motion draws do not change the appearance of anything.
STREAMS = ("looks", "places", "motion", "camera", "background", "occluder", "noise")


class Scene(NamedTuple):
    """A video before it is drawn, with T frames and n objects."""

    radii: Array  # (n,)
    colours: Array  # (T, n, 3), 0 to 255
    shapes: NDArray[np.int64]  # (T, n), indices in SHAPES
    present: NDArray[np.bool_]  # (T, n), whether an object is drawn
    scene_positions: Array  # (T, n, 2), positions in the scene, not wrapped
    velocities: Array  # (T, n, 2), in the scene
    camera: Array  # (T, 2), corner of the window in the scene
    pan: Array  # (2,), velocity of the window
    background: Pixels  # (T, H, W, 3)
    bar: Pixels  # (T, H, W), share of each pixel that the occluder covers
    noise: Pixels  # (T, H, W, 3)

    @property
    def positions(self) -> Array:
        """Positions on the screen, ``(T, n, 2)`` in [0, 1)."""
        return (self.scene_positions - self.camera[:, None]) % 1.0


def render_video(
    settings: RenderSettings, seed: int, number: int
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Render video `number` of a family: frames ``(T, H, W, 3)``, uint8, and the value of every factor.

    A pure function of its arguments. Classes take turns: video `number` has the motion ``number %
    len(settings.motions)``. The first axis of every factor is T, so that those of a clip are a slice:

        positions          (T, n, 2)  x and y on the screen, in [0, 1); objects wrap around the frame's edges
        velocities         (T, n, 2)  velocities on the screen, in sides of the frame per frame
        sizes              (T, n)     radii
        colours            (T, n, 3)  RGB, 0 to 255
        shapes             (T, n)     indices in `SHAPES`
        visible            (T, n)     share of the object's area that nothing hides, 0 to 1
        camera             (T, 2)     corner of the window in the scene, not wrapped; added to positions it
                                      gives those in the scene
        camera_velocities  (T, 2)     velocity of the window; added to velocities it gives those in the scene
        count              (T,)       number of objects, n
        motion             (T,)       index in ``settings.motions``
        background         (T, 6)     lowest waves of the background's texture in grey levels, see
                                      `_lowest_waves`
        noise              (T, 6)     lowest waves of the pixel noise, in the same way
    """
    scene = draw_scene(settings, seed, number)
    frames, visible = paint(scene, settings)
    constants = {
        "sizes": scene.radii,
        "camera_velocities": scene.pan,
        "count": np.asarray(len(scene.radii)),
        "motion": np.asarray(number % len(settings.motions)),
    }
    factors = {
        name: np.broadcast_to(value, (settings.frames, *value.shape)) for name, value in constants.items()
    }
    return frames, factors | {
        "colours": scene.colours,
        "shapes": scene.shapes,
        "positions": scene.positions,
        "velocities": scene.velocities - scene.pan,
        "visible": visible,
        "camera": scene.camera,
        "background": _lowest_waves(scene.background),
        "noise": _lowest_waves(scene.noise),
    }


def draw_scene(settings: RenderSettings, seed: int, number: int) -> Scene:
    """Draw all that is random in video `number` of a family."""
    if seed < 0 or number < 0:
        raise ValueError(f"seed is {seed} and number {number}: give whole numbers, 0 or more")
    streams = dict(zip(STREAMS, np.random.SeedSequence((seed, number)).spawn(len(STREAMS)), strict=True))
    rng = {name: np.random.default_rng(stream) for name, stream in streams.items()}
    radii, colours, shapes = _draw_objects(settings, rng["looks"])
    start = start_positions(radii, rng["places"], settings.wall)
    speed = rng["motion"].uniform(*settings.speed)
    motion = settings.motions[number % len(settings.motions)]
    box = Box(settings.wall, rng["motion"] if settings.bounce == "random" else None)
    scene_positions, velocities = move(motion, start, radii, speed, settings.frames, rng["motion"], box)
    camera, pan = _camera_path(settings, rng["camera"])
    if settings.background == "shared":
        rng["background"] = np.random.default_rng((seed, 0))
    # The start of the window must not shift a background that all videos share.
    background = _background(settings, camera - camera[0], rng["background"])
    noise = rng["noise"].standard_normal(background.shape, dtype=np.float32) * NOISE_LEVELS * settings.noise
    return Scene(
        radii=radii,
        colours=np.broadcast_to(colours, (settings.frames, *colours.shape)),
        shapes=np.broadcast_to(shapes, (settings.frames, *shapes.shape)),
        present=np.ones(scene_positions.shape[:2], dtype=bool),
        scene_positions=scene_positions,
        velocities=velocities,
        camera=camera,
        pan=pan,
        background=background,
        bar=_occluder(settings, camera, rng["occluder"]),
        noise=noise,
    )


def paint(scene: Scene, settings: RenderSettings) -> tuple[NDArray[np.uint8], Array]:
    """Render a scene: frames ``(T, H, W, 3)``, and the visible share of each object, ``(T, n)``."""
    canvas = scene.background.copy()
    _paint_walls(canvas, settings.wall)
    visible = _paint_objects(canvas, scene)
    canvas += scene.noise
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), visible


def _draw_objects(
    settings: RenderSettings, rng: np.random.Generator
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Draw radii ``(n,)``, colours ``(n, 3)`` and shapes ``(n,)``."""
    count = int(rng.integers(settings.objects[0], settings.objects[1] + 1))
    radii = rng.uniform(*settings.radius, size=count)
    colours = strong_colours(rng.uniform(0, 255, size=(count, 3)))
    if settings.colours == "white":
        colours = np.full_like(colours, 255)
    return radii, colours, rng.integers(len(SHAPES), size=count)


def strong_colours(colours: Array) -> Array:
    """Draw RGB colours ``(n, 3)``, stretched so that one channel is full and one is empty.

    Such colours stand out from the background.
    """
    low, high = colours.min(axis=1, keepdims=True), colours.max(axis=1, keepdims=True)
    return (colours - low) / (high - low) * 255


def _camera_path(settings: RenderSettings, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the corner of the window in the scene, ``(T, 2)``, and its velocity, ``(2,)``."""
    corner, angle = rng.uniform(size=2), rng.uniform(0, 2 * np.pi)
    if settings.wall:  # walls are at the edges of the frame
        corner = np.zeros(2)
    speed = settings.camera * rng.uniform(*CAMERA_SPEEDS)
    pan = speed * np.array([np.cos(angle), np.sin(angle)])
    return corner + pan * np.arange(settings.frames)[:, None], pan


def _background(settings: RenderSettings, camera: Array, rng: np.random.Generator) -> Pixels:
    """Draw a grey background with a coloured 1/f texture, ``(T, H, W, 3)``, moved by the camera's ``(T,
    2)``.
    """
    side, changing = settings.size, settings.background == "frame"
    across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(*across)
    frequency[0, 0] = np.inf  # no constant part, which is the grey level
    white = rng.standard_normal((settings.frames if changing else 1, 3, side, side))
    spectrum = np.fft.rfft2(white) / frequency
    texture = np.fft.irfft2(spectrum, s=(side, side))
    spectrum *= settings.texture * TEXTURE_LEVELS / texture.std()
    # A shift by a fraction of a pixel is exact in the frequency domain, because the scene repeats.
    phase = camera[:, 0, None, None] * across[1] + camera[:, 1, None, None] * across[0]
    shifted = np.fft.irfft2(spectrum * np.exp(2j * np.pi * side * phase)[:, None], s=(side, side))
    return np.ascontiguousarray(shifted.transpose(0, 2, 3, 1) + 127.5, dtype=np.float32)


def _lowest_waves(canvas: Pixels) -> Array:
    """Compute cosine and sine amplitudes of the waves with one period, ``(T, 6)``.

    The waves run horizontally, vertically and along the diagonal.
    """
    spectrum = np.fft.rfft2(canvas.mean(axis=-1, dtype=np.float64))
    lowest = np.stack([spectrum[:, 0, 1], spectrum[:, 1, 0], spectrum[:, 1, 1]], axis=-1)
    return np.concatenate([lowest.real, -lowest.imag], axis=-1) * 2 / canvas[0, ..., 0].size


def _occluder(settings: RenderSettings, camera: Array, rng: np.random.Generator) -> Pixels:
    """Compute the share of each pixel that the occluding bar covers, ``(T, H, W)``, 0 to 1."""
    axis, centre = int(rng.integers(2)), rng.uniform()
    if settings.occluder_place == "shared":
        axis, centre = 0, camera[0, 0] + 0.5
    if settings.occluder == 0:
        return np.zeros((settings.frames, settings.size, settings.size), dtype=np.float32)
    distance = np.abs(_pixel_offsets(centre - camera[:, axis], settings.size))
    cover = _coverage(distance - np.float32(settings.occluder / 2 * settings.size))
    shape = (settings.frames, settings.size, settings.size)
    return np.broadcast_to(cover[:, None, :] if axis == 0 else cover[:, :, None], shape)


def _paint_walls(canvas: Pixels, wall: float) -> None:
    if wall == 0:
        return
    size = canvas.shape[1]
    middles = np.arange(size) + np.float32(0.5)
    to_edge = np.minimum(middles, size - middles)
    cover = _coverage(np.minimum(to_edge[:, None], to_edge) - np.float32(wall * size))
    canvas += cover[:, :, None] * (WALL_GREY - canvas)


def _paint_objects(canvas: Pixels, scene: Scene) -> Array:
    """Paint the objects, the last one in front, and then the bar; return visible shares ``(T, n)``."""
    positions, size = scene.positions, canvas.shape[1]
    covers = [
        _changing_cover(scene.shapes[:, place], positions[:, place], radius, size)
        for place, radius in enumerate(scene.radii)
    ]
    for place, cover in enumerate(covers):
        cover *= scene.present[:, place, None, None]
        colour = scene.colours[:, place, None, None].astype(np.float32)
        canvas += cover[..., None] * (colour - canvas)
    canvas += scene.bar[..., None] * (np.float32(40) - canvas)

    open_view, visible = 1 - scene.bar, np.zeros(positions.shape[:2])
    for place in reversed(range(len(covers))):
        seen, whole = (covers[place] * open_view).sum(axis=(1, 2)), covers[place].sum(axis=(1, 2))
        np.divide(seen, whole, out=visible[:, place], where=whole > 0)
        open_view = open_view * (1 - covers[place])
    return visible


def object_covers(positions: Array, sizes: Array, shapes: NDArray[np.int64], size: int) -> Pixels:
    """Compute the share of each pixel that each object covers and no later one hides, ``(T, n, size, size)``.

    Args:
        positions: Positions on the screen, ``(T, n, 2)``, as in the factors of `render_video`.
        sizes: Radii, ``(T, n)``; those of an object never change.
        shapes: Indices in `SHAPES`, ``(T, n)``.
        size: Height and width of a frame in pixels.
    """
    covers = [
        _changing_cover(shapes[:, place], positions[:, place], float(sizes[0, place]), size)
        for place in range(positions.shape[1])
    ]
    open_view = np.ones_like(covers[0])
    for cover in reversed(covers):
        hidden = open_view * (1 - cover)
        cover *= open_view
        open_view = hidden
    return np.stack(covers, axis=1)


def _changing_cover(shapes: NDArray[np.int64], centres: Array, radius: float, size: int) -> Pixels:
    """Compute the share of each pixel, ``(T, H, W)``, that an object covers whose shape may change,
    ``(T,)``.
    """
    cover = np.empty((len(shapes), size, size), dtype=np.float32)
    for shape in np.unique(shapes):
        when = shapes == shape
        cover[when] = _object_cover(SHAPES[shape], centres[when], radius, size)
    return cover


def _object_cover(shape: str, centres: Array, radius: float, size: int) -> Pixels:
    """Compute the share of each pixel, ``(T, H, W)``, that a shape covers.

    `centres` is ``(T, 2)`` on the screen.
    """
    x = _pixel_offsets(centres[:, 0], size)[:, None, :]
    y = _pixel_offsets(centres[:, 1], size)[:, :, None]
    r = np.float32(radius * size)
    half, slant = np.float32(0.5), np.float32(0.866)
    if shape == "disc":
        return _coverage(np.hypot(x, y) - r)
    if shape == "ring":
        return _coverage(np.abs(np.hypot(x, y) - 0.7 * r) - 0.3 * r)
    x = np.abs(x)
    if shape == "square":
        return _coverage(np.maximum(x, np.abs(y)) - 0.8 * r)
    if shape == "triangle":
        # Equilateral, flat below, its centroid at the centre.
        return _coverage(np.maximum(slant * x - half * y, y) - half * r)
    y = np.abs(y)
    return _coverage(np.maximum(np.minimum(x, y) - 0.35 * r, np.maximum(x, y) - r))


def _pixel_offsets(centres: Array, size: int) -> Pixels:
    """Compute offsets in pixels, ``(T, size)``, from the nearest copy of each centre ``(T,)`` to each
    pixel's middle.
    """
    offsets = (np.arange(size) + 0.5) / size - centres[:, None]
    return ((offsets - np.round(offsets)) * size).astype(np.float32)


def _coverage(distance: Pixels) -> Pixels:
    """Convert signed distances to an edge, in pixels, to the share of a pixel inside the edge."""
    return np.clip(0.5 - distance, 0, 1)
