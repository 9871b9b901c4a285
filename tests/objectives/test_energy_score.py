"""Losses of several futures: against a plain loop, and for what makes them worth having."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.objectives.builders import futures_batch, futures_jepa, small_batch, small_jepa
from vjepa.data.collate import MaskCollator
from vjepa.data.dataset import Sample
from vjepa.data.sampling import SampleKey
from vjepa.masks.multiblock import MultiBlock
from vjepa.objectives.batch_metric import of_whole_batch
from vjepa.objectives.context_loss import ContextLoss
from vjepa.objectives.energy_score import Futures, energy_score, token_spread
from vjepa.recipes.pretrain.config import ContextLossConfig, FuturesConfig, ObjectiveConfig


def distance(first, second):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / len(first))


def reference_scores(samples, target):
    """The paper's sum, one clip, one token and one pair at a time."""
    scores = torch.zeros(target.shape[:2])
    for b, m in np.ndindex(*target.shape[:2]):
        tokens, truth = [sample[m].tolist() for sample in samples[b]], target[b, m].tolist()
        count = len(tokens)
        error = sum(distance(token, truth) for token in tokens) / count
        pairs = sum(distance(one, other) for one in tokens for other in tokens if one is not other)
        scores[b, m] = error - pairs / (2 * count * (count - 1))
    return scores


def drawn(clips=3, samples=4, tokens=5, embed_dim=6):
    torch.manual_seed(0)
    return torch.randn(clips, samples, tokens, embed_dim), torch.randn(clips, tokens, embed_dim)


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_the_energy_score_is_the_papers(samples):
    predicted, target = drawn(samples=samples)
    expected = reference_scores(predicted, target)
    torch.testing.assert_close(energy_score(predicted, target), expected)
    torch.testing.assert_close(Futures("energy")(predicted, target)[0], expected.mean())


def test_the_score_estimates_that_of_the_distribution_for_any_number_of_samples():
    """Of a standard normal about 0, with one dimension.

    E|x| - E|x - x'| / 2 = sqrt(2 / pi) - 1 / sqrt(pi).
    """
    torch.manual_seed(0)
    for samples in (2, 8):
        predicted, target = torch.randn(40_000, samples, 1, 1), torch.zeros(40_000, 1, 1)
        expected = math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi)
        assert energy_score(predicted, target).mean().item() == pytest.approx(expected, abs=0.01)


def test_samples_that_could_be_the_truth_have_relative_spread_one():
    torch.manual_seed(0)
    everything = torch.randn(2000, 5, 3, 8)
    predicted, target = everything[:, :4], everything[:, 4]
    alike = predicted[:, :1].expand(-1, 4, -1, -1)
    relative_spreads = []
    for samples in (predicted, predicted / 2, alike):
        _, spread, error = Futures()(samples, target)
        relative_spreads.append((spread / error).item())
    assert relative_spreads[0] == pytest.approx(1, abs=0.02)
    assert relative_spreads[1] < 0.7
    assert relative_spreads[2] == 0


def fitted(loss, samples=16, steps=300):
    """Free samples of one number, fitted to a truth that is -1 or 1, three times of four the latter."""
    generator = torch.Generator().manual_seed(0)
    points = (0.3 * torch.randn(samples, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.03)
    truth = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    for _ in range(steps):
        optimizer.zero_grad()
        predicted = points.view(1, samples, 1, 1).expand(4, -1, -1, -1)
        loss(predicted, truth.view(4, 1, 1)).backward()
        optimizer.step()
    return points.detach()


def test_the_energy_score_recovers_two_futures_and_how_often_each_comes():
    points = fitted(lambda predicted, target: Futures("energy")(predicted, target)[0])
    assert ((points.abs() - 1).abs() < 0.1).float().mean() > 0.8
    assert (points > 0).float().mean().item() == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize(("power", "point"), [(1, 1.0), (2, 0.5)])
def test_a_distance_gives_one_point(power, point):
    """The median or the mean, whatever the number of samples."""
    points = fitted(lambda predicted, target: (predicted - target.unsqueeze(1)).abs().pow(power).mean())
    torch.testing.assert_close(points, torch.full_like(points, point), atol=0.1, rtol=0)


def test_the_best_sample_alone_learns():
    predicted, target = drawn()
    predicted.requires_grad_()
    loss, _, _ = Futures("best")(predicted, target)
    loss.backward()
    errors = (predicted - target.unsqueeze(1)).square().mean(dim=-1).sqrt().mean(dim=-1)
    torch.testing.assert_close(loss, errors.amin(dim=1).mean())
    learns = predicted.grad.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(learns, torch.nn.functional.one_hot(errors.argmin(dim=1), 4).bool())


def test_equal_samples_have_finite_gradients():
    predicted, target = torch.zeros(2, 3, 4, 5, requires_grad=True), torch.zeros(2, 4, 5)
    energy_score(predicted, target).mean().backward()
    assert predicted.grad.isfinite().all()


def test_one_sample_has_no_spread():
    with pytest.raises(ValueError, match="give 2 or more"):
        token_spread(torch.zeros(2, 1, 4, 5))


def test_the_loss_of_a_jepa_is_the_score_of_its_samples():
    jepa, batch = futures_jepa(), futures_batch()
    video = jepa.normalizer(batch.video_BTCHW)
    grid, (_, target) = jepa.encoder.grid_of(video), jepa.forward_target(video)
    losses = []
    for number, mask in enumerate(batch.masks):
        tokens = jepa.encoder(video, mask.context_BK)
        samples = [
            jepa.predictor(
                tokens, mask.context_BK, mask.target_BM, grid, number, noise_BZ=batch.noise_BsZ[:, r]
            )
            for r in range(4)
        ]
        wanted = torch.stack([target[b, mask.target_BM[b]] for b in range(3)])
        losses.append(reference_scores(torch.stack(samples, dim=1), wanted).mean())
    outputs = jepa(batch)
    torch.testing.assert_close(outputs["loss"], torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)
    assert torch.equal(jepa(batch)["loss"], outputs["loss"])


def test_the_same_noise_gives_the_same_future():
    jepa, batch = futures_jepa(), futures_batch()
    alike = batch.noise_BsZ[:, :1].expand(-1, 4, -1)
    spread = of_whole_batch([jepa(replace(batch, noise_BsZ=alike))["relative_spread"]], lambda means: means)
    assert spread.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("score", ["energy", "best"])
def test_gradients_reach_all_trained_parts(score):
    jepa = futures_jepa(score)
    jepa(futures_batch())["loss"].backward()
    for name, parameter in jepa.named_parameters():
        if not name.startswith("target_encoder"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_several_futures_need_noise_and_nothing_that_is_seen():
    with pytest.raises(ValueError, match="give it a noise_BsZ"):
        futures_jepa()(small_batch())
    with pytest.raises(ValueError, match="futures is given with context_loss or future_loss"):
        small_jepa(futures=Futures(), context_loss=ContextLoss(0.5, (0, 0)))


def samples_of(serials):
    video = torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8)
    return [Sample(video, -1, "x", SampleKey(serial, 0, 0), ()) for serial in serials]


def test_noise_belongs_to_the_clip_however_batches_are_cut():
    collate = MaskCollator([MultiBlock(num_blocks=1)], (2, 8, 8), seed=0, noise=(3, 5))
    whole, part = collate(samples_of(range(64))).noise_BsZ, collate(samples_of([7, 9])).noise_BsZ
    assert whole.shape == (128, 3, 5)
    assert torch.equal(part, whole[[14, 15, 18, 19]])
    assert len(whole.flatten().unique()) == whole.numel()
    assert (whole.mean().item(), whole.std().item()) == (
        pytest.approx(0, abs=0.1),
        pytest.approx(1, abs=0.1),
    )
    assert MaskCollator([MultiBlock(num_blocks=1)], (2, 8, 8), seed=0)(samples_of([7])).noise_BsZ is None


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"predict": "pixels"}, "leave futures out"),
        ({"target_encoder": "none", "vicreg": {}}, "give ema, frozen or init"),
        ({"context_loss": ContextLossConfig()}, "leave one of the two out"),
    ],
)
def test_a_configuration_without_several_futures_is_refused(changes, remedy):
    with pytest.raises(ValueError, match=remedy):
        ObjectiveConfig(futures=FuturesConfig(), **changes)


@pytest.mark.parametrize("changes", [{"samples": 1}, {"noise": 0}])
def test_futures_that_are_one_are_refused(changes):
    with pytest.raises(ValueError, match="or more"):
        FuturesConfig(**changes)
