"""Factors of rendered videos, read for the very frame that the features' clip ends with."""

import numpy as np
import pytest
import torch

from vjepa.data.clips import ClipSampling, spread_clips
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import train_transform
from vjepa.evaluation.features.extract import extract_features
from vjepa.evaluation.probes.factors import (
    NUISANCE,
    SIGNAL,
    best_factor_scores,
    factor_probe,
    read_factor_targets,
)
from vjepa.evaluation.probes.pca import PixelComponents
from vjepa.evaluation.probes.pixels import pixel_r2
from vjepa.grid import Tubelet
from vjepa.tokens import patchify

WORLD = RenderSettings(
    size=16, frames=8, objects=(1, 3), radius=(0.1, 0.12), colours="white", texture=1, noise=1
)
SAMPLING = ClipSampling(num_frames=4, stride=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return read_manifest(write_videos(folder, WORLD, num_videos=40, seed=3))


def test_targets_are_what_was_rendered(videos):
    targets = read_factor_targets(videos, SAMPLING)
    frame = spread_clips(np.arange(8.0), SAMPLING)[0, -1]
    _, factors = render_video(WORLD, 3, 5)
    x, y = 2 * np.pi * factors["positions"][frame].T
    position = [np.cos(x).mean(), np.cos(y).mean(), np.sin(x).mean(), np.sin(y).mean()]
    np.testing.assert_allclose(targets["position"][5], position)
    np.testing.assert_allclose(targets["velocity"][5], factors["velocities"][frame].mean(axis=0))
    shapes = factors["shapes"][frame]
    np.testing.assert_allclose(targets["identity"][5], [(shapes == kind).mean() for kind in range(5)])
    assert targets["count"][5].item() == len(shapes)
    np.testing.assert_allclose(targets["background"][5], factors["background"][frame])
    assert set(targets) == {*SIGNAL, *NUISANCE}


def test_what_features_hold_is_found_and_white_objects_have_no_colour(videos):
    targets = read_factor_targets(videos, SAMPLING)
    features = torch.cat([targets["velocity"], torch.randn(40, 3, dtype=torch.float64)], dim=1)
    parts = [{name: value[half] for name, value in targets.items()} for half in (slice(0, 24), slice(24, 40))]
    scores = factor_probe(features[:24], parts[0], features[24:], parts[1])
    assert scores["velocity"] > 0.95
    assert scores["noise"] < 0.5
    assert scores["colour"] is None


def test_factors_are_read_frames_ahead(videos):
    _, factors = render_video(WORLD, 3, 5)
    last = spread_clips(np.arange(8.0), SAMPLING)[0, -1]
    targets = read_factor_targets(videos, SAMPLING, ahead=2)
    expected = np.cos(2 * np.pi * factors["positions"][last + 2]).mean(axis=0)
    np.testing.assert_allclose(targets["position"][5][:2], expected)
    with pytest.raises(ValueError, match="a video of 8 frames has 2 after its clip"):
        read_factor_targets(videos, SAMPLING, ahead=3)


def test_each_factor_is_read_from_the_block_that_holds_it(videos):
    targets = read_factor_targets(videos, SAMPLING)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 3, 6, generator=generator, dtype=torch.float64)
    features[:, 0, :2] = targets["velocity"]
    features[:, 1, :4] = targets["position"]
    parts = [{name: value[half] for name, value in targets.items()} for half in (slice(0, 24), slice(24, 40))]
    found = best_factor_scores(features[:24], parts[0], features[24:], parts[1])
    assert (found["velocity"].block, found["position"].block) == (1, 2)
    assert min(found["velocity"].r2, found["position"].r2) > 0.9
    assert found["colour"] is None
    assert list(found) == list(targets)


def test_other_videos_and_old_folders_are_refused(videos, tmp_path):
    with pytest.raises(ValueError, match="rendered videos alone"):
        read_factor_targets([Video(path=str(tmp_path / "film.mp4"))], SAMPLING)
    old = tmp_path / "old" / "videos" / "0.npz"
    old.parent.mkdir(parents=True)
    np.savez(old, positions=np.zeros((8, 1, 2)))
    with pytest.raises(ValueError, match=r"render the videos again, to another folder"):
        read_factor_targets([Video(path=str(old.with_suffix(".mp4")))], SAMPLING)


@pytest.fixture(scope="module")
def clips(videos):
    transform = train_transform(16, (1.0, 1.0), (1.0, 1.0), flip=False)
    return [ClipDataset(part, SAMPLING, transform, 0, classes=sorted({v.label for v in videos}), spread=True)
            for part in (videos[:24], videos[24:])]  # fmt: skip


def test_pixels_themselves_are_read_out_perfectly_and_noise_is_not(clips):
    tubelet = Tubelet(2, 4, 4)

    def keep(video):
        return patchify(video.transpose(1, 2), tubelet).float()

    def forget(video):
        return torch.randn(keep(video).shape[:2] + (8,), generator=torch.Generator().manual_seed(0))

    assert pixel_r2(keep, *clips, tubelet) == pytest.approx(1, abs=0.01)
    assert pixel_r2(forget, *clips, tubelet) < 0.05
    assert pixel_r2(lambda video: keep(video)[:, :1], *clips, tubelet) is None


def test_components_of_pixels_are_those_of_a_singular_value_decomposition(clips):
    components = PixelComponents(clips[0], 5, seed=0)
    pixels, _ = extract_features(lambda video: video.flatten(1), clips[0])
    left, singular, _ = torch.linalg.svd(pixels - pixels.mean(dim=0), full_matrices=False)
    encoded, _ = extract_features(components.encode, clips[0])
    assert encoded.shape == (24, 1, 5)
    expected = (left * singular)[:, :5].abs()  # signs are anybody's choice
    torch.testing.assert_close(encoded[:, 0].abs(), expected, atol=2.0, rtol=1e-2)
