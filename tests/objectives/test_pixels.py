"""Reconstruction of pixels: targets, the way back, gradients, groups, masks that leave tokens out."""

from dataclasses import replace

import pytest
import torch

from tests.objectives.builders import PIXELS, small_autoencoder, small_batch
from vjepa.choices import IMAGENET_MEAN, IMAGENET_STD
from vjepa.layers.pixel_targets import pixel_targets, restore_pixels
from vjepa.models.encoder import VideoEncoder
from vjepa.tokens import patchify

MEAN, STD = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)


def reference_targets(tubelet_P, kind):
    """One tubelet, in plain numbers."""
    channels = [
        [value / 255 for value in tubelet_P[c * PIXELS : (c + 1) * PIXELS].tolist()] for c in range(3)
    ]
    if kind == "raw":
        return [value for channel in channels for value in channel]
    if kind == "patch":
        values = [(x - MEAN[c].item()) / STD[c].item() for c in range(3) for x in channels[c]]
        mean = sum(values) / len(values)
        variance = sum((x - mean) ** 2 for x in values) / (len(values) - 1)
        return [(x - mean) / (variance + 1e-6) ** 0.5 for x in values]
    normalised = []
    for values in channels:
        mean = sum(values) / PIXELS
        variance = sum((x - mean) ** 2 for x in values) / (PIXELS - 1)
        normalised += [(x - mean) / (variance**0.5 + 1e-6) for x in values]
    return normalised


@pytest.mark.parametrize("kind", ["tubelet", "patch", "raw"])
def test_targets_are_the_published_ones_and_lead_back_to_pixels(kind):
    tubelets = patchify(small_batch().video_BTCHW.transpose(1, 2), VideoEncoder(
        embed_dim=12, depth=1, num_heads=1, tubelet=(2, 8, 8)).tubelet)  # fmt: skip
    targets = pixel_targets(tubelets, kind, MEAN, STD)
    expected = torch.tensor(reference_targets(tubelets[1, 7], kind))
    torch.testing.assert_close(targets[1, 7], expected, atol=2e-5, rtol=1e-5)
    pixels = restore_pixels(targets, tubelets, kind, MEAN, STD)
    torch.testing.assert_close(pixels, tubelets / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["tubelet", "patch"])
def test_a_flat_tubelet_has_finite_targets(kind):
    flat = torch.full((1, 1, 3 * PIXELS), 7, dtype=torch.uint8)
    assert pixel_targets(flat, kind, MEAN, STD).isfinite().all()


def test_the_loss_is_over_hidden_tokens_alone():
    autoencoder, batch = small_autoencoder(), small_batch()
    tubelets = patchify(batch.video_BTCHW.transpose(1, 2), autoencoder.encoder.tubelet)
    video = autoencoder.normalizer(batch.video_BTCHW)
    losses = []
    for mask in batch.masks:
        _, predicted = autoencoder.forward_context(video, mask)
        errors = []
        for clip in range(len(video)):
            for place, token in zip(mask.target_BM[clip].tolist(), predicted[clip], strict=True):
                wanted = torch.tensor(reference_targets(tubelets[clip, place], "tubelet"))
                errors.append((token - wanted).square().mean())
        losses.append(torch.stack(errors).mean())
    torch.testing.assert_close(autoencoder(batch)["loss"], torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter():
    autoencoder = small_autoencoder()
    autoencoder(small_batch())["loss"].backward()
    for name, parameter in autoencoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_hidden_pixels_never_reach_the_encoder():
    autoencoder, batch = small_autoencoder().eval(), small_batch(clips=1)
    mask = batch.masks[0]
    video = autoencoder.normalizer(batch.video_BTCHW)
    changed = video.clone()
    hidden = sorted(set(range(36)) - set(mask.context_BK[0].tolist()))
    for n in hidden:
        t, h, w = n // 9, n // 3 % 3, n % 3
        changed[:, :, 2 * t : 2 * t + 2, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8] = 9.0
    before, after = (autoencoder.forward_context(x, mask)[1] for x in (video, changed))
    assert torch.equal(before, after)


def test_a_separate_video_for_a_target_encoder_is_refused():
    batch = small_batch()
    with pytest.raises(ValueError, match="has no target encoder"):
        small_autoencoder()(replace(batch, target_video_BTCHW=batch.video_BTCHW))
