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
from tests.inference.conftest import CLIP, PIXELS, make_world
from vjepa.batch import Batch, TokenMask
from vjepa.data.processor import VideoProcessor
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.planning.goals import image_goal


@pytest.fixture(scope="module")
def world():
    return make_world(encoder={"depth": 3})


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = Classifier(
        VideoEncoder(width=24, depth=1, heads=2, tubelet=(2, 8, 8)), build_head("linear", 24, 2), PixelNormalizer(**PIXELS)
    )  # fmt: skip
    processor = VideoProcessor.of_config({"clip": CLIP, "pixels": PIXELS})
    return vjepa.VideoClassifier(network.eval(), ["a", "b"], processor)


@pytest.fixture(scope="module")
def actor():
    torch.manual_seed(0)
    return vjepa.ActionModel(
        encoder={"width": 24, "depth": 1, "heads": 2, "tubelet": (2, 8, 8)}, pixels=PIXELS, size=(16, 16),
        dynamics={"action_size": 2, "width": 24, "depth": 1, "heads": 2},
    ).eval()  # fmt: skip


def batch_of(clip):
    mask = TokenMask(torch.arange(16)[None], torch.arange(16, 32)[None])
    return Batch(clip[None], (mask,), torch.zeros(1, dtype=torch.int64), ("a",))


@pytest.fixture
def ways(world, classifier, actor):
    """From a clip ``(16, C, 16, 16)`` to what a model says of it, by name."""

    def observed(clip):
        return vjepa.FuturePredictor(world).observe(clip).predict().embeddings_BFhwY

    torch.manual_seed(0)
    parts = {"encoder": world.encoder, "normalizer": world.normalizer}
    jepa = vjepa.JEPA(
        predictor=world.predictor, target_encoder=copy.deepcopy(world.encoder), momentum=None, **parts
    )
    decoder = vjepa.Predictor(in_width=24, out_width=384, width=12, depth=1, heads=1)
    reconstruction = vjepa.PixelReconstruction(decoder=decoder, targets="tubelet", **parts)
    return {
        "encode": lambda clip: world.encode(clip[None]),
        "forward_features": lambda clip: world.forward_features(clip[None]),
        "forward_intermediates": lambda clip: world.forward_intermediates(clip[None], [0])[1][0],
        "feature_maps": lambda clip: world.feature_maps(clip[None])[0],
        "embed_targets": lambda clip: world.embed_targets(clip[None]),
        "observe": observed,
        "observe a stream": lambda clip: observed(iter(clip)),
        "surprise": lambda clip: vjepa.surprise(world, clip).losses_AX,
        "predict": lambda clip: torch.tensor(classifier.predict(clip).probabilities),
        "probabilities": lambda clip: classifier.probabilities(clip[None, None]),
        "classifier": lambda clip: classifier.network(clip[None]),
        "actions": lambda clip: actor.encode(clip[None]),
        "JEPA": lambda clip: jepa(batch_of(clip))["loss"],
        "reconstruction": lambda clip: reconstruction(batch_of(clip))["loss"],
        "a goal's picture": lambda clip: image_goal(actor.encode, clip).tokens_BSD,
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


def test_a_stream_refuses_its_frames(world, video):
    for wrong in (video.float(), video.permute(0, 2, 3, 1), [video[:4], video[:4]]):
        with pytest.raises(ValueError, match=r"frames / 255|frames\.permute|must give single frames"):
            vjepa.FuturePredictor(world).observe(iter(wrong))
    with pytest.raises(ValueError, match="of type int"):
        vjepa.FuturePredictor(world).observe(3)


def test_pixels_are_normalised_as_torchvision_does(video):
    mean, std = [0.2, 0.4, 0.6], [0.1, 0.2, 0.3]
    expected = v2.functional.normalize(video / 255, mean, std).transpose(0, 1)
    normalizer = PixelNormalizer(mean, std)
    for pixels in (video, video / 255, (video / 255).double()):
        torch.testing.assert_close(normalizer(pixels[None])[0], expected, atol=1e-5, rtol=1e-5)


def test_a_gradient_reaches_float_pixels(world, video):
    """A saliency map is asked of floats; rounding them to bytes would cut it off."""
    pixels = (video[None, :16] / 255).requires_grad_()
    world.encode(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_bytes_are_checked_without_a_look_at_their_values(monkeypatch):
    """The meta device has none: what would wait for a GPU fails there."""
    normalizer = PixelNormalizer().to("meta")
    video = torch.empty(2, 4, 3, 8, 8, dtype=torch.uint8, device="meta")
    monkeypatch.setattr(torch, "aminmax", lambda *_: pytest.fail("values were looked at"))
    assert normalizer(video).shape == (2, 3, 4, 8, 8)


def test_the_encoder_refuses_bytes(world, video):
    with pytest.raises(ValueError, match="where normalised floats belong"):
        world.encoder(video[None].transpose(1, 2))


@torch.no_grad()
def test_files_and_pictures_are_encoded_as_processed(world, video, video_file):
    pictures = [Image.fromarray(frame) for frame in video[:16].permute(0, 2, 3, 1).numpy()]
    for source in (video_file, str(video_file), [video_file, video_file], pictures, pictures[0]):
        assert torch.equal(world.encode(source), world.encode(world.processor(source)))
    assert torch.equal(world.encode(video_file), world.encode(video[None, 12:28]))  # the middle 16 of 40
    assert torch.equal(world.encode(video[None, :16].numpy()), world.encode(video[None, :16]))
    for wrong in ([video[:16], video[:16]], video[:16].tolist(), None):
        with pytest.raises(ValueError, match=r"videos are of type .*world\.processor"):
            world.encode(wrong)
    with pytest.raises(ValueError, match="empty list: give one video or more"):
        world.encode([])


def test_a_size_that_was_never_trained_is_said_once(video):
    world = make_world()
    large = v2.functional.resize(video[None, :16], [16, 32])
    with pytest.warns(UserWarning, match="clips of 16 x 16 x 32 .* trained on 16 x 16 x 16: world.processor"):
        world.encode(large)
    with pytest.warns(UserWarning, match="clips of 40 x 16 x 16"):
        world.embed_targets(video[None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world.feature_maps(large)
        world.encode(video[None, :16])
        world.encode(video[None, :8])  # shorter: within the positions that it knows
        copy.deepcopy(world).encode(large)


@torch.no_grad()
def test_a_list_of_clips_is_a_batch(world, video):
    first, second = video[:16], v2.functional.resize(video[16:32], [40, 24])
    future = vjepa.FuturePredictor(world)
    alone = [vjepa.FuturePredictor(world).observe(clip).predict() for clip in (first, second)]
    expected = torch.cat([prediction.embeddings_BFhwY for prediction in alone])
    for clips in ([first, second], (first.numpy(), second / 255)):
        future.reset()
        both = future.observe(clips).predict()
        torch.testing.assert_close(both.embeddings_BFhwY, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"clips of a batch have \[15, 16\] frames"):
        future.observe([first, second[:15]])
    with pytest.raises(ValueError, match="2 videos were given"):
        vjepa.surprise(world, [first, second])


@torch.no_grad()
def test_a_list_of_frames_is_one_clip(world, classifier, video):
    frames = video[:16]
    pictures = [Image.fromarray(frame) for frame in frames.permute(0, 2, 3, 1).numpy()]
    expected = vjepa.FuturePredictor(world).observe(frames).predict().embeddings_BFhwY
    for stream in (list(frames), pictures, iter(pictures), (np.array(frame) for frame in frames)):
        assert torch.equal(vjepa.FuturePredictor(world).observe(stream).predict().embeddings_BFhwY, expected)
    assert torch.equal(vjepa.surprise(world, pictures).losses_AX, vjepa.surprise(world, frames).losses_AX)
    assert classifier.predict(pictures) == classifier.predict(frames)


@pytest.mark.parametrize("channels", [1, 12])
@torch.no_grad()
def test_models_of_other_channels_predict_and_are_surprised(channels):
    world = make_world(
        encoder={"channels": channels}, pixels={"mean": [0.5] * channels, "std": [0.5] * channels}
    )
    video = torch.randint(0, 256, (16, channels, 20, 24), dtype=torch.uint8)
    prediction = vjepa.FuturePredictor(world).observe(video).predict()
    assert prediction.embeddings_BFhwY.isfinite().all()
    assert vjepa.surprise(world, video / 255).losses_AX.isfinite().all()
    assert world.encode(world.processor(video)).shape == (1, 32, 24)


@torch.no_grad()
def test_numbers_of_blocks_may_be_numpy_s_and_no_fractions(world, video):
    clip = video[None, :16]
    for ours, theirs in ((2, np.int64(2)), ([0, 2], np.array([0, 2]))):
        assert torch.equal(*(torch.stack(world.feature_maps(clip, chosen)) for chosen in (ours, theirs)))
    with pytest.raises(ValueError, match="3 blocks: give whole numbers from -3 to 2"):
        world.feature_maps(clip, [1.5])


@pytest.mark.parametrize("indices", [None, 1, 3, [-1], [0, 2], (-3, 1), 0, 4, -1, [3], [-4]])
@torch.no_grad()
def test_blocks_are_chosen_as_in_timm(indices, world, video):
    """timm's own choice of blocks; what it refuses is a ValueError here."""
    clip = video[None, :16]
    every = world.forward_intermediates(clip)[1]
    try:
        expected, _ = feature_take_indices(3, None if indices is None else indices)
    except AssertionError:
        for method in (world.forward_intermediates, world.feature_maps):
            with pytest.raises(ValueError, match="3 blocks: give"):
                method(clip, indices)
        return
    last, chosen = world.forward_intermediates(clip, indices)
    assert torch.equal(last, world.encode(clip))
    assert len(chosen) == len(expected)
    for tokens, number in zip(chosen, expected, strict=True):
        assert torch.equal(tokens, every[number])
