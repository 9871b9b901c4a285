"""What only the predictor does: groups of targets, tokens without a position, noise, copies."""

import pytest
import torch
from numpy.random import default_rng

from vjepa.grid import Grid
from vjepa.layers.targets import PredictionTargets
from vjepa.masks.future import FutureMask
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor, predict_samples
from vjepa.tokens import gather_last_seen

GRID = Grid(1, 4, 4)


def small_predictor(positions="rotary"):
    torch.manual_seed(0)
    return Predictor(in_dim=24, out_dim=24, embed_dim=24, depth=2, num_heads=2, positions=positions).eval()


def test_groups_are_predicted_as_if_the_others_were_not_there():
    predictor, tokens = small_predictor(), torch.randn(3, 5, 24)
    context = torch.stack([torch.randperm(16)[:5] for _ in range(3)])
    blocks = [torch.stack([torch.randperm(16)[:4] for _ in range(3)]) for _ in range(4)]
    together = predictor(tokens, context, torch.cat(blocks, dim=1), GRID, groups=4)
    apart = [predictor(tokens, context, block, GRID) for block in blocks]
    torch.testing.assert_close(together, torch.cat(apart, dim=1))
    without_groups = predictor(tokens, context, torch.cat(blocks, dim=1), GRID)
    assert not torch.allclose(together, without_groups, atol=1e-4)


@pytest.mark.parametrize("positions", ["rotary", "sincos", "sincos_plane", "sinusoid"])
def test_a_token_in_front_has_no_position_and_is_seen(positions):
    predictor, tokens = small_predictor(positions), torch.randn(2, 6, 24)
    context, target = torch.arange(5).expand(2, -1), torch.arange(8, 12).expand(2, -1)
    with_front = predictor(tokens, context, target, GRID)
    assert with_front.shape == (2, 4, 24)
    assert not torch.allclose(with_front, predictor(tokens[:, 1:], context, target, GRID), atol=1e-4)
    # Moving the whole grid by a row moves nothing that is in front, so only absolute positions notice.
    moved = predictor(tokens, context + 4, target + 4, GRID)
    if positions != "rotary":
        assert not torch.allclose(moved, with_front, atol=1e-4)


@pytest.mark.parametrize("positions", ["rotary", "sincos", "sincos_plane", "sinusoid"])
@pytest.mark.parametrize("class_token", [False, True])
def test_an_encoder_gives_one_token_a_place(positions, class_token):
    torch.manual_seed(0)
    encoder = VideoEncoder(
        embed_dim=24, depth=2, num_heads=2, tubelet=(2, 8, 8), positions=positions, class_token=class_token
    ).eval()
    video, keep = torch.randn(2, 3, 4, 32, 32), torch.stack([torch.randperm(32)[:7] for _ in range(2)])
    assert encoder(video).shape == (2, 32, 24)
    assert encoder(video, keep).shape == (2, 7, 24)
    assert encoder(video, keep, class_token=True).shape == (2, 7 + class_token, 24)
    everything = torch.arange(32).expand(2, -1)
    torch.testing.assert_close(encoder(video, everything), encoder(video), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("positions", ["rotary", "sinusoid"])
def test_a_causal_encoder_never_sees_what_comes_later(positions):
    torch.manual_seed(0)
    encoder = VideoEncoder(
        embed_dim=24, depth=2, num_heads=2, tubelet=(2, 8, 8), positions=positions, causal=True
    ).eval()
    video = torch.randn(2, 3, 8, 16, 16)
    changed = video.clone()
    changed[:, :, 4:] = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(encoder(video)[:, :8], encoder(changed)[:, :8])
    assert not torch.allclose(encoder(video)[:, 8:], encoder(changed)[:, 8:], atol=1e-3)
    keep = torch.tensor([[1, 3, 6, 9, 12], [0, 2, 7, 8, 15]])
    early = keep < 8
    assert torch.equal(encoder(video, keep)[early], encoder(changed, keep)[early])
    assert not torch.allclose(encoder(video, keep)[~early], encoder(changed, keep)[~early], atol=1e-3)


def test_a_causal_encoder_has_no_place_for_a_class_token():
    encoder = VideoEncoder(
        embed_dim=24, depth=1, num_heads=2, tubelet=(2, 8, 8), causal=True, class_token=True
    )
    with pytest.raises(ValueError, match="leave the class token out"):
        encoder(torch.randn(1, 3, 4, 16, 16))


def noisy_predictor(**changes):
    torch.manual_seed(0)
    return Predictor(
        in_dim=24, out_dim=24, embed_dim=24, depth=2, num_heads=2, **{"noise_dim": 7, **changes}
    ).eval()


def places():
    return torch.arange(5).expand(3, -1), torch.arange(8, 16).expand(3, -1)


@pytest.mark.parametrize("residual", [False, True])
def test_one_pass_over_a_clip_gives_the_prediction_of_each_time_step_from_those_before_it(residual):
    torch.manual_seed(0)
    encoder = VideoEncoder(embed_dim=24, depth=2, num_heads=2, tubelet=(1, 4, 4), causal=True).eval()
    predictor = Predictor(
        in_dim=24, out_dim=24, embed_dim=24, depth=2, num_heads=2, residual=residual, causal=True
    ).eval()
    torch.nn.init.normal_(predictor.proj.weight)
    clip_BCTHW, targets = torch.randn(2, 3, 5, 8, 8), PredictionTargets("layer_norm", 24)
    mask = FutureMask(context=(0.4, 0.4), each_step=True).sample(Grid(5, 2, 2), [None, None], default_rng(0))
    context_BK, target_BM = map(torch.from_numpy, (mask.context_BK, mask.target_BM))
    tokens_BKD = encoder(clip_BCTHW, context_BK)
    together_BMD = predictor(tokens_BKD, context_BK, target_BM, Grid(5, 2, 2), targets=targets)
    for step, at_once_BSD in enumerate(together_BMD.unflatten(1, (3, 4)).unbind(1), start=2):
        # The encoder is given the past alone, and nothing is asked but the next time step.
        index_BN, past_BKD = torch.arange(4 * step + 4).expand(2, -1), encoder(clip_BCTHW[:, :, :step])
        alone_BSD = predictor(
            past_BKD, index_BN[:, :-4], index_BN[:, -4:], Grid(step + 1, 2, 2), targets=targets
        )
        torch.testing.assert_close(at_once_BSD, alone_BSD)


def test_noise_tells_predictions_of_a_clip_apart():
    predictor, tokens, noise = noisy_predictor(), torch.randn(3, 5, 24), torch.randn(3, 7)
    context, target = places()
    plain = predictor(tokens, context, target, GRID)
    assert torch.equal(predictor(tokens, context, target, GRID, noise_BZ=torch.zeros(3, 7)), plain)
    noisy = predictor(tokens, context, target, GRID, noise_BZ=noise)
    assert noisy.shape == plain.shape
    assert ((noisy - plain).abs().amax(dim=-1) > 1e-4).all()
    assert torch.equal(predictor(tokens, context, target, GRID, noise_BZ=noise), noisy)


def test_every_group_of_targets_is_of_the_same_future():
    predictor, tokens, noise = noisy_predictor(), torch.randn(3, 5, 24), torch.randn(3, 7)
    context, target = places()
    together = predictor(tokens, context, target, GRID, groups=2, noise_BZ=noise)
    apart = [predictor(tokens, context, block, GRID, noise_BZ=noise) for block in target.chunk(2, dim=1)]
    torch.testing.assert_close(together, torch.cat(apart, dim=1))


def test_samples_are_predictions_one_by_one():
    predictor, tokens, noise = noisy_predictor(), torch.randn(3, 5, 24), torch.randn(3, 4, 7)
    context, target = places()
    samples = predict_samples(predictor, tokens, context, target, GRID, noise, groups=2)
    assert samples.shape == (3, 4, 8, 24)
    for number in range(4):
        alone = predictor(tokens, context, target, GRID, groups=2, noise_BZ=noise[:, number])
        torch.testing.assert_close(samples[:, number], alone)


def test_without_a_noise_dim_nothing_is_new():
    predictor, noisy = small_predictor(), noisy_predictor()
    assert noisy.state_dict().keys() - predictor.state_dict().keys() == {"noise_proj.weight"}
    context, target = places()
    with pytest.raises(ValueError, match="build it with a noise_dim"):
        predictor(torch.randn(3, 5, 24), context, target, GRID, noise_BZ=torch.randn(3, 7))
    with pytest.raises(ValueError, match="noise_dim is 7; give as many"):
        noisy(torch.randn(3, 5, 24), context, target, GRID, noise_BZ=torch.randn(3, 6))


def residual_predictor(out_dim=24):
    torch.manual_seed(0)
    return Predictor(in_dim=24, out_dim=out_dim, embed_dim=16, depth=2, num_heads=2, residual=True).eval()


def test_a_place_was_last_seen_at_its_latest_earlier_step():
    """Against a search through the context, token by token."""
    grid, draws = Grid(5, 2, 3), torch.Generator().manual_seed(0)
    order = torch.stack([torch.randperm(grid.size, generator=draws) for _ in range(4)])
    context, target = order[:, :13], order[:, 13:]
    tokens = torch.randn(4, 13, 7, generator=draws)
    found = gather_last_seen(tokens, context, target, grid)
    plane, missing = grid.h * grid.w, 0
    for clip, row in enumerate(target.tolist()):
        for number, position in enumerate(row):
            earlier = [k for k in context[clip].tolist() if k % plane == position % plane and k < position]
            expected = torch.zeros(7)
            if earlier:
                expected = tokens[clip, context[clip].tolist().index(max(earlier))]
            assert torch.equal(found[clip, number], expected)
            missing += not earlier
    assert 0 < missing < target.numel()


@pytest.mark.parametrize("norm", ["layer_norm", "batch", "none"])
def test_an_untrained_residual_predictor_copies_what_it_saw_last(norm):
    """Bit for bit: every future step is the context's last one, as a target."""
    targets = PredictionTargets(norm, 24).eval()
    if norm == "batch":
        targets.mean_Y.normal_()
        targets.variance_Y.uniform_(0.5, 2.0)
    context, target = torch.arange(8).expand(3, -1), torch.arange(8, 16).expand(3, -1)
    tokens = torch.randn(3, 8, 24)
    predicted = residual_predictor()(tokens, context, target, Grid(4, 2, 2), targets=targets)
    last = tokens[:, 4:]
    if norm == "layer_norm":
        last = torch.nn.functional.layer_norm(last, (24,))
    elif norm == "batch":
        last = (last - targets.mean_Y) * (targets.variance_Y + 1e-5).rsqrt()
    assert torch.equal(predicted, torch.cat([last, last], dim=1))


def test_a_residual_predictor_gives_the_encoder_no_gradient_through_the_copy():
    predictor, targets = residual_predictor(), PredictionTargets("layer_norm", 24)
    tokens = torch.randn(3, 8, 24, requires_grad=True)
    context, target = torch.arange(8).expand(3, -1), torch.arange(8, 16).expand(3, -1)

    def loss():
        return predictor(tokens, context, target, Grid(4, 2, 2), targets=targets).square().sum()

    loss().backward()
    assert predictor.proj.weight.grad.abs().max() > 0  # it learns from the first step on
    assert not tokens.grad.any()
    torch.nn.init.normal_(predictor.proj.weight)
    loss().backward()
    assert tokens.grad.any()


def test_a_residual_predictor_needs_targets_like_its_tokens():
    with pytest.raises(ValueError, match=r"in_dim 24 and out_dim 12.*give equal widths"):
        residual_predictor(out_dim=12)
    context, target = places()
    with pytest.raises(ValueError, match="give targets"):
        residual_predictor()(torch.randn(3, 5, 24), context, target, GRID)
