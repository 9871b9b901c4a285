"""Fewer bits: nearly the same numbers, float32 outside, less memory."""

import copy

import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.export.precision import reduce_precision
from vjepa.inference.causal_stream import CausalStream
from vjepa.inference.future import FuturePredictor
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder


def stored_bytes(module):
    return sum(
        tensor.untyped_storage().nbytes()
        for tensor in module.state_dict().values()
        if tensor.dtype != torch.int8
    )


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
@pytest.mark.parametrize(("kind", "most"), [("int8", 0.02), ("bf16", 0.03)])
def test_answers_stay_nearly_the_same(kind, most, stem):
    if kind == "int8":
        pytest.importorskip("torchao")
    model = make_video_model(0, encoder={"stem": stem})
    reduced = reduce_precision(copy.deepcopy(model), kind)
    video = torch.randint(0, 256, (2, 16, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        tokens, expected = reduced.encode(video), model.encode(video)
    assert tokens.dtype == torch.float32
    error = (tokens - expected).norm() / expected.norm()
    assert 0 < error < most
    predicted, whole = (
        FuturePredictor(each).observe(video[:, :10]).predict().embeddings_BFhwY for each in (reduced, model)
    )
    assert 0 < (predicted - whole).norm() / whole.norm() < 3 * most


def a_classifier(encoder):
    head = build_head(embed_dim=24, num_classes=5, kind="attentive")
    return Classifier(encoder, head, PixelNormalizer([0.5] * 3, [0.25] * 3), (0,), True).eval()


@torch.no_grad()
def test_other_ways_through_a_model_stay_nearly_the_same():
    """Levels, a stream step by step, and a classifier: none of them passes the encoder's `forward`."""
    torch.manual_seed(0)
    encoder = VideoEncoder(
        embed_dim=24, depth=3, num_heads=2, tubelet=(2, 8, 8), causal=True, levels=(1, 2)
    ).eval()
    reduced = copy.deepcopy(encoder)
    reduce_precision(a_classifier(reduced), "bf16")
    video = torch.randn(2, 3, 4, 16, 16)
    streams = [CausalStream(network, 2) for network in (encoder, reduced)]
    for start in (0, 2):
        whole, narrow = (stream.step(video[:, :, start : start + 2]) for stream in streams)
        assert narrow.dtype == torch.float32
        assert 0 < (narrow - whole).norm() / whole.norm() < 0.03
    levels = zip(
        encoder.forward_intermediates(video, [0, 2], norm=True)[1],
        reduced.forward_intermediates(video, [0, 2], norm=True)[1],
        strict=True,
    )
    for whole, narrow in levels:
        assert narrow.dtype == torch.float32
        assert 0 < (narrow - whole).norm() / whole.norm() < 0.03
    classifier = a_classifier(encoder)
    clip = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8)
    whole = classifier.head(classifier.features(clip))
    reduce_precision(classifier, "bf16")
    narrow = classifier.head(classifier.features(clip))
    assert narrow.dtype == torch.float32
    assert (narrow - whole).abs().max() < 0.05


def test_bfloat16_takes_half_the_memory():
    model = make_video_model(0)
    before = stored_bytes(model.encoder)
    assert stored_bytes(reduce_precision(model, "bf16").encoder) == before / 2


def test_what_would_stay_as_it_is_is_refused():
    model = make_video_model(0)
    with pytest.raises(ValueError, match="kind is fp16: give one of int8, bf16"):
        reduce_precision(model, "fp16")
    with pytest.raises(ValueError, match="network is a Linear: give a VideoModel or a Classifier"):
        reduce_precision(torch.nn.Linear(2, 2), "bf16")
