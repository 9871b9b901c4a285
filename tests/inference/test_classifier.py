"""Naming what a video shows: from files and frames, in views, over time."""

import dataclasses

import numpy as np
import pytest
import torch

import vjepa
from tests.inference.classifier_folder import CLASSES, CLIP, PIXELS
from tests.inference.conftest import make_video_model
from vjepa.data.processor import VideoProcessor
from vjepa.data.readers.open import open_video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.inference.views import view_probabilities
from vjepa.weights.model_folder import save_pretrained


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    settings = RenderSettings(size=24, frames=20, frame_rate=10)
    folder = tmp_path_factory.mktemp("video")
    write_videos(folder, settings, num_videos=1, seed=0)
    return str(folder / "videos" / "000000.mp4")


@pytest.fixture
def classifier(classifier_folder):
    return vjepa.VideoClassifier.from_pretrained(classifier_folder)


def test_classes_come_with_their_probabilities(classifier, video):
    answer = classifier.predict(video)
    assert sorted(answer.classes) == CLASSES
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    assert list(answer.probabilities) == sorted(answer.probabilities, reverse=True)
    assert answer.top(2) == [(answer.label, answer.probability), (answer.classes[1], answer.probabilities[1])]


def test_views_are_averaged_as_in_the_run_s_evaluation(classifier, classifier_folder, video):
    parts = []
    network = classifier.network
    with open_video(video) as reader:
        for first in (0, 13):  # spread from the first to the last clip that fits
            frames = reader.get_frames(np.arange(first, first + 7, 2))
            parts.append(torch.stack(list(classifier.transform(frames))))
    with torch.no_grad():
        expected = network(torch.cat(parts)).softmax(dim=-1).mean(dim=0)
    answer = dict(classifier.predict(video).top(3))
    for name, probability in zip(CLASSES, expected.tolist(), strict=True):
        assert answer[name] == pytest.approx(probability, abs=1e-5)
    one = vjepa.VideoClassifier.from_pretrained(classifier_folder, clips=1, crops=1).predict(video)
    assert one.probabilities != classifier.predict(video).probabilities


def test_segments_are_seen_together(classifier):
    views = torch.randint(0, 256, (2, 4, 4, 3, 16, 16), dtype=torch.uint8)
    apart = view_probabilities(classifier.network, views)
    together = view_probabilities(classifier.network, views, segments=2, crops=2)
    assert (together - apart).abs().max() > 1e-4
    with torch.no_grad():
        tokens = classifier.network.features(views[1, [0, 2]]).flatten(0, 1)  # both clips of the first crop
        first = classifier.network.head(tokens.unsqueeze(0)).softmax(dim=-1)
        tokens = classifier.network.features(views[1, [1, 3]]).flatten(0, 1)
        second = classifier.network.head(tokens.unsqueeze(0)).softmax(dim=-1)
    torch.testing.assert_close(together[1], (first + second)[0] / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [5, 7, 9, 11])
def test_frames_in_memory_and_in_a_file_are_the_same_clips(classifier_folder, tmp_path, frames):
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 24, 24, 3), dtype=np.uint8)
    np.save(tmp_path / "video.npy", pixels)
    for clips in (1, 3):
        loaded = vjepa.VideoClassifier.from_pretrained(classifier_folder)
        every_frame = dataclasses.replace(loaded.processor, fps=None, stride=1)
        classifier = vjepa.VideoClassifier(loaded.network, CLASSES, every_frame, clips=clips)
        in_memory = classifier.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        assert in_memory == classifier.predict(tmp_path / "video.npy")


def test_frames_in_memory_are_a_video(classifier_folder, video):
    one = vjepa.VideoClassifier.from_pretrained(classifier_folder, clips=1)
    with open_video(video) as reader:
        frames = reader.get_frames(np.arange(6, 14, 2))
    expected = one.predict(video, start=0.6, end=1.3).probabilities
    assert one.predict(frames).probabilities == pytest.approx(expected, abs=1e-5)
    assert one.predict(frames / 255).probabilities == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="which are for files"):
        one.predict(frames, start=0.0)
    with pytest.raises(ValueError, match="frames of 2 videos"):
        one.predict(torch.stack([frames, frames]))


def test_windows_cover_the_video(classifier, video):
    windows = list(classifier.over_time(video))
    starts = [start for start, _, _ in windows]
    assert starts == pytest.approx([0.0, 0.4, 0.8, 1.2])
    assert windows[-1][1] == pytest.approx(2.0)
    whole = list(classifier.over_time(video, every=10.0))
    assert [round(start, 6) for start, _, _ in whole] == [0.0, 1.2]
    for every in (0, float("inf")):
        with pytest.raises(ValueError, match=f"every is {every}"):
            next(classifier.over_time(video, every=every))
    pairs = vjepa.VideoClassifier(classifier.network, CLASSES, classifier.processor, clips=2, segments=2)
    parts = list(pairs.over_time(video))  # as long as the two clips that the head sees together
    assert [round(end - start, 6) for start, end, _ in parts] == [1.6, 1.6]


def test_what_is_no_classifier_is_refused(tmp_path, classifier):
    model = make_video_model(0)
    save_pretrained(tmp_path, model.state_dict(), model.config)
    with pytest.raises(ValueError, match="has no classification head"):
        vjepa.VideoClassifier.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="segments 0: give 1 or more"):
        vjepa.VideoClassifier(classifier.network, CLASSES, classifier.processor, segments=0)
    with pytest.raises(ValueError, match="clips is 3 and segments 2"):
        vjepa.VideoClassifier(
            classifier.network,
            CLASSES,
            VideoProcessor.of_config({"clip": CLIP, "pixels": PIXELS}),
            clips=3,
            segments=2,
        )


@pytest.mark.parametrize("views", [{"clips": 0}, {"crops": -1}])
def test_a_classifier_without_views_is_refused(views, classifier_folder):
    with pytest.raises(ValueError, match=r"clips is \S+ crops \S+ and segments 1: give 1 or more of each"):
        vjepa.VideoClassifier.from_pretrained(classifier_folder, **views)
