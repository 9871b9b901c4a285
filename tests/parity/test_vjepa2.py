"""Encoder and predictor against transformers' VJEPA2 classes with random weights: no download."""

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model

from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.tokens import Grid

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


def block_weights(state, ours, theirs, layer):
    """One block of theirs under our names."""
    source, target = f"{theirs}.layer.{layer}.", f"{ours}.blocks.{layer}."
    for kind in ("weight", "bias"):
        parts = [state[f"{source}attention.{part}.{kind}"] for part in ("query", "key", "value")]
        yield f"{target}attn.qkv.{kind}", torch.cat(parts)
        yield f"{target}attn.proj.{kind}", state[f"{source}attention.proj.{kind}"]
        for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
            yield f"{target}{part}.{kind}", state[f"{source}{part}.{kind}"]


def pairs(state, names):
    for ours, theirs in names.items():
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", state[f"{theirs}.{kind}"]


@pytest.fixture(scope="module")
def encoder(reference):
    model = VideoEncoder(width=WIDTH, depth=2, heads=3, tubelet=(2, 8, 8), rotary_layout="tile").eval()
    state = reference.state_dict()
    names = {
        "patch_embed.proj": "encoder.embeddings.patch_embeddings.proj",
        "transformer.norm": "encoder.layernorm",
    }
    weights = dict(pairs(state, names))
    for layer in range(2):
        weights |= dict(block_weights(state, "transformer", "encoder", layer))
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope="module")
def predictor(reference):
    model = Predictor(
        in_width=WIDTH, out_width=WIDTH, width=PREDICTOR_WIDTH, depth=2, heads=2,
        num_mask_tokens=2, rotary_layout="tile",
    ).eval()  # fmt: skip
    state = reference.state_dict()
    names = {
        "embed": "predictor.embeddings.predictor_embeddings",
        "transformer.norm": "predictor.layernorm",
        "proj": "predictor.proj",
    }
    weights = dict(pairs(state, names))
    weights["mask_tokens"] = state["predictor.embeddings.mask_tokens"].flatten(0, 2)
    for layer in range(2):
        weights |= dict(block_weights(state, "transformer", "predictor", layer))
    model.load_state_dict(weights)
    return model


def test_encoder_sees_what_the_reference_sees(reference, encoder):
    video_BTCHW = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        expected = reference(video_BTCHW, skip_predictor=True).last_hidden_state
        actual = encoder(video_BTCHW.transpose(1, 2))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_predictor_predicts_what_the_reference_predicts(reference, predictor):
    torch.manual_seed(1)
    order = torch.stack([torch.randperm(GRID_TOKENS) for _ in range(2)])
    context, target = order[:, :10].sort(dim=1).values, order[:, 10:25].sort(dim=1).values
    video_BTCHW = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        output = reference(video_BTCHW, context_mask=[context], target_mask=[target])
        tokens = torch.gather(output.last_hidden_state, 1, context[..., None].expand(-1, -1, WIDTH))
        # transformers always uses the second mask token, whatever the mask (modeling_vjepa2.py).
        actual = predictor(tokens, context, target, Grid(2, 4, 4), mask_token=1)
    torch.testing.assert_close(actual, output.predictor_output.last_hidden_state, atol=1e-5, rtol=1e-5)
