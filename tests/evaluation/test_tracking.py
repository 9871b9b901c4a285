"""Label propagation against a written-out reference, and tracks of rendered objects that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.data.manifest import read_manifest
from vjepa.data.processor import read_frames
from vjepa.data.synthetic.render import object_covers, render_video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation import tracking
from vjepa.evaluation.tracking import propagate_labels, track_objects


def written_out(tokens, first, latest, reach, top, temperature):
    """DINO's evaluation, token by token."""
    steps, height, width, _ = tokens.shape
    labels = [first.double().numpy()]
    vectors = tokens.double().numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for step in range(1, steps):
        sources = [0, *range(max(1, step - latest), step)]
        now = np.zeros_like(labels[0])
        for y in range(height):
            for x in range(width):
                weights = []
                for source in sources:
                    for v in range(max(0, y - reach), min(height, y + reach + 1)):
                        for u in range(max(0, x - reach), min(width, x + reach + 1)):
                            likeness = vectors[step, y, x] @ vectors[source, v, u]
                            weights.append((math.exp(likeness / temperature), labels[source][v, u]))
                weights.sort(key=lambda pair: -pair[0])
                chosen = weights[:top]
                now[y, x] = sum(w * label for w, label in chosen) / sum(w for w, _ in chosen)
        labels.append(now)
    return np.stack(labels)


def test_labels_are_propagated_as_the_reference_does(monkeypatch):
    for name, value in {"LATEST": 2, "NEIGHBOURHOOD": 1, "TOP": 3}.items():
        monkeypatch.setattr(tracking, name, value)
    draws = torch.Generator().manual_seed(0)
    tokens = torch.randn(5, 3, 4, 6, generator=draws)
    first = torch.rand(3, 4, 2, generator=draws)
    expected = written_out(tokens, first, latest=2, reach=1, top=3, temperature=0.1)
    np.testing.assert_allclose(propagate_labels(tokens, first).numpy(), expected, atol=1e-5)


SETTINGS = RenderSettings(
    size=16, frames=16, motions=("right",), objects=(2, 2), radius=(0.15, 0.2), speed=(0.05, 0.06),
    colours="white", texture=0.0, noise=0.0, camera=0.0,
)  # fmt: skip


def test_covers_are_those_of_the_painted_objects():
    settings = RenderSettings(
        size=32, colours="white", texture=0.0, noise=0.0, camera=0.0, objects=(4, 4), frames=8
    )
    frames, factors = render_video(settings, 0, 6)
    covers = object_covers(factors["positions"], factors["sizes"], factors["shapes"], 32)
    # White objects before grey 127.5: what is covered is known from the pixels.
    assert np.abs(covers.sum(axis=1) - (frames[..., 0].astype(float) - 127.5) / 127.5).max() < 0.01
    visible = covers.sum(axis=(2, 3)) / np.maximum(covers.sum(axis=(2, 3)).max(axis=0), 1e-9)
    assert (np.abs(visible - 1) < 0.05)[factors["visible"] > 0.999].mean() > 0.9


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    return read_manifest(write_videos(folder, SETTINGS, num_videos=6, seed=0))


def test_tokens_that_know_the_objects_track_them_and_random_ones_do_not(videos):
    """Tokens that are the shares which objects cover of them, against random ones and no motion."""
    model = make_video_model(encoder={"tubelet": [2, 2, 2]})
    truth = {}
    for video in videos:
        with np.load(video.path.replace(".mp4", ".npz")) as factors:
            covers = object_covers(factors["positions"], factors["sizes"], factors["shapes"], 16)
        shares = torch.from_numpy(covers).unflatten(0, (8, 2)).mean(dim=1)
        shares = torch.nn.functional.avg_pool2d(shares, 2).permute(0, 2, 3, 1).flatten(0, 2)
        truth[len(truth)] = torch.cat([1 - shares.sum(dim=1, keepdim=True), shares], dim=1)[None]
    knowing, draws = iter(truth.values()), torch.Generator().manual_seed(0)
    tracks = track_objects(
        model,
        videos,
        rivals={
            "knowing": lambda _: next(knowing),
            "random": lambda _: torch.randn(1, 512, 8, generator=draws),
        },
    )
    assert set(tracks) == {"model", "knowing", "random", "standing still"}
    assert tracks["knowing"].videos == 6
    assert tracks["knowing"].similarity.value > 0.5  # tokens of 2 x 2 pixels blur objects of 5
    assert tracks["knowing"].distance.value < 0.02
    for name in ("random", "standing still"):
        assert tracks[name].similarity.high < tracks["knowing"].similarity.low
        assert tracks[name].distance.value > 0.1


def test_videos_without_factors_and_models_without_time_are_refused(videos, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 16, 16, 3), dtype=np.uint8))
    (tmp_path / "list.csv").write_text("path\na.npy\n")
    with pytest.raises(ValueError, match=r"a.npz is not there: only rendered videos"):
        track_objects(make_video_model(), read_manifest(str(tmp_path / "list.csv")))
    with pytest.raises(ValueError, match="clips are 1 time step"):
        track_objects(make_video_model(encoder={"tubelet": [16, 8, 8]}), videos)


def test_labels_are_cropped_as_the_frames_are(tmp_path):
    """A model that was trained on crops sees the middle of a frame; there its labels are, too."""
    settings = replace(SETTINGS, size=32, motions=("still",), objects=(1, 1))
    videos = read_manifest(write_videos(tmp_path, settings, num_videos=6, seed=0))
    for whole in (True, False):
        model = make_video_model(clip={"size": [32, 32], "whole_frame": whole})
        for video in videos:
            frames = read_frames(video.path, model.processor, first=2)
            labels = tracking._labels(video, frames.numbers, model.processor, 2)
            white = (frames.video_TCHW.float().mean(dim=(0, 1)) - 127.5) / 127.5
            assert (labels[0, 1] - white).abs().mean() < 0.02


def test_videos_that_cannot_be_tracked_are_refused_by_name(videos, tmp_path):
    model = make_video_model(clip={"num_frames": 32})
    with pytest.raises(ValueError, match=r"0\.mp4 has 16 frames at the model's rate, and a clip 32"):
        track_objects(model, videos)
    with pytest.raises(ValueError, match="give 1 or more"):
        track_objects(model, [])
