"""Encoder and predictor against transformers' VJEPA2 classes with random weights: no download."""

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model

from tests.weights.released.files import video_model_of
from vjepa.grid import Grid

WIDTH, PREDICTOR_WIDTH, GRID_TOKENS = 48, 24, 2 * 4 * 4


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    config = VJEPA2Config(
        crop_size=32, frames_per_clip=4, patch_size=8, tubelet_size=2, hidden_size=WIDTH,
        num_attention_heads=3, num_hidden_layers=2, pred_hidden_size=PREDICTOR_WIDTH,
        pred_num_attention_heads=2, pred_num_hidden_layers=2, pred_num_mask_tokens=2,
    )  # fmt: skip
    model = VJEPA2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Zero biases and unit gains would hide a wrong mapping.
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def ours(reference):
    return video_model_of(reference)


def test_encoder_sees_what_the_reference_sees(reference, ours):
    video_BTCHW = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        expected = reference(video_BTCHW, skip_predictor=True).last_hidden_state
        actual = ours.encoder(video_BTCHW.transpose(1, 2))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_predictor_predicts_what_the_reference_predicts(reference, ours):
    torch.manual_seed(1)
    order = torch.stack([torch.randperm(GRID_TOKENS) for _ in range(2)])
    context, target = order[:, :10].sort(dim=1).values, order[:, 10:25].sort(dim=1).values
    video_BTCHW = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        output = reference(video_BTCHW, context_mask=[context], target_mask=[target])
        tokens = torch.gather(output.last_hidden_state, 1, context[..., None].expand(-1, -1, WIDTH))
        # transformers always uses the second mask token, whatever the mask (modeling_vjepa2.py).
        actual = ours.predictor(tokens, context, target, Grid(2, 4, 4), mask_token=1)
    torch.testing.assert_close(actual, output.predictor_output.last_hidden_state, atol=1e-5, rtol=1e-5)
