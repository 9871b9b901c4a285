"""Surprise against the published procedure, written out window by window."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.data.manifest import Video
from vjepa.grid import Grid
from vjepa.inference.normal_surprise import NormalSurprise


def published(model, video, context):
    """Loss of each window (research code of arXiv 2502.11831, in words): loops, no batches."""
    losses = []
    for first in range(0, len(video) - 15, 2):
        window = model.normalizer(video[None, first : first + 16])
        target = F.layer_norm(model.encoder(window), (24,))[:, context * 4 :]
        tokens = model.encoder(window[:, :, : 2 * context])
        index = torch.arange(32)[None]
        predicted = model.predictor(
            tokens, index[:, : 4 * context], index[:, 4 * context :], Grid(8, 2, 2), 1
        )
        losses.append((predicted - target).abs().mean())
    return torch.stack(losses)


def test_losses_are_those_of_the_published_procedure(video):
    model = make_video_model()
    result = vjepa.surprise(model, video, context_steps=[2, 5])
    expected = torch.stack([published(model, video, context) for context in (2, 5)]).detach()
    torch.testing.assert_close(result.losses_cV, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(result.filtered_V, result.losses_cV.min(dim=0).values)
    one = vjepa.surprise(model, video, context_steps=5)
    assert torch.equal(one.losses_cV, result.losses_cV[1:])
    assert vjepa.surprise(model, video, context_steps=np.array([5])).context_steps == one.context_steps
    narrow = vjepa.surprise(model.to(torch.bfloat16), video, context_steps=5)
    assert narrow.error_cVthw.dtype == torch.float32
    assert (result.encoder, result.mask_token, result.normalisation) == ("target_encoder", 1, "layer_norm")


def test_the_map_is_the_error_of_the_step_that_comes_next(video):
    result = vjepa.surprise(make_video_model(), video, context_steps=[2, 5])
    assert result.map_thw.shape == (20, 2, 2)
    assert result.map_thw[:2].isnan().all()
    assert result.map_thw[18:].isnan().all()  # no window puts them right after five steps or fewer
    # The longest context that a time step has, wherever it is: the fewest errors come from too short a one.
    assert torch.equal(result.map_thw[4], result.error_cVthw[0, 2, 2])
    assert torch.equal(result.map_thw[8], result.error_cVthw[1, 3, 5])
    torch.testing.assert_close(result.curve[8], result.error_cVthw[1, 3, 5].mean())


def test_a_file_is_cropped_once_for_calibration_as_for_surprise(tmp_path, monkeypatch):
    """A model that was trained on crops evaluates the middle of a frame."""
    model = make_video_model(clip={"whole_frame": False})
    videos = []
    for number in range(20):
        np.save(path := tmp_path / f"{number}.npy", np.random.default_rng(number).integers(
            0, 256, (18, 32, 32, 3), dtype=np.uint8))  # fmt: skip
        videos.append(Video(str(path)))
    found = []
    monkeypatch.setattr(NormalSurprise, "of_errors", lambda errors, *_: found.extend(errors))
    vjepa.calibrate_surprise(model, videos)
    for video, error in zip(videos[:3], found, strict=False):
        torch.testing.assert_close(error, vjepa.surprise(model, video.path).error_cVthw, equal_nan=True)


def test_files_have_times(video_file, video):
    result = vjepa.surprise(make_video_model(), video_file)
    assert result.seconds[:3] == pytest.approx([0, 0.08, 0.16])
    assert len(result.seconds) == len(result.curve) == 20
    assert torch.equal(result.losses_cV, vjepa.surprise(make_video_model(), video).losses_cV)


def test_a_context_sees_nothing_of_what_it_is_held_against(video):
    """Predictions of a window from its first two steps do not change with the rest; targets do."""
    model = make_video_model()
    predicted = []
    model.predictor.register_forward_hook(lambda module, inputs, output: predicted.append(output))
    changed = video[:16].clone()
    changed[4:] = 0
    errors = [vjepa.surprise(model, part, context_steps=[2]).losses_cV for part in (video[:16], changed)]
    assert torch.equal(predicted[0], predicted[1])
    assert not torch.allclose(errors[0], errors[1])


def test_a_masked_auto_encoder_predicts_pixels(video):
    """With predictions that are real: the error is that of its decoder, not the size of the targets."""
    decoder = {
        "in_dim": 24,
        "out_dim": 384,
        "embed_dim": 12,
        "depth": 1,
        "num_heads": 1,
        "num_mask_tokens": 2,
    }
    model = make_video_model(decoder=decoder, pixel_targets="tubelet")
    model.predictor = None
    result = vjepa.surprise(model, video)
    said = []
    model.decoder.register_forward_hook(lambda module, inputs, output: said.append(output))
    vjepa.surprise(model, video, context_steps=[3])
    assert result.normalisation == "tubelet"
    assert said[0].abs().mean() > 0.01
    model.decoder.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert not torch.allclose(result.losses_cV, vjepa.surprise(model, video).losses_cV)


@pytest.mark.parametrize("residual", [False, True])
def test_a_model_that_predicts_each_step_is_asked_for_the_next_one_alone(residual, video):
    model = make_video_model(encoder={"causal": True}, predictor={"causal": True, "residual": residual})
    result = vjepa.surprise(model, video, context_steps=[2, 7])
    assert (result.error_cVthw.isnan().sum(dim=2) == 7).all()  # of eight time steps one is predicted
    for row, context in enumerate((2, 7)):
        for first in (0, 11):
            window = model.normalizer(video[None, 2 * first : 2 * first + 16])
            target_BNY = F.layer_norm(model.encoder(window), (24,))
            past_BKD = model.encoder(window[:, :, : 2 * context])
            index, grid = torch.arange(4 * context + 4)[None], Grid(context + 1, 2, 2)
            predicted_BSY = model.predictor(
                past_BKD, index[:, :-4], index[:, -4:], grid, 1, targets=model.targets
            )
            error_S = (predicted_BSY - target_BNY[:, 4 * context : 4 * context + 4]).abs().mean(dim=-1)[0]
            torch.testing.assert_close(result.error_cVthw[row, first, context].flatten(), error_S)


def test_short_videos_and_bad_contexts_are_refused(video):
    with pytest.raises(ValueError, match=r"15 frames .* a window 16"):
        vjepa.surprise(make_video_model(), video[:15])
    with pytest.raises(ValueError, match="context_steps has 8"):
        vjepa.surprise(make_video_model(), video, context_steps=[8])
    with pytest.raises(ValueError, match="one at a time"):
        vjepa.surprise(make_video_model(), torch.stack([video, video]))


def test_no_context_at_all_is_refused(video):
    with pytest.raises(ValueError, match="context_steps is empty: give one context length"):
        vjepa.surprise(make_video_model(), video, context_steps=[])
