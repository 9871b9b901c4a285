"""Stems: the convolutional one against plain calls of torch, and that it sees nothing that is hidden."""

import itertools

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.models.builders import small_encoder
from vjepa.config import EncoderConfig
from vjepa.grid import Tubelet
from vjepa.layers.stem import ConvolutionalStem, build_stem
from vjepa.layers.tubelet import TubeletEmbed
from vjepa.tokens import gather_tokens, patchify, unpatchify

SIZES = [Tubelet(t, side, side) for t, side in itertools.product((1, 2, 4), (4, 8, 14, 16))]


def stem_of(kind, tubelet, embed_dim=20, channels=3):
    """A stem whose numbers are all far from zero, so that each of them has an effect."""
    torch.manual_seed(0)
    stem = build_stem(kind, embed_dim, Tubelet(*tubelet), channels)
    for parameter in stem.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return stem


def plain(stem, block_CTHW, widths):
    """Xiao et al. (arXiv 2106.14881), written out for a single tubelet, with the norm of one sample.

    The pixels are continued beyond the border by the border itself, and the maps by zeros.
    """
    around = torch.cat([block_CTHW[..., :1, :], block_CTHW, block_CTHW[..., -1:, :]], dim=-2)
    around = torch.cat([around[..., :1], around, around[..., -1:]], dim=-1)
    frames = block_CTHW.shape[1]
    out = F.conv3d(around[None], stem.first.weight, stem.first.bias, stride=(frames, 2, 2))[0, :, 0]
    for number, width in enumerate(widths):
        if number > 0:
            conv = stem.convolutions[number - 1]
            out = F.conv2d(F.pad(out, (1, 1, 1, 1)), conv.weight, conv.bias, stride=2)
        assert len(out) == width
        standard = (out - out.mean()) / (out.var(correction=0) + 1e-6).sqrt()
        norm = stem.norms[number]
        out = F.gelu(standard * norm.weight[:, None, None] + norm.bias[:, None, None])
    return stem.last.weight @ out.flatten() + stem.last.bias


@pytest.mark.parametrize(
    ("tubelet", "widths"),
    [
        ((1, 4, 4), [10, 20]),
        ((4, 8, 8), [5, 10, 20]),
        ((2, 14, 14), [3, 5, 10, 20]),
        ((2, 16, 16), [3, 5, 10, 20]),
        ((2, 4, 12), [10, 20]),  # until the shorter side is one
    ],
)
def test_a_token_is_that_of_plain_convolutions(tubelet, widths):
    stem = stem_of("convolutional", tubelet)
    t, h, w = tubelet
    video = torch.randn(2, 3, 2 * t, 2 * h, 3 * w)
    tokens = stem(video).unflatten(1, (2, 2, 3))
    for clip, time, row, column in ((0, 0, 0, 0), (0, 0, 1, 2), (1, 1, 0, 1)):
        block = video[clip, :, time * t :, row * h :, column * w :][:, :t, :h, :w]
        expected = plain(stem, block, widths)
        torch.testing.assert_close(tokens[clip, time, row, column], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tubelet", SIZES, ids=str)
def test_a_token_sees_every_pixel_of_its_tubelet_and_no_other(tubelet):
    stem = stem_of("convolutional", tubelet)
    video = torch.randn(1, 2 + 1, 2 * tubelet.t, 2 * tubelet.h, 2 * tubelet.w, requires_grad=True)
    tokens = stem(video)
    assert tokens.shape == (1, 8, 20)
    tokens[0, 5].square().sum().backward()
    seen = patchify(video.grad, tubelet)[0]
    assert (seen[5] != 0).all()
    assert not seen[[0, 1, 2, 3, 4, 6, 7]].any()


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
@pytest.mark.parametrize("image_tokenizer", [False, True])
def test_hidden_pixels_reach_no_token_of_the_context(stem, image_tokenizer):
    """Changing every pixel outside the kept tubelets changes no bit, of the stem and of the encoder."""
    encoder = small_encoder(stem=stem, image_tokenizer=image_tokenizer)
    for frames in (4, 1):
        # An image is one frame deep for its own tokenizer, and a still video for any other.
        tubelet = encoder.tubelet._replace(t=1) if frames == 1 else encoder.tubelet
        video = torch.randn(2, 3, frames, 32, 32)
        tubelets = patchify(video, tubelet)
        keep = torch.stack([torch.randperm(tubelets.shape[1])[:7] for _ in range(2)])
        other = torch.randn_like(tubelets)
        other.scatter_(1, keep[..., None].expand(-1, -1, tubelets.shape[-1]), gather_tokens(tubelets, keep))
        altered = unpatchify(other, tubelet.grid_of(frames, 32, 32), tubelet)
        assert not torch.equal(altered, video)
        parts = [encoder.embed_tubelets(each, keep, is_image=frames == 1) for each in (video, altered)]
        assert torch.equal(*parts)
        assert torch.equal(encoder(video, keep), encoder(altered, keep))


@pytest.mark.parametrize("tubelet", [(2, 8, 8), (1, 14, 14)])
def test_the_context_alone_has_the_tokens_that_it_has_among_all(tubelet):
    stem = stem_of("convolutional", tubelet)
    video = torch.randn(2, 3, 4 * tubelet[0], 3 * tubelet[1], 3 * tubelet[2])
    keep = torch.stack([torch.randperm(36)[:11] for _ in range(2)])
    torch.testing.assert_close(stem(video, keep), gather_tokens(stem(video), keep), atol=1e-6, rtol=1e-6)


def flops(stem, video, keep):
    with FlopCounterMode(display=False) as counter:
        stem(video, keep)
    return counter.get_total_flops()


def test_the_cost_falls_with_the_tokens_that_are_hidden():
    """Counted on the meta device as in a run's summary; all tokens by hand."""
    with torch.device("meta"):
        stem = ConvolutionalStem(32, Tubelet(2, 8, 8))
        video, keep = torch.empty(3, 3, 4, 32, 32), torch.empty(3, 4, dtype=torch.long)
        per_token = [16 * 9 * 3 * 2 * 8, 4 * 9 * 8 * 16, 9 * 16 * 32, 32 * 32]
        assert flops(stem, video, None) == 2 * 3 * 32 * sum(per_token)
        assert flops(stem, video, keep) == flops(stem, video, None) / 8


@pytest.mark.parametrize("positions", ["rotary", "sincos"])
def test_one_frame_is_a_still_video(positions):
    encoder = small_encoder(stem="convolutional", positions=positions)
    image = torch.randn(1, 3, 1, 16, 16)
    assert torch.equal(encoder(image), encoder(image.expand(-1, -1, 2, -1, -1)))


def test_an_image_tokenizer_has_convolutions_of_its_own():
    encoder = small_encoder(stem="convolutional", image_tokenizer=True)
    image = torch.randn(1, 3, 1, 16, 16)
    before = encoder(image), encoder(image.expand(-1, -1, 2, -1, -1))
    torch.nn.init.zeros_(encoder.image_embed.last.weight)
    after = encoder(image), encoder(image.expand(-1, -1, 2, -1, -1))
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_a_linear_stem_is_the_default():
    default, linear = small_encoder(), small_encoder(stem="linear")
    assert type(default.patch_embed) is TubeletEmbed
    assert EncoderConfig().stem == "linear"
    video = torch.randn(1, 3, 2, 16, 16)
    assert torch.equal(default(video), linear(video))


@pytest.mark.parametrize("tubelet", [(2, 2, 8), (1, 16, 3), (4, 1, 1)])
def test_tubelets_that_are_a_single_kernel_are_refused(tubelet):
    shown = f"{tubelet[1]} x {tubelet[2]}"
    with pytest.raises(ValueError, match=f"patches of {shown} pixels twice: give .* 4 rows and columns"):
        small_encoder(stem="convolutional", tubelet=tubelet)
    with pytest.raises(ValueError, match=r"encoder\.tubelet is .*: give 4 or more of each, or a linear"):
        EncoderConfig(stem="convolutional", tubelet=tubelet)
    small_encoder(tubelet=tubelet)
    EncoderConfig(tubelet=tubelet)


def test_a_stem_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="stem is 'hybrid': give 'linear' or 'convolutional'"):
        small_encoder(stem="hybrid")


@pytest.mark.parametrize(
    ("video", "remedy"),
    [
        (torch.zeros(1, 4, 2, 8, 8), r"give \(B, 3, T, H, W\)"),
        (torch.zeros(1, 3, 2, 8, 8, dtype=torch.uint8), "the model's normalizer makes them"),
        (torch.zeros(1, 3, 2, 12, 8), "resize or crop"),
    ],
)
def test_videos_that_do_not_fit_are_refused_as_by_the_linear_stem(video, remedy):
    with pytest.raises(ValueError, match=remedy):
        small_encoder(stem="convolutional")(video)


def test_weights_of_lower_precision_take_pixels_of_full_precision():
    stem = stem_of("convolutional", (2, 8, 8))
    video = torch.randn(1, 3, 2, 16, 16)
    expected = stem(video)
    reduced = stem.to(torch.bfloat16)(video)
    assert reduced.dtype == torch.bfloat16
    assert (reduced - expected).norm() < 0.05 * expected.norm()
