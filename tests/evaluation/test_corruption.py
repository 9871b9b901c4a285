"""Corruptions do what their names say, and retrieval counts what is recognised."""

import pytest
import torch

from vjepa.evaluation.corruption import CORRUPTIONS, corrupt, recognise_corrupted, recognised


def smooth_clip(seed=0, channels=3):
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, channels, 4, 4, generator=draws) * 120 + 60
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear").to(torch.uint8)


def error_of(kind, strength, seed=0):
    clip = smooth_clip(seed)
    return (corrupt(clip, kind, strength, seed).float() - clip.float()).square().mean().sqrt()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_strengths_go_from_slight_to_severe(kind):
    errors = [error_of(kind, strength) for strength in CORRUPTIONS[kind]]
    assert errors[0] < errors[1] < errors[2]
    assert corrupt(smooth_clip(), kind, CORRUPTIONS[kind][0], 0).dtype == torch.uint8


def test_noise_and_darkness_have_the_stated_strength():
    assert error_of("noise", 10) == pytest.approx(10, rel=0.05)
    clip = smooth_clip()
    assert torch.equal(corrupt(clip, "darkness", 0.5, 0), (clip * 0.5).round().to(torch.uint8))
    assert torch.equal(corrupt(clip, "noise", 10, 3), corrupt(clip, "noise", 10, 3))


def test_blur_is_a_gaussian_of_the_stated_width():
    clip = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    clip[0, 0, :, 16:] = 200  # an edge, whose blurred form is the Gaussian's distribution function
    row = corrupt(clip, "blur", 2 / 33, 0)[0, 0, 16].float() / 200
    places = torch.arange(33) - 15.5
    assert row.numpy() == pytest.approx((0.5 + 0.5 * torch.erf(places / 8**0.5)).numpy(), abs=0.03)


def test_clips_are_recognised_by_the_direction_from_the_mean():
    draws = torch.Generator().manual_seed(0)
    clean = torch.randn(6, 8, generator=draws) + 5
    nearer = clean + 0.01 * torch.randn(6, 8, generator=draws)
    assert recognised(clean, nearer).all()
    assert recognised(clean, nearer.roll(1, dims=0)).sum() == 0


def test_an_encoder_that_ignores_the_corruption_recognises_all():
    clips = torch.stack([smooth_clip(seed) for seed in range(5)])
    encoders = {
        "low waves": lambda video: (
            video.float().mean(dim=(1, 2)).reshape(len(video), 4, 8, 4, 8).mean((2, 4)).flatten(1)
        ),
        "blind": lambda video: torch.ones(len(video), 3),
    }
    report = recognise_corrupted(encoders, clips, batch=2)
    assert set(report) == set(CORRUPTIONS)
    for strength, found in report["noise"].items():
        assert found["low waves"].value == 1, strength
        assert found["blind"].value <= 0.2
    assert "jpeg" not in recognise_corrupted({"low waves": encoders["low waves"]}, clips[:, :, :2])
