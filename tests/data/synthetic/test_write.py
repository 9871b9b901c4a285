"""The synthetic world: what its labels, factors and files promise."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vjepa.data.manifest import read_manifest
from vjepa.data.synthetic.motion import GRAVITY_RATE, move, start_positions
from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import MOTIONS, SHAPES, RenderSettings
from vjepa.data.synthetic.write import write_videos

PLAIN = RenderSettings(texture=0, noise=0, camera=0)


def _nearest(difference: np.ndarray) -> np.ndarray:
    """A difference of places in a world that repeats."""
    return difference - np.round(difference)


def _decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _ink(frames: np.ndarray) -> np.ndarray:
    """How far each pixel is from the plain background, (T, H, W)."""
    return np.abs(frames.astype(float) - 128).sum(axis=-1)


def test_video_is_a_pure_function_of_its_arguments() -> None:
    frames, factors = render_video(RenderSettings(), 3, 5)
    again, factors_again = render_video(RenderSettings(), 3, 5)
    assert frames.shape == (16, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, again)
    assert all(np.array_equal(factors[name], factors_again[name]) for name in factors)
    assert all(len(values) == 16 for values in factors.values())
    assert not np.array_equal(frames, render_video(RenderSettings(), 4, 5)[0])
    assert not np.array_equal(frames, render_video(RenderSettings(), 3, 13)[0])


@pytest.mark.parametrize("number", range(10))
def test_centroid_of_a_lone_object_is_its_position(number: int) -> None:
    frames, factors = render_video(replace(PLAIN, size=64, objects=(1, 1)), 0, number)
    middles = np.exp(2j * np.pi * (np.arange(64) + 0.5) / 64)  # the frame's edges meet: average angles
    ink = _ink(frames)
    for axis, sums in enumerate((ink.sum(axis=1), ink.sum(axis=2))):
        centroid = np.angle((sums * middles).sum(axis=1)) / (2 * np.pi)
        error = _nearest(centroid - factors["positions"][:, 0, axis])
        assert np.abs(error).max() < 0.5 / 64


@pytest.mark.parametrize("motion", MOTIONS)
def test_velocities_are_the_derivative_of_positions(motion: str) -> None:
    settings = RenderSettings(motions=(motion,), frames=32, camera=1)
    for number in range(4):
        _, factors = render_video(settings, 1, number)
        steps = _nearest(np.diff(factors["positions"], axis=0))
        velocities = factors["velocities"]
        error = np.abs(steps - (velocities[1:] + velocities[:-1]) / 2)
        assert np.median(error) < 0.001  # between impacts; at an impact the velocity jumps
        assert np.allclose(factors["camera"][1:] - factors["camera"][:-1], factors["camera_velocities"][0])


@pytest.mark.parametrize("motion", ["fall", "collide"])
def test_bounces_and_collisions_conserve_energy(motion: str) -> None:
    rng = np.random.default_rng(0)
    radii = rng.uniform(0.06, 0.1, size=8)
    positions, velocities = move(motion, start_positions(radii, rng), radii, 0.06, 400, rng)
    gravity = GRAVITY_RATE * 0.06 if motion == "fall" else 0.0
    energy = (radii**2 * ((velocities**2).sum(-1) / 2 - gravity * positions[..., 1])).sum(axis=1)
    kinetic = (radii**2 * (velocities**2).sum(-1) / 2).sum(axis=1)
    assert np.ptp(velocities[..., 0]) > 0.01  # impacts did happen
    assert np.abs(energy - energy[0]).max() < 0.02 * kinetic.max()
    assert positions.min() > 0
    assert positions.max() < 1


def test_a_scene_without_room_is_refused_and_not_searched_for_ever() -> None:
    crowded = RenderSettings(
        size=16, frames=4, motions=("collide",), objects=(2, 2), radius=(0.14, 0.14), wall=0.2, camera=0.0
    )
    with pytest.raises(ValueError, match=r"no room was found for 2 objects .* walls of 0.2, .* give fewer"):
        render_video(crowded, 0, 0)


def test_videos_are_numbered_from_where_they_are_asked_for(tmp_path) -> None:
    settings = RenderSettings(size=16, frames=4)
    every = read_manifest(write_videos(tmp_path / "a", settings, 4, seed=0))
    later = read_manifest(write_videos(tmp_path / "b", settings, 2, seed=0, first=2))
    assert [Path(video.path).name for video in later] == ["000002.mp4", "000003.mp4"]
    assert [video.label for video in later] == [video.label for video in every[2:]]
    assert Path(later[0].path).read_bytes() == Path(every[2].path).read_bytes()


def test_objects_start_apart_and_rigid_motions_keep_them_so() -> None:
    for number in range(64):
        settings = RenderSettings(motions=("left", "orbit"), objects=(6, 6), camera=3)
        _, factors = render_video(settings, 0, number)
        distances = np.linalg.norm(_nearest(factors["positions"] - factors["positions"][:, :1]), axis=-1)
        reach = factors["sizes"] + factors["sizes"][:, :1]
        assert (distances[:, 1:] > reach[:, 1:]).all()


def test_label_says_how_things_move() -> None:
    for number, motion in enumerate(MOTIONS):
        _, factors = render_video(PLAIN, 0, number)
        mean_velocity = factors["velocities"].mean(axis=1)
        assert (factors["motion"] == number).all()
        expected = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
        if motion in expected:
            assert np.allclose(np.sign(mean_velocity), expected[motion])
        if motion == "orbit":
            assert np.allclose(mean_velocity.sum(axis=0), 0)  # a whole turn in 16 frames


def test_one_frame_does_not_tell_the_motion_but_two_do() -> None:
    """Nearest class mean on the spectrum of one frame; then on the phase shift from it to the next."""
    settings = RenderSettings(texture=0, noise=0, camera=0, motions=("left", "right", "up", "down"))
    videos = [render_video(settings, 7, number)[0] for number in range(480)]
    labels = np.arange(480) % 4
    spectra = np.fft.fft2(np.stack([_ink(video[6:8]) for video in videos]))[:, :, :6, :6]
    shift = spectra[:, 0].conj() * spectra[:, 1]
    one, two = np.log1p(np.abs(spectra[:, 0])), np.angle(shift)
    assert _nearest_mean_accuracy(one.reshape(480, -1), labels) < 0.34  # chance is .25
    assert _nearest_mean_accuracy(two.reshape(480, -1), labels) > 0.8


def test_one_frame_is_near_chance_over_all_motions() -> None:
    videos = np.stack([render_video(RenderSettings(), 2, number)[0][[0, 15]] for number in range(480)])
    labels = np.arange(480) % len(MOTIONS)
    for frame in (0, 1):
        images = videos[:, frame].astype(float)
        assert _nearest_mean_accuracy(images.reshape(480, -1), labels) < 0.2  # chance is .125
        spectra = np.abs(np.fft.fft2(images, axes=(1, 2)))[:, :8, :8]
        assert _nearest_mean_accuracy(np.log1p(spectra).reshape(480, -1), labels) < 0.2


def _nearest_mean_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    half = len(labels) // 2
    features = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-6)
    classes = np.unique(labels)
    means = np.stack([features[:half][labels[:half] == label].mean(axis=0) for label in classes])
    distances = ((features[half:, None] - means) ** 2).sum(axis=-1)
    return float((classes[distances.argmin(axis=1)] == labels[half:]).mean())


def test_dials_are_monotone_and_leave_the_rest_alone() -> None:
    still = replace(PLAIN, motions=("still",))
    spread = [render_video(replace(still, texture=dial), 0, 0)[0].std() for dial in (0, 1, 2, 3)]
    flicker = [_flicker(replace(still, noise=dial)) for dial in (0, 1, 2, 3)]
    pan = [_flicker(replace(still, texture=1, camera=dial)) for dial in (0, 1, 2, 3)]
    for metrics in (spread, flicker, pan):
        assert metrics == sorted(metrics)
        assert metrics[0] < 0.9 * metrics[1]
    assert flicker[0] == pan[0] == 0
    plain, noisy = (render_video(replace(PLAIN, noise=dial), 0, 1)[1] for dial in (0, 3))
    assert all(np.array_equal(plain[name], noisy[name]) for name in plain.keys() - {"noise"})
    assert np.abs(plain["noise"]).max() == 0 < np.abs(noisy["noise"]).max()


def test_the_lowest_waves_are_those_of_the_background():
    """Without objects' paint, noise and rounding the frame's own waves are the factor.

    A fixed background's stay.
    """
    settings = replace(PLAIN, texture=1, background="video", objects=(1, 1), radius=(0.02, 0.02), size=64)
    frames, factors = render_video(settings, 0, 3)
    grey = frames[0].astype(float).mean(axis=-1)
    x = np.arange(64) / 64
    across = 2 * np.array([(grey * np.cos(2 * np.pi * x)).mean(), (grey * np.sin(2 * np.pi * x)).mean()])
    np.testing.assert_allclose(factors["background"][0, [0, 3]], across, atol=0.6)
    assert np.ptp(factors["background"], axis=0).max() < 1e-6
    changing = render_video(replace(settings, background="frame"), 0, 3)[1]["background"]
    assert np.ptp(changing, axis=0).min() > 0.1


def _flicker(settings: RenderSettings) -> float:
    return float(np.abs(np.diff(render_video(settings, 0, 0)[0].astype(float), axis=0)).mean())


def test_background_is_shared_own_or_changing() -> None:
    def corners(background: str) -> np.ndarray:
        settings = replace(PLAIN, texture=1, background=background, objects=(1, 1), radius=(0.02, 0.02))
        return np.stack([render_video(settings, 0, number)[0] for number in range(2)]).astype(float)

    def differ(a: np.ndarray, b: np.ndarray) -> bool:
        return float(np.median(np.abs(a - b))) > 1  # the small object does not count

    shared, own, changing = corners("shared"), corners("video"), corners("frame")
    assert not differ(shared[0, 0], shared[1, 0])
    assert differ(own[0, 0], own[1, 0])
    assert not differ(own[0, 0], own[0, 1])
    assert differ(changing[0, 0], changing[0, 1])


def test_objects_are_white_or_of_their_own_colour() -> None:
    own, white = (render_video(replace(PLAIN, colours=colours), 0, 0) for colours in ("own", "white"))
    assert len(np.unique(own[1]["colours"][0], axis=0)) == own[1]["count"][0]
    assert (white[1]["colours"] == 255).all()
    assert np.ptp(white[0].astype(int), axis=-1).max() == 0  # nothing but grey
    assert np.array_equal(own[1]["positions"], white[1]["positions"])


def test_occluder_hides_what_the_factors_say() -> None:
    lone = replace(PLAIN, objects=(1, 1), size=64)
    shares = []
    for number in range(32):
        bare, _ = render_video(lone, 0, number)
        frames, factors = render_video(replace(lone, occluder=0.3), 0, number)
        bar = (frames == 40).all(axis=-1)
        hidden = (_ink(bare) * bar).sum(axis=(1, 2)) / _ink(bare).sum(axis=(1, 2))
        assert np.allclose(1 - hidden, factors["visible"][:, 0], atol=0.1)
        shares.extend(factors["visible"][:, 0])
    assert min(shares) == 0
    assert max(shares) == pytest.approx(1)


def test_file_is_close_to_what_was_drawn(tmp_path: Path) -> None:
    settings = RenderSettings(size=64)
    manifest = write_videos(tmp_path, settings, num_videos=3, seed=0)
    rows = list(csv.DictReader(manifest.open()))
    assert [row["label"] for row in rows] == list(MOTIONS[:3])
    for number, row in enumerate(rows):
        frames, factors = render_video(settings, 0, number)
        decoded = _decode(tmp_path / row["path"])
        assert decoded.shape == frames.shape
        luma = np.array([0.299, 0.587, 0.114])  # stored at full size; colour at half
        assert np.abs(frames @ luma - decoded @ luma).mean() < 2
        stored = np.load(tmp_path / row["factors"], allow_pickle=False)
        assert set(stored) == set(factors)
        assert all(np.array_equal(stored[name], factors[name]) for name in factors)


def test_workers_write_the_same_frames(tmp_path: Path) -> None:
    one = write_videos(tmp_path / "one", RenderSettings(), num_videos=6, seed=0, num_workers=1)
    two = write_videos(tmp_path / "two", RenderSettings(), num_videos=6, seed=0, num_workers=2)
    assert one.read_text() == two.read_text()
    for row in csv.DictReader(one.open()):
        path = row["path"]
        assert (one.parent / path).read_bytes() == (two.parent / path).read_bytes()
        assert np.array_equal(_decode(one.parent / path), _decode(two.parent / path))


def test_folder_is_completed_reused_or_refused(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"settings": RenderSettings(), "num_videos": 4, "seed": 0}
    manifest = write_videos(tmp_path, **arguments)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert len(before) == 8
    lost = tmp_path / "videos" / "000002.mp4"
    content = lost.read_bytes()
    lost.unlink()
    manifest.unlink()
    assert write_videos(tmp_path, **arguments) == manifest
    assert lost.read_bytes() == content
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert {path for path in before if after[path] != before[path]} == {lost, lost.with_suffix(".npz")}
    with pytest.raises(ValueError, match=r"noise 0\.5 \(now 2\).*another folder"):
        write_videos(tmp_path, **arguments | {"settings": RenderSettings(noise=2)})
    with pytest.raises(ValueError, match="num_videos 4 "):
        write_videos(tmp_path, **arguments | {"num_videos": 8})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 33}, "size is 33.*even"),
        ({"frames": 0}, "frames is 0"),
        ({"texture": 4}, "texture is 4.*0 .off. to 3"),
        ({"occluder": 0.9}, "occluder is 0.9"),
        ({"objects": (5, 2)}, "objects is.*in order"),
        ({"objects": (9, 9), "radius": (0.2, 0.2)}, "would not fit"),
        ({"motions": ("sideways",)}, "motions is.*still, left"),
        ({"background": "blue"}, "background is 'blue'.*shared"),
        ({"colours": "red"}, "colours is 'red'.*own, white"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RenderSettings(**wrong)


def test_labels_may_be_the_shapes_of_single_objects(tmp_path: Path) -> None:
    settings = RenderSettings(size=16, frames=2, objects=(1, 1), labels="shape")
    videos = read_manifest(write_videos(tmp_path, settings, num_videos=12, seed=0))
    drawn = [SHAPES[render_video(settings, 0, number)[1]["shapes"][0, 0]] for number in range(12)]
    assert [video.label for video in videos] == drawn
    assert len(set(drawn)) > 2
    with pytest.raises(ValueError, match=r"labels is 'shape' with objects \(3, 6\)"):
        RenderSettings(labels="shape")


def test_videos_of_an_older_version_are_reused(tmp_path: Path) -> None:
    """What a render.json does not name had its default when it was written."""
    settings = RenderSettings(size=16, frames=2)
    write_videos(tmp_path, settings, num_videos=2, seed=0)
    record = json.loads((tmp_path / "render.json").read_text())
    del record["settings"]["labels"]
    (tmp_path / "render.json").write_text(json.dumps(record))
    write_videos(tmp_path, settings, num_videos=2, seed=0)
    with pytest.raises(ValueError, match="labels motion"):
        write_videos(
            tmp_path, RenderSettings(size=16, frames=2, objects=(1, 1), labels="shape"), num_videos=2, seed=0
        )
