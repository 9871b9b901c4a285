"""A stream equals the clip, costs the same at every step, and keeps no more than it needs."""

import resource
from pathlib import Path

import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.inference.causal_stream import CausalStream


def stream_tokens(model, video, steps):
    stream = CausalStream(model.encoder, steps)
    pixels = model.normalizer(video[None])
    return torch.cat([stream.step(part) for part in pixels.split(model.encoder.tubelet.t, dim=2)], dim=1)


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"levels": (0, 2)},
        {"stem": "convolutional"},
        {"image_tokenizer": True},
        {"image_tokenizer": True, "tubelet": [1, 8, 8]},
        {"image_tokenizer": True, "stem": "convolutional"},
    ],
)
def test_a_stream_equals_the_clip(encoder, video):
    model = make_video_model(encoder={"causal": True, **encoder})
    clip = video[: 8 * model.encoder.tubelet.t]
    whole = model.encoder(model.normalizer(clip[None]), levels=True)
    torch.testing.assert_close(stream_tokens(model, clip, steps=8), whole, atol=1e-5, rtol=1e-5)


def test_a_long_stream_equals_attention_limited_to_its_steps(video, monkeypatch):
    model = make_video_model(encoder={"causal": True})
    transformer = model.encoder.transformer
    causal = transformer._attention_mask

    def banded(tokens, grid, index, queries):
        time = torch.arange(grid.size) // (grid.h * grid.w)
        return causal(tokens, grid, index, queries) & (time[:, None] - time[None] < 8)

    monkeypatch.setattr(transformer, "_attention_mask", banded)
    whole = model.encoder(model.normalizer(video[None]))  # 20 steps
    torch.testing.assert_close(stream_tokens(model, video, steps=8), whole, atol=1e-5, rtol=1e-5)


def test_an_hour_into_a_stream_positions_are_as_exact_as_at_its_beginning(video):
    """Rotary positions are relative: the same frames, 100,000 steps later, give the same tokens."""
    model = make_video_model(encoder={"causal": True})
    pixels = model.normalizer(video[None, :16])
    early, late = CausalStream(model.encoder, 8), CausalStream(model.encoder, 8)
    late.seen = 100_000
    for part in pixels.split(2, dim=2):
        torch.testing.assert_close(late.step(part), early.step(part), atol=2e-5, rtol=2e-5)


def test_only_what_can_be_continued_is_streamed():
    with pytest.raises(ValueError, match="a bidirectional encoder with rotary positions"):
        CausalStream(make_video_model().encoder, 8)
    with pytest.raises(ValueError, match="a causal encoder with sincos positions"):
        CausalStream(make_video_model(encoder={"causal": True, "positions": "sincos"}).encoder, 8)


def kept_tensors(future):
    """Numbers held by an observation, wherever they are."""
    observation = future._observation
    held = [*observation._frames, *observation._tokens]
    if observation._stream is not None:
        for cache in observation._stream.caches:
            held += [cache._keys_BkNd, cache._values_BkNd]
    return sum(tensor.untyped_storage().nbytes() for tensor in held)


@pytest.mark.parametrize("causal", [False, True])
def test_memory_does_not_grow(causal, video):
    """Eight hundred frames more leave as much in memory as forty did."""
    future = vjepa.FuturePredictor(make_video_model(encoder={"causal": causal}))
    for frame in video:
        future.observe(frame)
    before = kept_tensors(future)
    for _ in range(20):
        future.observe(video)
    assert kept_tensors(future) == before
    assert future.observed_steps == 5


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_an_hour_of_video_leaves_memory_as_it_was(causal, video):
    """90,000 frames of 25 a second; one to ten minutes."""

    def resident_megabytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    future = vjepa.FuturePredictor(make_video_model(encoder={"causal": causal}), fps=25)
    frames = video.repeat(6, 1, 1, 1)  # 240
    future.observe(frames).predict()
    before = resident_megabytes()
    for _ in range(375):
        future.observe(frames)
    future.predict()
    assert resident_megabytes() - before < 5


@pytest.mark.parametrize("causal", [False, True])
def test_a_stream_predicts_as_its_last_window_does(causal, video):
    """Of a bidirectional model exactly; a causal one remembers what came before, within its reach."""
    model = make_video_model(encoder={"causal": causal})
    streamed = vjepa.FuturePredictor(model).observe(video).predict()
    window = vjepa.FuturePredictor(model).observe(video[-10:]).predict()
    assert torch.equal(streamed.embeddings_BFhwY, window.embeddings_BFhwY) == (not causal)
