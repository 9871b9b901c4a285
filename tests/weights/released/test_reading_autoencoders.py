"""Losses against transformers' VideoMAE and ViTMAE with the same random weights and masks: no download."""

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, ViTMAEConfig, ViTMAEForPreTraining

from tests.weights.released.files import video_model_of
from tests.weights.released.masked_autoencoders import (
    DECODER,
    PATCH,
    SIZE,
    SIZES,
    WIDTH,
    bytes_and_pixels,
    perturbed,
    plane_positions,
)
from vjepa.batch import Batch, TokenMask
from vjepa.layers.pixels import PixelNormalizer
from vjepa.objectives.pixels import PixelReconstruction


def autoencoder(theirs, targets):
    """Ours with the same weights."""
    model = video_model_of(theirs)
    assert model.config["pixel_targets"] == targets
    return PixelReconstruction(
        encoder=model.encoder, decoder=model.decoder, normalizer=PixelNormalizer(), targets=targets
    ).eval()


def to_our_pixel_order(tensor, depth_of_tubelet):
    """Theirs orders the values of a tubelet by frame, row, column, channel; ours has the channel first."""
    return tensor.unflatten(0, (depth_of_tubelet * PATCH**2, 3)).transpose(0, 1).flatten(0, 1)


def random_mask(clips, tokens, context, seed=3):
    order_BN = torch.rand(clips, tokens, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return order_BN, TokenMask(order_BN[:, :context].sort().values, order_BN[:, context:].sort().values)


def as_batch(video_BTCHW, mask):
    clips = len(video_BTCHW)
    return Batch(video_BTCHW, (mask,), torch.zeros(clips, dtype=torch.long), ("",) * clips)


@pytest.mark.parametrize(("targets", "normalised"), [("tubelet", True), ("raw", False)])
@pytest.mark.parametrize("depth", [2, 1])
def test_videomae_s_loss(targets, normalised, depth):
    torch.manual_seed(0)
    config = VideoMAEConfig(
        **SIZES, num_frames=4, tubelet_size=depth, norm_pix_loss=normalised, use_mean_pooling=False
    )
    theirs = perturbed(VideoMAEForPreTraining(config))
    theirs.decoder.norm.eps = 1e-6  # the original's; transformers leaves torch's default
    ours = autoencoder(theirs, targets)
    video_BTCHW, pixels_BTCHW = bytes_and_pixels(2, 4, 3, SIZE, SIZE)
    tokens = 4 // depth * (SIZE // PATCH) ** 2
    _, mask = random_mask(2, tokens, context=5)
    hidden_BN = torch.zeros(2, tokens, dtype=torch.bool).scatter(1, mask.target_BM, True)
    with torch.no_grad():
        expected = theirs(pixels_BTCHW, bool_masked_pos=hidden_BN)
        loss = ours(as_batch(video_BTCHW, mask))["loss"]
        _, predicted_BMP = ours.forward_context(pixels_BTCHW.transpose(1, 2), mask)
    assert loss.item() == pytest.approx(expected.loss.item(), abs=1e-5)
    logits_BMP = to_our_pixel_order(expected.logits.flatten(0, 1).T, depth).T.reshape(predicted_BMP.shape)
    torch.testing.assert_close(predicted_BMP, logits_BMP, atol=1e-4, rtol=1e-4)


def test_image_mae_s_loss():
    torch.manual_seed(0)
    theirs = perturbed(ViTMAEForPreTraining(ViTMAEConfig(**SIZES, mask_ratio=0.75, norm_pix_loss=True)))
    with torch.no_grad():  # built from a configuration, transformers' model leaves them at zero
        theirs.vit.embeddings.position_embeddings[0] = plane_positions(SIZE // PATCH, WIDTH)
        theirs.decoder.decoder_pos_embed[0] = plane_positions(SIZE // PATCH, DECODER)
    ours = autoencoder(theirs, "patch")
    image_BTCHW, pixels_BTCHW = bytes_and_pixels(3, 1, 3, SIZE, SIZE)
    tokens = (SIZE // PATCH) ** 2
    order_BN, mask = random_mask(3, tokens, context=tokens // 4)
    noise_BN = order_BN.argsort(dim=1) / tokens  # theirs keeps the tokens with the least noise
    with torch.no_grad():
        expected = theirs(pixels_BTCHW[:, 0], noise=noise_BN)
        loss = ours(as_batch(image_BTCHW, mask))["loss"]
    assert loss.item() == pytest.approx(expected.loss.item(), abs=1e-5)
