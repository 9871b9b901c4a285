"""Every way into a model takes the same pixels, and refuses the same."""

import copy
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models._features import feature_take_indices
from torchvision.transforms import v2

import vjepa
from tests.inference.conftest import CLIP, PIXELS, make_video_model
from vjepa.batch import Batch, TokenMask
from vjepa.data.processor import VideoProcessor
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.planning.goals import image_goal


@pytest.fixture(scope="module")
def model():
    return make_video_model(encoder={"depth": 3})


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = Classifier(
        VideoEncoder(embed_dim=24, depth=1, num_heads=2, tubelet=(2, 8, 8)),
        build_head("linear", 24, 2),
        PixelNormalizer(**PIXELS),
    )
    processor = VideoProcessor.of_config({"clip": CLIP, "pixels": PIXELS})
    return vjepa.VideoClassifier(network.eval(), ["a", "b"], processor)


@pytest.fixture(scope="module")
def actor():
    torch.manual_seed(0)
    return vjepa.ActionModel(
        encoder={"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": (2, 8, 8)},
        pixels=PIXELS,
        size=(16, 16),
        dynamics={"action_size": 2, "embed_dim": 24, "depth": 1, "num_heads": 2},
    ).eval()


def batch_of(clip):
    mask = TokenMask(torch.arange(16)[None], torch.arange(16, 32)[None])
    return Batch(clip[None], (mask,), torch.zeros(1, dtype=torch.int64), ("a",))


@pytest.fixture
def ways(model, classifier, actor):
    """From a clip ``(16, C, 16, 16)`` to what a model says of it, by name."""

    def observed(clip):
        return vjepa.FuturePredictor(model).observe(clip).predict().embeddings_BFhwY

    torch.manual_seed(0)
    parts = {"encoder": model.encoder, "normalizer": model.normalizer}
    jepa = vjepa.JEPA(
        predictor=model.predictor, target_encoder=copy.deepcopy(model.encoder), momentum=None, **parts
    )
    decoder = vjepa.Predictor(in_dim=24, out_dim=384, embed_dim=12, depth=1, num_heads=1)
    reconstruction = vjepa.PixelReconstruction(decoder=decoder, targets="tubelet", **parts)
    return {
        "encode": lambda clip: model.encode(clip[None]),
        "forward_features": lambda clip: model.forward_features(clip[None]),
        "forward_intermediates": lambda clip: model.forward_intermediates(clip[None], [0])[1][0],
        "feature_maps": lambda clip: model.feature_maps(clip[None])[0],
        "embed_targets": lambda clip: model.embed_targets(clip[None]),
        "observe": observed,
        "observe a stream": lambda clip: observed(iter(clip)),
        "surprise": lambda clip: vjepa.surprise(model, clip).losses_cV,
        "predict": lambda clip: torch.tensor(classifier.predict(clip).probabilities),
        "probabilities": lambda clip: classifier.probabilities(clip[None, None]),
        "classifier": lambda clip: classifier.network(clip[None]),
        "actions": lambda clip: actor.encode(clip[None]),
        "JEPA": lambda clip: jepa(batch_of(clip))["loss"],
        "reconstruction": lambda clip: reconstruction(batch_of(clip))["loss"],
        "a goal's image": lambda clip: image_goal(actor.encode, clip).tokens_BSD,
    }


@torch.no_grad()
def test_floats_in_0_to_1_mean_the_same_everywhere(ways, video):
    clip = video[:16]
    for name, way in ways.items():
        torch.testing.assert_close(way(clip / 255), way(clip), atol=1e-5, rtol=1e-5, msg=name)
        torch.testing.assert_close(way((clip / 255).double()), way(clip), atol=1e-5, rtol=1e-5, msg=name)
        assert not torch.allclose(way(255 - clip), way(clip), atol=1e-4), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clip: clip.float(), "frames / 255"),
        (lambda clip: v2.functional.normalize(clip / 255, [0.5] * 3, [0.25] * 3), "before it"),
        (lambda clip: clip / 255 * torch.nan, "NaN"),
        (lambda clip: clip / torch.zeros(1), "NaN or infinity"),
        (lambda clip: clip > 9, "bool"),
        (lambda clip: clip.long(), "int64"),
        (lambda clip: clip[:, :1], "with C = 3"),
        (lambda clip: clip[:, [0, 1, 2, 0]], "with C = 3"),
        (lambda clip: clip.permute(0, 2, 3, 1), r"frames\.permute"),
        (lambda clip: clip[:0], "empty batches|whole time steps|no frame"),
    ],
)
def test_whatever_else_is_refused_everywhere(change, message, ways, video):
    wrong = change(video[:16])
    for name, way in ways.items():
        if name == "observe a stream":
            continue  # frame by frame, each is judged by itself
        with pytest.raises(ValueError, match=message):
            way(wrong)


def test_a_stream_refuses_its_frames(model, video):
    for wrong in (video.float(), video.permute(0, 2, 3, 1), [video[:4], video[:4]]):
        with pytest.raises(ValueError, match=r"frames / 255|frames\.permute|must give single frames"):
            vjepa.FuturePredictor(model).observe(iter(wrong))
    with pytest.raises(ValueError, match="of type int"):
        vjepa.FuturePredictor(model).observe(3)


def test_pixels_are_normalised_as_torchvision_does(video):
    mean, std = [0.2, 0.4, 0.6], [0.1, 0.2, 0.3]
    expected = v2.functional.normalize(video / 255, mean, std).transpose(0, 1)
    normalizer = PixelNormalizer(mean, std)
    for pixels in (video, video / 255, (video / 255).double()):
        torch.testing.assert_close(normalizer(pixels[None])[0], expected, atol=1e-5, rtol=1e-5)


def test_a_gradient_reaches_float_pixels(model, video):
    """A saliency map is asked of floats; rounding them to bytes would cut it off."""
    pixels = (video[None, :16] / 255).requires_grad_()
    model.encode(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_bytes_are_checked_without_a_look_at_their_values(monkeypatch):
    """The meta device has none: what would wait for a GPU fails there."""
    normalizer = PixelNormalizer().to("meta")
    video = torch.empty(2, 4, 3, 8, 8, dtype=torch.uint8, device="meta")
    monkeypatch.setattr(torch, "aminmax", lambda *_: pytest.fail("values were looked at"))
    assert normalizer(video).shape == (2, 3, 4, 8, 8)


def test_the_encoder_refuses_bytes(model, video):
    with pytest.raises(ValueError, match="where normalised floats belong"):
        model.encoder(video[None].transpose(1, 2))


@torch.no_grad()
def test_files_and_images_are_encoded_as_processed(model, video, video_file):
    images = [Image.fromarray(frame) for frame in video[:16].permute(0, 2, 3, 1).numpy()]
    for source in (video_file, str(video_file), [video_file, video_file], images, images[0]):
        assert torch.equal(model.encode(source), model.encode(model.processor(source)))
    assert torch.equal(model.encode(video_file), model.encode(video[None, 12:28]))  # the middle 16 of 40
    assert torch.equal(model.encode(video[None, :16].numpy()), model.encode(video[None, :16]))
    for wrong in ([video[:16], video[:16]], video[:16].tolist(), None):
        with pytest.raises(ValueError, match=r"videos are of type .*model\.processor"):
            model.encode(wrong)
    with pytest.raises(ValueError, match="empty list: give one video or more"):
        model.encode([])


def test_a_size_that_was_never_trained_is_said_once(video):
    model = make_video_model()
    large = v2.functional.resize(video[None, :16], [16, 32])
    with pytest.warns(UserWarning, match="clips of 16 x 16 x 32 .* trained on 16 x 16 x 16: model.processor"):
        model.encode(large)
    with pytest.warns(UserWarning, match="clips of 40 x 16 x 16"):
        model.embed_targets(video[None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.feature_maps(large)
        model.encode(video[None, :16])
        model.encode(video[None, :8])  # shorter: within the positions that it knows
        copy.deepcopy(model).encode(large)


@torch.no_grad()
def test_a_list_of_clips_is_a_batch(model, video):
    first, second = video[:16], v2.functional.resize(video[16:32], [40, 24])
    future = vjepa.FuturePredictor(model)
    alone = [vjepa.FuturePredictor(model).observe(clip).predict() for clip in (first, second)]
    expected = torch.cat([prediction.embeddings_BFhwY for prediction in alone])
    for clips in ([first, second], (first.numpy(), second / 255)):
        future.reset()
        both = future.observe(clips).predict()
        torch.testing.assert_close(both.embeddings_BFhwY, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"clips of a batch have \[15, 16\] frames"):
        future.observe([first, second[:15]])
    with pytest.raises(ValueError, match="2 videos were given"):
        vjepa.surprise(model, [first, second])


@torch.no_grad()
def test_a_list_of_frames_is_one_clip(model, classifier, video):
    frames = video[:16]
    images = [Image.fromarray(frame) for frame in frames.permute(0, 2, 3, 1).numpy()]
    expected = vjepa.FuturePredictor(model).observe(frames).predict().embeddings_BFhwY
    for stream in (list(frames), images, iter(images), (np.array(frame) for frame in frames)):
        assert torch.equal(vjepa.FuturePredictor(model).observe(stream).predict().embeddings_BFhwY, expected)
    assert torch.equal(vjepa.surprise(model, images).losses_cV, vjepa.surprise(model, frames).losses_cV)
    assert classifier.predict(images) == classifier.predict(frames)


@pytest.mark.parametrize("channels", [1, 12])
@torch.no_grad()
def test_models_of_other_channels_predict_and_are_surprised(channels):
    model = make_video_model(
        encoder={"channels": channels}, pixels={"mean": [0.5] * channels, "std": [0.5] * channels}
    )
    video = torch.randint(0, 256, (16, channels, 20, 24), dtype=torch.uint8)
    prediction = vjepa.FuturePredictor(model).observe(video).predict()
    assert prediction.embeddings_BFhwY.isfinite().all()
    assert vjepa.surprise(model, video / 255).losses_cV.isfinite().all()
    assert model.encode(model.processor(video)).shape == (1, 32, 24)


@torch.no_grad()
def test_numbers_of_blocks_may_be_numpy_s_and_no_fractions(model, video):
    clip = video[None, :16]
    for ours, theirs in ((2, np.int64(2)), ([0, 2], np.array([0, 2]))):
        assert torch.equal(*(torch.stack(model.feature_maps(clip, chosen)) for chosen in (ours, theirs)))
    with pytest.raises(ValueError, match="3 blocks: give whole numbers from -3 to 2"):
        model.feature_maps(clip, [1.5])


@pytest.mark.parametrize("indices", [None, 1, 3, [-1], [0, 2], (-3, 1), 0, 4, -1, [3], [-4]])
@torch.no_grad()
def test_blocks_are_chosen_as_in_timm(indices, model, video):
    """timm's own choice of blocks; what it refuses is a ValueError here."""
    clip = video[None, :16]
    every = model.forward_intermediates(clip)[1]
    try:
        expected, _ = feature_take_indices(3, None if indices is None else indices)
    except AssertionError:
        for method in (model.forward_intermediates, model.feature_maps):
            with pytest.raises(ValueError, match="3 blocks: give"):
                method(clip, indices)
        return
    last, chosen = model.forward_intermediates(clip, indices)
    assert torch.equal(last, model.encode(clip))
    assert len(chosen) == len(expected)
    for tokens, number in zip(chosen, expected, strict=True):
        assert torch.equal(tokens, every[number])
