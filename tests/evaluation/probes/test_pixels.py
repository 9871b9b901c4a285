"""A small decoder reads pixels out of frozen embeddings, and leaves the encoder alone."""

import math

import pytest
import torch

from vjepa.evaluation.probes.pixels import psnr, train_pixel_decoder
from vjepa.grid import Tubelet
from vjepa.models.encoder import VideoEncoder
from vjepa.tokens import patchify

TUBELET = Tubelet(2, 4, 4)


@pytest.fixture
def video_VTCHW():
    """Six clips, each of one brightness."""
    level_V = torch.tensor([0, 50, 100, 150, 200, 250], dtype=torch.uint8)
    return level_V[:, None, None, None, None].expand(-1, 4, 3, 8, 8).contiguous()


def test_nothing_reaches_the_encoder(video_VTCHW):
    """Not even where its parameters ask for gradients."""
    encoder = VideoEncoder(embed_dim=24, depth=1, num_heads=2, tubelet=TUBELET)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    train_pixel_decoder(lambda v: encoder(v.transpose(1, 2) / 255), video_VTCHW, TUBELET, seed=0, steps=5)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(*pair) for pair in zip(encoder.parameters(), before, strict=True))


def tokens_that_keep_all(video_BTCHW):
    return patchify(video_BTCHW.transpose(1, 2), TUBELET) / 255


def test_what_tokens_keep_is_found_and_what_they_drop_is_not(video_VTCHW):
    true_VNP = tokens_that_keep_all(video_VTCHW)
    kept = train_pixel_decoder(tokens_that_keep_all, video_VTCHW, TUBELET, seed=0, steps=120)
    assert psnr(kept(true_VNP), true_VNP) > 20
    nothing = torch.zeros_like(true_VNP)
    dropped = train_pixel_decoder(lambda v: nothing[: len(v)], video_VTCHW, TUBELET, seed=0, steps=120)
    best = psnr(true_VNP.mean(dim=0).expand_as(true_VNP), true_VNP)
    assert psnr(dropped(nothing), true_VNP) <= best + 1e-4


def test_the_seed_decides_and_the_caller_s_chance_stays(video_VTCHW):
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first, again, other = (
        train_pixel_decoder(tokens_that_keep_all, video_VTCHW, TUBELET, seed, steps=3) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.proj.weight, again.proj.weight)
    assert not torch.equal(first.proj.weight, other.proj.weight)
    assert first(torch.randn(1, 8, 96)).shape == (1, 8, 96)


def test_decibels():
    assert psnr(torch.zeros(4), torch.full((4,), 0.1)) == pytest.approx(20)
    assert psnr(torch.tensor([0.0, 0.5]), torch.tensor([0.0, 1.0])) == pytest.approx(10 * math.log10(8))
    assert psnr(torch.ones(3), torch.ones(3)) == math.inf
