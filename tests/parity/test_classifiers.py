"""Classifiers against transformers' with the same random weights: no download."""

import pytest
import torch
from transformers import (
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from tests.parity.test_masked_autoencoders import (
    SIZES,
    WIDTH,
    block_weights,
    bytes_and_pixels,
    perturbed,
    renamed,
)
from tests.parity.test_vjepa2 import block_weights as vjepa2_block_weights
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import AttentiveHead, Classifier, MeanHead
from vjepa.models.encoder import VideoEncoder

CLASSES, PATCH = 5, 8
VIDEOMAE_BLOCK = (
    "attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense",
    "intermediate.dense", "output.dense",
)  # fmt: skip


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def pooled_block(state, theirs, ours):
    """A block of self-attention of their pooler under our names."""
    for kind in ("weight", "bias"):
        parts = [state[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in ("q", "k", "v")]
        yield f"{ours}.attn.qkv.{kind}", torch.cat(parts)
        yield f"{ours}.attn.proj.{kind}", state[f"{theirs}.self_attn.out_proj.{kind}"]
        for number in (1, 2):
            yield f"{ours}.norm{number}.{kind}", state[f"{theirs}.layer_norm{number}.{kind}"]
            yield f"{ours}.mlp.fc{number}.{kind}", state[f"{theirs}.mlp.fc{number}.{kind}"]


def pooler_weights(state, depth):
    weights = {"pool.queries_QD": state["pooler.query_tokens"][0]}
    for number in range(depth - 1):
        weights |= pooled_block(state, f"pooler.self_attention_layers.{number}", f"pool.blocks.{number}")
    cross, ours = "pooler.cross_attention_layer", "pool.cross_block"
    for kind in ("weight", "bias"):
        weights[f"{ours}.q.{kind}"] = state[f"{cross}.cross_attn.q_proj.{kind}"]
        keys_values = [state[f"{cross}.cross_attn.{part}_proj.{kind}"] for part in ("k", "v")]
        weights[f"{ours}.kv.{kind}"] = torch.cat(keys_values)
        for number in (1, 2):
            weights[f"{ours}.norm{number}.{kind}"] = state[f"{cross}.layer_norm{number}.{kind}"]
            weights[f"{ours}.mlp.fc{number}.{kind}"] = state[f"{cross}.mlp.fc{number}.{kind}"]
        weights[f"fc.{kind}"] = state[f"classifier.{kind}"]
    return weights


@pytest.mark.parametrize("depth", [1, 4])
def test_attentive_classifier_is_vjepa2_s(depth):
    torch.manual_seed(0)
    config = VJEPA2Config(
        crop_size=32, frames_per_clip=4, patch_size=PATCH, tubelet_size=2, hidden_size=WIDTH, num_attention_heads=3,
        num_hidden_layers=2, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1,
        num_pooler_layers=depth - 1, num_labels=CLASSES,
    )  # fmt: skip
    reference = perturbed(VJEPA2ForVideoClassification(config))
    state = reference.state_dict()
    encoder = VideoEncoder(width=WIDTH, depth=2, heads=3, tubelet=(2, PATCH, PATCH), rotary_layout="tile")
    weights = renamed(
        state,
        {
            "patch_embed.proj": "vjepa2.encoder.embeddings.patch_embeddings.proj",
            "transformer.norm": "vjepa2.encoder.layernorm",
        },
    )
    for layer in range(2):
        weights |= vjepa2_block_weights(state, "transformer", "vjepa2.encoder", layer)
    encoder.load_state_dict(weights)
    head = AttentiveHead(WIDTH, CLASSES, heads=3, depth=depth)
    head.load_state_dict(pooler_weights(state, depth))
    classifier = Classifier(encoder, head, PixelNormalizer()).eval()
    video_BTCHW, pixels_BTCHW = bytes_and_pixels(2, 4, 3, 32, 32)
    with torch.no_grad():
        close(classifier(video_BTCHW), reference(pixels_BTCHW).logits)


def test_mean_classifier_is_videomae_s():
    config = VideoMAEConfig(
        **SIZES, num_frames=4, tubelet_size=2, num_labels=CLASSES, use_mean_pooling=True, qkv_bias=True
    )
    reference = perturbed(VideoMAEForVideoClassification(config))
    state = reference.state_dict()
    encoder = VideoEncoder(width=WIDTH, depth=2, heads=3, tubelet=(2, PATCH, PATCH), positions="sinusoid")
    weights = renamed(state, {"patch_embed.proj": "videomae.embeddings.patch_embeddings.projection"})
    for layer in range(2):
        theirs = f"videomae.encoder.layer.{layer}"
        weights |= block_weights(state, VIDEOMAE_BLOCK, f"transformer.blocks.{layer}", theirs)
    # Their encoder has no norm at its end; ours is there and must not be used.
    nothing = torch.full((WIDTH,), torch.nan)
    encoder.load_state_dict({**weights, "transformer.norm.weight": nothing, "transformer.norm.bias": nothing})
    head = MeanHead(WIDTH, CLASSES)
    head.load_state_dict(renamed(state, {"norm": "fc_norm", "fc": "classifier"}))
    head.norm.eps = reference.fc_norm.eps
    classifier = Classifier(encoder, head, PixelNormalizer(), token_norm=False).eval()
    video_BTCHW, pixels_BTCHW = bytes_and_pixels(2, 4, 3, 32, 32)
    with torch.no_grad():
        close(classifier(video_BTCHW), reference(pixels_BTCHW).logits)
