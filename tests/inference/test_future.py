"""What is predicted from which frames, how far, and what is refused."""

import numpy as np
import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.grid import Grid
from vjepa.inference.forecast import encode_context, predict_rest, roll_out, window_of

FRAMES = 10  # of the context: five steps of two frames


def ways_to_predict(model, frames, path, end):
    """Every path through the API to a prediction from the frames before `end`, by name."""
    future = vjepa.FuturePredictor(model, fps=25)
    yield "at once", future.observe(frames).predict().embeddings_BFhwY
    yield "one horizon", future.predict(steps=2).embeddings_BFhwY
    yield "seconds", future.predict(seconds=0.1).embeddings_BFhwY
    yield "slid", future.predict(steps=9).embeddings_BFhwY
    yield "rolled out", future.rollout(steps=7).embeddings_BFhwY
    yield "extrapolated", future.predict(steps=9, beyond="extrapolate").embeddings_BFhwY
    future.reset()
    for frame in frames:
        future.observe(frame)
    yield "frame by frame", future.predict().embeddings_BFhwY
    future.reset()
    yield "an iterable", future.observe(iter(frames)).predict().embeddings_BFhwY
    future.reset()
    batch = future.observe(torch.stack([frames, frames])).predict().embeddings_BFhwY
    yield "batch", batch[1:]
    yield "file", future.observe(path, end=end).predict().embeddings_BFhwY
    yield "files", future.observe([path, path], end=end).predict().embeddings_BFhwY[:1]
    yield "floats", vjepa.FuturePredictor(model).observe(frames / 255).predict().embeddings_BFhwY


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_no_frame_after_the_context_changes_a_prediction(causal, residual, video, tmp_path):
    model = make_video_model(encoder={"causal": causal}, predictor={"residual": residual})
    changed = video.clone()
    changed[FRAMES:] = 255 - changed[FRAMES:]
    predictions = []
    for number, frames in enumerate((video, changed)):
        path = tmp_path / f"{number}.npy"
        np.save(path, frames.permute(0, 2, 3, 1).numpy())
        predictions.append(dict(ways_to_predict(model, frames[:FRAMES], path, FRAMES / 25)))
    assert len(predictions[0]) == 12
    for name, prediction in predictions[0].items():
        assert torch.equal(prediction, predictions[1][name]), name


def test_the_context_changes_predictions(video):
    future = vjepa.FuturePredictor(make_video_model())
    first = future.observe(video[:FRAMES]).predict()
    changed = video[:FRAMES].clone()
    changed[-1] = 0
    future.reset()
    assert not torch.allclose(
        first.embeddings_BFhwY, future.observe(changed).predict().embeddings_BFhwY, atol=1e-3
    )


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_all_ways_agree(causal, residual, video, video_file):
    model = make_video_model(encoder={"causal": causal}, predictor={"residual": residual})
    found = dict(ways_to_predict(model, video[:FRAMES], video_file, FRAMES / 25))
    whole = found["at once"]
    for name in ("frame by frame", "an iterable", "batch", "file", "files", "floats"):
        torch.testing.assert_close(found[name], whole, atol=1e-5, rtol=1e-5, msg=name)
    assert torch.equal(found["one horizon"][:, 0], whole[:, 1])  # whichever horizons are asked
    assert torch.equal(found["rolled out"][:, :3], whole)


def test_encoding_the_whole_clip_and_slicing_is_impossible(video):
    """The encoder is never given a later frame, and embeddings are no input."""
    model = make_video_model()
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[2]))
    vjepa.FuturePredictor(model).observe(video[:16]).predict(steps=[1, 2, 3, 8])
    assert seen == [FRAMES]
    with pytest.raises(ValueError, match="embeddings are no input"):
        vjepa.FuturePredictor(model).observe(model.encode(video[None, :16]))


def test_a_prediction_is_what_the_networks_say(video):
    """Against the encoder and the predictor called by hand."""
    model = make_video_model()
    tokens = model.encoder(model.normalizer(video[None, :FRAMES]))
    context, target = torch.arange(20)[None], torch.arange(20, 32)[None]
    expected = model.predictor(tokens, context, target, Grid(8, 2, 2), mask_token=1)
    predicted = vjepa.FuturePredictor(model).observe(video[:FRAMES]).predict()
    torch.testing.assert_close(predicted.embeddings_BFhwY.flatten(1, 3), expected)
    other = vjepa.FuturePredictor(model, mask_token=0).observe(video[:FRAMES]).predict()
    assert other.mask_token == 0
    assert not torch.allclose(other.embeddings_BFhwY, predicted.embeddings_BFhwY)


def test_predictions_say_what_they_are(video, video_file):
    future = vjepa.FuturePredictor(make_video_model(), fps=20)
    prediction = future.observe(video[:15]).predict(seconds=torch.tensor([0.1, 0.25, 0.3]))
    assert prediction.steps == (1, 3, 3)  # a step lasts .1 s
    assert prediction.seconds == pytest.approx((0.1, 0.3, 0.3))
    assert prediction.context_end == pytest.approx((0.7,))  # the fifteenth frame waits for its step
    assert prediction.embeddings_BFhwY.shape == (1, 3, 2, 2, 24)
    assert (prediction.encoder, prediction.mask_token, prediction.normalisation) == (
        "target_encoder",
        1,
        "layer_norm",
    )
    assert prediction.grid == (1, 2, 2)
    at_end = vjepa.FuturePredictor(make_video_model()).observe(video_file, end=1.0).predict()
    assert at_end.context_end == pytest.approx((1.0,))
    assert at_end.seconds == pytest.approx((0.08, 0.16, 0.24))


def test_predictions_can_be_of_the_network_that_the_gradient_trained(tmp_path, video):
    slow, online = make_video_model(0), make_video_model(1)
    state = {
        f"target_{name}": value for name, value in slow.state_dict().items() if name.startswith("encoder")
    }
    vjepa.save_pretrained(tmp_path, {**online.state_dict(), **state}, online.config)
    loaded = vjepa.from_pretrained(tmp_path, which="encoder")
    prediction = vjepa.FuturePredictor(loaded).observe(video[:FRAMES]).predict()
    expected = vjepa.FuturePredictor(online).observe(video[:FRAMES]).predict()
    assert prediction.encoder == "encoder"
    assert torch.equal(prediction.embeddings_BFhwY, expected.embeddings_BFhwY)
    assert torch.equal(loaded.embed_targets(video[None, :16]), slow.embed_targets(video[None, :16]))


def test_a_rollout_slides_over_what_it_predicted(video):
    """The second window, built by hand from the first one's predictions."""
    model = make_video_model(future={"normalisation": "none"})
    window = window_of(model, 16, 16)
    with torch.no_grad():
        context = encode_context(model, video[None, :FRAMES])
        first = predict_rest(model.predictor, context, window, model.targets)
        latest = torch.cat([context[:, 12:], first], dim=1)
        second = predict_rest(model.predictor, latest, window, model.targets)
        rolled = roll_out(model, context, window, 6)
    torch.testing.assert_close(rolled, torch.cat([first, second], dim=1))


def test_samples_are_repeatable_and_differ(video):
    model = make_video_model(predictor={"noise_dim": 4})
    future = vjepa.FuturePredictor(model).observe(video[:FRAMES])
    samples = future.sample(3, steps=[1, 6], seed=1)
    assert samples.embeddings_BFhwY.shape == (1, 3, 2, 2, 2, 24)
    assert torch.equal(samples.embeddings_BFhwY, future.sample(3, steps=[1, 6], seed=1).embeddings_BFhwY)
    assert not torch.allclose(samples.embeddings_BFhwY[:, 0], samples.embeddings_BFhwY[:, 1])
    more = future.sample(5, steps=[1, 6], seed=1).embeddings_BFhwY
    assert torch.equal(more[:, :3], samples.embeddings_BFhwY)  # further samples change no earlier one,
    two = vjepa.FuturePredictor(model).observe(torch.stack([video[FRAMES : 2 * FRAMES], video[:FRAMES]]))
    beside = two.sample(3, steps=[1, 6], seed=1).embeddings_BFhwY[1:]
    torch.testing.assert_close(beside, samples.embeddings_BFhwY)  # nor do other clips
    with pytest.raises(ValueError, match=r"one future, not several.*objective\.futures"):
        vjepa.FuturePredictor(make_video_model()).observe(video[:FRAMES]).sample(2)


def test_rates_are_met_as_in_a_file(video, video_file):
    """Frames of 25 a second for a model of 10: the same are taken from memory as from the file."""
    model = make_video_model(clip={"fps": 10.0, "stride": None})
    future = vjepa.FuturePredictor(model, fps=25)
    streamed = future.observe(video).predict()
    begin = streamed.context_end[0] - 5 * 2 / 10
    from_file = vjepa.FuturePredictor(model).observe(video_file, end=streamed.context_end[0]).predict()
    assert begin == pytest.approx(0.6)
    assert torch.equal(streamed.embeddings_BFhwY, from_file.embeddings_BFhwY)
    slow = vjepa.FuturePredictor(model, fps=5).observe(video[:5]).predict()  # each frame is shown twice
    twice = vjepa.FuturePredictor(model).observe(video[:5].repeat_interleave(2, dim=0)).predict()
    assert torch.equal(slow.embeddings_BFhwY, twice.embeddings_BFhwY)


def test_frames_without_a_rate_are_taken_as_they_are(video, video_file):
    """What the processor of a model with a stride has read is not thinned out again."""
    model = make_video_model(clip={"stride": 2})
    clip = model.processor(video_file)
    expected = vjepa.FuturePredictor(make_video_model()).observe(clip[:, :10]).predict()
    found = vjepa.FuturePredictor(model).observe(clip[:, :10]).predict()
    assert torch.equal(found.embeddings_BFhwY, expected.embeddings_BFhwY)
    camera = vjepa.FuturePredictor(model, fps=25).observe(video[:19]).predict()  # every second one
    assert torch.equal(
        camera.embeddings_BFhwY,
        vjepa.FuturePredictor(model).observe(video[:19:2]).predict().embeddings_BFhwY,
    )
    assert camera.seconds[0] == pytest.approx(4 / 25)


def test_horizons_may_be_numbers_of_numpy(video):
    future = vjepa.FuturePredictor(make_video_model()).observe(video)
    asked = (2, np.int64(2), np.float32(2), [np.int64(2)], torch.tensor(2))
    assert {future.predict(steps=steps).steps for steps in asked} == {(2,)}


def without(model, part):
    setattr(model, part, None)
    return model


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda model, video: vjepa.FuturePredictor(without(model, "predictor")), "has no predictor"),
        (lambda model, video: vjepa.FuturePredictor(model, context_steps=8), "give 1 to 7"),
        (lambda model, video: vjepa.FuturePredictor(model, fps=0), "fps is 0"),
        (lambda model, video: vjepa.FuturePredictor(model, fps=float("inf")), "fps is inf"),
        (
            lambda model, video: vjepa.FuturePredictor(model).predict(),
            "0 whole time steps .* observe 10 frames",
        ),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video[:9]).predict(),
            "4 whole time steps",
        ),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(steps=0),
            "after the context",
        ),
        (lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(seconds=1), "is unknown"),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(steps=[1.9]),
            "whole time steps",
        ),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(steps=float("inf")),
            "whole time steps",
        ),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(beyond="extrapolat"),
            "beyond is 'extrapolat': give one of slide, extrapolate",
        ),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video).predict(steps=1, seconds=1),
            "give one of them",
        ),
        (lambda model, video: vjepa.FuturePredictor(model).observe(video * 1.0), "give values in"),
        (
            lambda model, video: vjepa.FuturePredictor(model).observe(video / 255 * torch.nan),
            "give values in",
        ),
        (lambda model, video: vjepa.FuturePredictor(model).observe(video.long()), "int64"),
        (lambda model, video: vjepa.FuturePredictor(model).observe(video.permute(0, 2, 3, 1)), "permute"),
        (lambda model, video: vjepa.FuturePredictor(model).observe(video, end=1.0), "which is for paths"),
        (
            lambda model, video: (
                vjepa.FuturePredictor(model).observe(video).observe(torch.stack([video, video]))
            ),
            "2 clips come after 1",
        ),
    ],
)
def test_what_cannot_be_predicted_is_refused(act, message, video):
    with pytest.raises(ValueError, match=message):
        act(make_video_model(), video)


def test_models_that_end_somewhere_say_so(video, video_file):
    absolute = make_video_model(predictor={"positions": "sincos"})
    with pytest.raises(ValueError, match=r"positions \(sincos\) end there: ask for beyond='slide'"):
        vjepa.FuturePredictor(absolute).observe(video).predict(steps=9, beyond="extrapolate")
    with pytest.raises(ValueError, match="one time step"):
        vjepa.FuturePredictor(make_video_model(clip={"num_frames": 1}))
    with pytest.raises(ValueError, match=r"has 2 frames at the model's rate .* 10 are needed"):
        vjepa.FuturePredictor(make_video_model()).observe(video_file, end=0.08)
    with pytest.raises(ValueError, match="there is no such file"):
        vjepa.FuturePredictor(make_video_model()).observe("nowhere.mp4")


def test_a_model_that_predicts_each_step_goes_one_step_at_a_time(video):
    model = make_video_model(encoder={"causal": True}, predictor={"causal": True})
    future = vjepa.FuturePredictor(model).observe(video[:10])
    index = torch.arange(24)[None]
    past_BKD, expected = model.encode(video[None, :10]), []
    for _ in range(2):
        expected.append(model.predictor(past_BKD, index[:, :20], index[:, 20:], Grid(6, 2, 2), 1))
        seen_BSD = model.targets.restore(expected[-1], model.encode(video[None, :10]))
        past_BKD = torch.cat([past_BKD, seen_BSD], dim=1)[:, 4:]
    predicted = future.predict(steps=2).embeddings_BFhwY
    torch.testing.assert_close(predicted.flatten(1, 3), expected[1])
    with pytest.raises(ValueError, match=r"one time step ahead, .* beyond='slide'"):
        future.predict(steps=4, beyond="extrapolate")
