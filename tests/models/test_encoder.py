import pytest
import torch
from torch.nn import functional as F

from tests.models.builders import small_encoder
from vjepa.grid import Grid, Tubelet
from vjepa.layers.attention import RotaryAttention, rotate
from vjepa.layers.positions import grid_coordinates, rotary_table, sincos_table
from vjepa.layers.tubelet import TubeletEmbed
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.models.sizes import SIZES
from vjepa.tokens import gather_tokens, patchify, unpatchify


def test_token_order_is_time_row_column():
    grid = Grid(2, 3, 4)
    coordinates = grid_coordinates(grid)
    for t, h, w in [(0, 0, 0), (0, 1, 2), (1, 2, 3)]:
        assert coordinates[(t * 3 + h) * 4 + w].tolist() == [t, h, w]


@pytest.mark.parametrize("tubelet", [Tubelet(1, 8, 8), Tubelet(2, 4, 8), Tubelet(4, 16, 2)])
def test_patchify_round_trip(tubelet):
    video = torch.randn(2, 5, 4, 16, 32)
    grid = tubelet.grid_of(4, 16, 32)
    tubelets = patchify(video, tubelet)
    assert tubelets.shape == (2, grid.size, 5 * tubelet.t * tubelet.h * tubelet.w)
    assert torch.equal(unpatchify(tubelets, grid, tubelet), video)


def test_embedding_is_the_strided_convolution():
    embed = TubeletEmbed(24, Tubelet(2, 8, 8))
    video = torch.randn(2, 3, 4, 16, 24)
    expected = embed.proj(video).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(video), expected, atol=1e-5, rtol=1e-5)


def test_hidden_tubelets_are_not_seen():
    """Changing every pixel outside the kept tubelets changes no bit."""
    encoder = small_encoder()
    video = torch.randn(2, 3, 4, 32, 32)
    keep = torch.stack([torch.randperm(32)[:7] for _ in range(2)])
    tubelets = patchify(video, encoder.tubelet)
    other = torch.randn_like(tubelets)
    other.scatter_(1, keep[..., None].expand(-1, -1, tubelets.shape[-1]), gather_tokens(tubelets, keep))
    altered = unpatchify(other, encoder.grid_of(video), encoder.tubelet)
    assert not torch.equal(altered, video)
    assert torch.equal(encoder(video, keep), encoder(altered, keep))


def test_keeping_all_tokens_is_seeing_all():
    encoder, video = small_encoder(), torch.randn(2, 3, 4, 32, 32)
    everything = torch.arange(32).expand(2, -1)
    torch.testing.assert_close(encoder(video, everything), encoder(video), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["rotary", "sincos"])
def test_order_of_kept_tokens_does_not_matter(positions):
    encoder, video = small_encoder(positions=positions), torch.randn(1, 3, 4, 32, 32)
    keep, order = torch.randperm(32)[None, :12], torch.randperm(12)
    torch.testing.assert_close(
        encoder(video, keep)[:, order], encoder(video, keep[:, order]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("frames", "height", "width"), [(2, 8, 8), (6, 24, 16), (4, 16, 40), (1, 16, 8)])
@pytest.mark.parametrize("positions", ["rotary", "sincos"])
def test_any_size(frames, height, width, positions):
    tokens = small_encoder(positions=positions)(torch.randn(1, 3, frames, height, width))
    assert tokens.shape == (1, max(frames // 2, 1) * (height // 8) * (width // 8), 48)
    assert tokens.isfinite().all()


def test_one_frame_is_a_still_video():
    encoder, image = small_encoder(), torch.randn(1, 3, 1, 16, 16)
    assert torch.equal(encoder(image), encoder(image.expand(-1, -1, 2, -1, -1)))


def test_any_number_of_channels():
    assert small_encoder(channels=12)(torch.randn(1, 12, 2, 8, 8)).shape == (1, 1, 48)
    with pytest.raises(ValueError, match="give \\(B, 12, T, H, W\\)"):
        small_encoder(channels=12)(torch.randn(1, 3, 2, 8, 8))


@pytest.mark.parametrize(
    ("shape", "remedy"), [((1, 3, 3, 8, 8), "multiple of 2"), ((1, 3, 2, 12, 8), "resize or crop")]
)
def test_sizes_that_tubelets_cannot_tile_are_refused(shape, remedy):
    with pytest.raises(ValueError, match=remedy):
        small_encoder()(torch.randn(shape))


def complex_rotation(x_Nd, table_N2d):
    """An independent rotation: each neighbouring pair as a complex number."""
    cosine, signed_sine = table_N2d.chunk(2, dim=-1)
    angle = torch.complex(cosine[:, 1::2], signed_sine[:, 1::2])
    return torch.view_as_real(torch.view_as_complex(x_Nd.unflatten(-1, (-1, 2))) * angle).flatten(-2)


def scores(query_d, key_d, table_N2d, grid):
    """Products of one query and one key at all pairs of places."""
    query, key = (rotate(vector.expand(grid.size, -1), table_N2d) for vector in (query_d, key_d))
    return (query @ key.T).view(*grid, *grid)


def test_interleaved_rotary_positions_are_shift_invariant():
    """Scores depend on differences of positions alone, along each axis; tiled ones do not."""
    torch.manual_seed(0)
    grid = Grid(5, 6, 7)
    table, query, key = rotary_table(grid, 32, "interleave"), torch.randn(32), torch.randn(32)
    everywhere = query.repeat(grid.size, 1)
    torch.testing.assert_close(rotate(everywhere, table), complex_rotation(everywhere, table))

    turned = scores(query, key, table, grid)
    torch.testing.assert_close(turned[0, 0, 0, 2, 3, 4], turned[2, 1, 2, 4, 4, 6], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned[1, 1, 1, 0, 0, 0], turned[4, 5, 6, 3, 4, 5], atol=1e-4, rtol=1e-4)

    tiled = scores(query, key, rotary_table(grid, 32, "tile"), grid)
    assert (tiled[0, 0, 0, 2, 3, 4] - tiled[2, 1, 2, 4, 4, 6]).abs() > 1e-3


def test_attention_is_timm_s():
    """The same parameters and the same numbers as the block that it speeds up."""
    from timm.layers.attention import AttentionRope

    torch.manual_seed(0)
    theirs, ours = AttentionRope(48, 4, num_prefix_tokens=0), RotaryAttention(48, 4, num_prefix_tokens=0)
    ours.load_state_dict(theirs.state_dict())
    tokens, table = torch.randn(2, 24, 48), rotary_table(Grid(2, 3, 4), 12)
    cosine, signed_sine = table.chunk(2, dim=-1)
    sine = signed_sine * torch.tensor([-1.0, 1.0]).repeat(6)
    expected = theirs(tokens, rope=torch.cat([sine, cosine], dim=-1))
    torch.testing.assert_close(ours(tokens, rope=table[None]), expected, atol=1e-5, rtol=1e-5)


def test_sincos_table_against_a_loop():
    """V-JEPA's uniform_power table, written as its definition reads."""
    import math

    grid, embed_dim = Grid(2, 3, 2), 20
    per_axis = 2 * math.ceil(embed_dim / 6)
    rows = []
    for t in range(grid.t):
        for h in range(grid.h):
            for w in range(grid.w):
                row = []
                for place in (t, h, w):
                    angles = [place / 10000 ** (i / (per_axis / 2)) for i in range(per_axis // 2)]
                    row += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
                rows.append(row[:embed_dim])
    torch.testing.assert_close(sincos_table(grid, embed_dim), torch.tensor(rows))


@pytest.mark.parametrize("size", SIZES)
def test_sizes_build_and_their_names_hold(size):
    """Published parameter counts, in millions, plus the longer tubelet of video (tiny)."""
    published = {
        "tiny": 5.6,
        "small": 22,
        "base": 86,
        "large": 304,
        "huge": 632,
        "giant": 1012,
        "gigantic": 1843,
    }
    with torch.device("meta"):
        encoder = VideoEncoder(**SIZES[size]._asdict())
    millions = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    if size in published:
        assert millions == pytest.approx(published[size], rel=0.05)


def test_checkpointed_activations_change_no_gradient():
    video = torch.randn(1, 3, 4, 16, 16)
    gradients = []
    for enable in (False, True):
        encoder = small_encoder()
        encoder.set_grad_checkpointing(enable)
        encoder(video).square().mean().backward()
        gradients.append(encoder.patch_embed.proj.weight.grad)
    assert torch.equal(*gradients)


def small_predictor(**changes):
    torch.manual_seed(0)
    arguments = {
        "in_dim": 48,
        "out_dim": 48,
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 2,
        "num_mask_tokens": 2,
    }
    return Predictor(**{**arguments, **changes}).eval()


def test_predictions_do_not_depend_on_the_order_of_the_context():
    predictor = small_predictor()
    tokens, index = torch.randn(1, 9, 48), torch.randperm(32)[None]
    order = torch.randperm(9)
    context, target = index[:, :9], index[:, 9:20]
    expected = predictor(tokens, context, target, Grid(2, 4, 4))
    actual = predictor(tokens[:, order], context[:, order], target, Grid(2, 4, 4))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_mask_tokens_are_told_apart_and_counted():
    predictor = small_predictor()
    torch.nn.init.normal_(predictor.mask_tokens)
    tokens, context, target = torch.randn(1, 4, 48), torch.arange(4)[None], torch.arange(4, 9)[None]
    first, second = (predictor(tokens, context, target, Grid(2, 4, 4), mask_token=n) for n in (0, 1))
    assert not torch.allclose(first, second)
    with pytest.raises(ValueError, match="has 2, counted from 0"):
        predictor(tokens, context, target, Grid(2, 4, 4), mask_token=2)


def test_a_predictor_can_give_pixels():
    """The decoder of a masked auto-encoder is the same class."""
    decoder = small_predictor(out_dim=3 * 2 * 8 * 8, num_mask_tokens=1)
    out = decoder(torch.randn(1, 4, 48), torch.arange(4)[None], torch.arange(4, 9)[None], Grid(2, 4, 4))
    assert out.shape == (1, 5, 384)
    F.mse_loss(out, torch.zeros_like(out)).backward()
    assert decoder.mask_tokens.grad.abs().sum() > 0
