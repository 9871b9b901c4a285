"""Classifiers against transformers' with the same random weights: no download."""

import pytest
import torch
from transformers import (
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from tests.weights.released.files import released_of
from tests.weights.released.masked_autoencoders import SIZES, WIDTH, bytes_and_pixels, perturbed
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder

CLASSES, PATCH = 5, 8


def classifier_of(reference):
    """Ours with the same weights."""
    released = released_of(reference)
    config, tensors = released.config, released.tensors
    head = build_head(embed_dim=WIDTH, num_classes=CLASSES, **config["head"])
    classifier = Classifier(
        VideoEncoder(**config["encoder"]), head, PixelNormalizer(), token_norm=config["token_norm"]
    )
    theirs = {name: value for name, value in tensors.items() if not name.startswith("predictor.")}
    classifier.load_state_dict(theirs)
    return classifier.eval()


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, 4])
def test_attentive_classifier_is_vjepa2_s(depth):
    torch.manual_seed(0)
    config = VJEPA2Config(
        crop_size=32,
        frames_per_clip=4,
        patch_size=PATCH,
        tubelet_size=2,
        hidden_size=WIDTH,
        num_attention_heads=3,
        num_hidden_layers=2,
        pred_hidden_size=24,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
        num_pooler_layers=depth - 1,
        num_labels=CLASSES,
    )
    reference = perturbed(VJEPA2ForVideoClassification(config))
    classifier = classifier_of(reference)
    video_BTCHW, pixels_BTCHW = bytes_and_pixels(2, 4, 3, 32, 32)
    with torch.no_grad():
        close(classifier(video_BTCHW), reference(pixels_BTCHW).logits)


def test_mean_classifier_is_videomae_s():
    config = VideoMAEConfig(
        **SIZES, num_frames=4, tubelet_size=2, num_labels=CLASSES, use_mean_pooling=True, qkv_bias=True
    )
    reference = perturbed(VideoMAEForVideoClassification(config))
    classifier = classifier_of(reference)
    classifier.head.norm.eps = reference.fc_norm.eps
    video_BTCHW, pixels_BTCHW = bytes_and_pixels(2, 4, 3, 32, 32)
    with torch.no_grad():
        close(classifier(video_BTCHW), reference(pixels_BTCHW).logits)
