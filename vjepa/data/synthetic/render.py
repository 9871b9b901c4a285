"""Draw the world: background, objects with smooth edges, occluder, noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.motion import move, start_positions
from vjepa.data.synthetic.settings import SHAPES, WorldSettings

Array = NDArray[np.float64]
Pixels = NDArray[np.float32]

TEXTURE_LEVELS = 25.0
NOISE_LEVELS = 8.0
CAMERA_SPEEDS = (0.01, 0.02)

# Each cause of variation has its own random stream, so that turning one dial leaves the rest as it was,
# and so that what a motion draws cannot change what anything looks like.
STREAMS = ("looks", "places", "motion", "camera", "background", "occluder", "noise")


class Objects(NamedTuple):
    """What does not change during a video; n objects."""

    radii: Array  # (n,)
    colours: Array  # (n, 3), 0 to 255
    shapes: NDArray[np.int64]  # (n,), places in SHAPES


def render_video(
    settings: WorldSettings, seed: int, number: int
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Video ``number`` of the family: frames ``(T, H, W, 3)`` in 0..255, and every factor behind them.

    A pure function of its arguments. Classes take turns: video ``number`` has motion
    ``number % len(settings.motions)``. Factors, all with T first so that a clip's are a slice:
        positions   (T, n, 2) x and y on the screen, in [0, 1); objects wrap round the frame's edges
        velocities  (T, n, 2) of the objects on the screen, frame sides a frame
        sizes       (T, n)    radii
        colours     (T, n, 3) RGB, 0 to 255
        shapes      (T, n)    places in `SHAPES`
        visible     (T, n)    share of the object's area that nothing hides, 0 to 1
        camera      (T, 2)    the window's corner in the world, not wrapped; + positions = world positions
        camera_velocities (T, 2)  + velocities = velocities in the world
        count       (T,)      number of objects, n
        motion      (T,)      place in ``settings.motions``
        background  (T, 6)    lowest waves of the background's texture in grey levels, see `_lowest_waves`
        noise       (T, 6)    the same of the pixel noise
    """
    if seed < 0 or number < 0:
        raise ValueError(f"seed is {seed} and number {number}: give whole numbers, 0 or more")
    streams = dict(zip(STREAMS, np.random.SeedSequence((seed, number)).spawn(len(STREAMS)), strict=True))
    rng = {name: np.random.default_rng(stream) for name, stream in streams.items()}
    time = settings.frames
    label = number % len(settings.motions)
    objects = _draw_objects(settings, rng["looks"])
    start = start_positions(objects.radii, rng["places"])
    speed = rng["motion"].uniform(*settings.speed)
    world, velocities = move(settings.motions[label], start, objects.radii, speed, time, rng["motion"])
    camera, pan = _camera_path(settings, rng["camera"])
    positions = (world - camera[:, None]) % 1.0

    if settings.background == "shared":
        rng["background"] = np.random.default_rng((seed, 0))
    # Where the window starts must not shift a background that is to be the same in all videos.
    canvas = _background(settings, camera - camera[0], rng["background"])
    waves = {"background": _lowest_waves(canvas)}
    visible = _paint_objects(canvas, objects, positions, _occluder(settings, camera, rng["occluder"]))
    noise = rng["noise"].standard_normal(canvas.shape, dtype=np.float32) * NOISE_LEVELS * settings.noise
    waves["noise"] = _lowest_waves(noise)
    canvas += noise
    frames = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)

    constants = {"sizes": objects.radii, "colours": objects.colours, "shapes": objects.shapes}
    constants |= {"camera_velocities": pan, "count": np.asarray(len(start)), "motion": np.asarray(label)}
    factors = {name: np.broadcast_to(value, (time, *value.shape)) for name, value in constants.items()}
    moving = {"positions": positions, "velocities": velocities - pan, "visible": visible, "camera": camera}
    return frames, factors | moving | waves


def _draw_objects(settings: WorldSettings, rng: np.random.Generator) -> Objects:
    count = int(rng.integers(settings.objects[0], settings.objects[1] + 1))
    radii = rng.uniform(*settings.radius, size=count)
    colours = rng.uniform(0, 255, size=(count, 3))
    # Stretched so that one channel is full and one empty: strong colours stand out from the background.
    low, high = colours.min(axis=1, keepdims=True), colours.max(axis=1, keepdims=True)
    colours = (colours - low) / (high - low) * 255
    if settings.colours == "white":
        colours = np.full_like(colours, 255)
    return Objects(radii, colours, rng.integers(len(SHAPES), size=count))


def _camera_path(settings: WorldSettings, rng: np.random.Generator) -> tuple[Array, Array]:
    """Corner of the window in the world ``(T, 2)`` and its velocity ``(2,)``."""
    corner, angle = rng.uniform(size=2), rng.uniform(0, 2 * np.pi)
    speed = settings.camera * rng.uniform(*CAMERA_SPEEDS)
    pan = speed * np.array([np.cos(angle), np.sin(angle)])
    return corner + pan * np.arange(settings.frames)[:, None], pan


def _background(settings: WorldSettings, camera: Array, rng: np.random.Generator) -> Pixels:
    """Grey with a coloured 1/f texture, ``(T, H, W, 3)``, moved by the camera's ``(T, 2)``."""
    side, changing = settings.size, settings.background == "frame"
    across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(*across)
    frequency[0, 0] = np.inf  # no constant part: that is the grey
    white = rng.standard_normal((settings.frames if changing else 1, 3, side, side))
    spectrum = np.fft.rfft2(white) / frequency
    texture = np.fft.irfft2(spectrum, s=(side, side))
    spectrum *= settings.texture * TEXTURE_LEVELS / texture.std()
    # Moving the window by a fraction of a pixel is exact in the frequency domain: the world repeats.
    phase = camera[:, 0, None, None] * across[1] + camera[:, 1, None, None] * across[0]
    shifted = np.fft.irfft2(spectrum * np.exp(2j * np.pi * side * phase)[:, None], s=(side, side))
    return np.ascontiguousarray(shifted.transpose(0, 2, 3, 1) + 127.5, dtype=np.float32)


def _lowest_waves(canvas: Pixels) -> Array:
    """Cosine and sine amplitudes of the waves with one period across, down and along the diagonal: ``(T, 6)``."""
    spectrum = np.fft.rfft2(canvas.mean(axis=-1, dtype=np.float64))
    lowest = np.stack([spectrum[:, 0, 1], spectrum[:, 1, 0], spectrum[:, 1, 1]], axis=-1)
    return np.concatenate([lowest.real, -lowest.imag], axis=-1) * 2 / canvas[0, ..., 0].size


def _occluder(settings: WorldSettings, camera: Array, rng: np.random.Generator) -> Pixels:
    """How much of each pixel the bar covers, ``(T, H, W)``, 0 to 1."""
    axis, centre = int(rng.integers(2)), rng.uniform()
    if settings.occluder_place == "shared":
        axis, centre = 0, camera[0, 0] + 0.5
    if settings.occluder == 0:
        return np.zeros((settings.frames, settings.size, settings.size), dtype=np.float32)
    distance = np.abs(_pixel_offsets(centre - camera[:, axis], settings.size))
    cover = _coverage(distance - np.float32(settings.occluder / 2 * settings.size))
    shape = (settings.frames, settings.size, settings.size)
    return np.broadcast_to(cover[:, None, :] if axis == 0 else cover[:, :, None], shape)


def _paint_objects(canvas: Pixels, objects: Objects, positions: Array, bar: Pixels) -> Array:
    """Paint the objects, the last one in front, then the bar; return visible shares ``(T, n)``."""
    covers = [
        _object_cover(SHAPES[shape], positions[:, place], radius, canvas.shape[1])
        for place, (radius, shape) in enumerate(zip(objects.radii, objects.shapes, strict=True))
    ]
    for cover, colour in zip(covers, objects.colours, strict=True):
        canvas += cover[..., None] * (colour.astype(np.float32) - canvas)
    canvas += bar[..., None] * (np.float32(40) - canvas)

    open_view, visible = 1 - bar, np.empty(positions.shape[:2])
    for place in reversed(range(len(covers))):
        seen = (covers[place] * open_view).sum(axis=(1, 2))
        visible[:, place] = seen / covers[place].sum(axis=(1, 2))
        open_view = open_view * (1 - covers[place])
    return visible


def _object_cover(shape: str, centres: Array, radius: float, size: int) -> Pixels:
    """How much of each pixel a shape covers, ``(T, H, W)``; ``centres`` is ``(T, 2)`` on the screen."""
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
    """Pixels from the nearest copy of each centre ``(T,)`` to each pixel's middle, ``(T, size)``."""
    offsets = (np.arange(size) + 0.5) / size - centres[:, None]
    return ((offsets - np.round(offsets)) * size).astype(np.float32)


def _coverage(distance: Pixels) -> Pixels:
    """From signed distance to an edge, in pixels, to the share of a pixel inside it."""
    return np.clip(0.5 - distance, 0, 1)
