"""k-NN, linear, attentive probes and regressions: what they must find, and what they must not."""

import pytest
import torch
from sklearn.linear_model import Ridge

from vjepa.data.splits import label_subset
from vjepa.evaluation.collapse import lidar
from vjepa.evaluation.probes.attentive import attentive_probe
from vjepa.evaluation.probes.knn import knn_probe
from vjepa.evaluation.probes.linear import STRENGTHS, linear_probe, ridge_path, ridge_regression

CLASSES = 3


def clusters(count, noise, seed, width=16):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = torch.eye(CLASSES, width)
    return centres[labels] + noise * torch.randn(count, width, generator=generator), labels


def one_telling_token(count, seed, tokens=8, width=16):
    """The class stands in one token at a random place, in a direction that its sign alone gives away."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    clip = 0.3 * torch.randn(count, tokens, width, generator=generator)
    place = torch.randint(tokens, (count,), generator=generator)
    clip[torch.arange(count), place, labels] += 4
    # What averaging cannot take away: the other tokens hold the other classes' directions, weakly.
    clip[:, :, :CLASSES] += 0.8 * torch.randn(count, tokens, 1, generator=generator)
    return clip, labels


@pytest.mark.parametrize("probe", [knn_probe, linear_probe])
def test_a_probe_finds_what_is_there_and_nothing_else(probe):
    assert probe(clusters(120, 0.2, 0), clusters(90, 0.2, 1)) > 0.95
    features, labels = clusters(120, 0.2, 0)
    shuffled = labels[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
    assert probe((features, shuffled), clusters(90, 0.2, 1)) < 0.55


@pytest.mark.parametrize("probe", [knn_probe, linear_probe])
def test_one_label_a_class_is_enough_to_run(probe):
    assert probe(clusters(CLASSES, 0.05, 0), clusters(90, 0.05, 1)) > 0.9


def test_the_attentive_probe_reads_tokens():
    train, test = one_telling_token(300, 0), one_telling_token(150, 1)
    assert attentive_probe(train, test, seed=0) > 0.9
    labels = train[1][torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    assert attentive_probe((train[0], labels), test, seed=0) < 0.5


@pytest.mark.parametrize("width", [200, 224])
def test_the_attentive_probe_takes_any_width(width):
    tokens, labels = torch.randn(6, 4, width), torch.arange(6) % 2
    assert 0 <= attentive_probe((tokens, labels), (tokens, labels), seed=0) <= 1


def test_the_attentive_probe_is_a_function_of_its_seed_and_disturbs_no_other():
    train, test = one_telling_token(60, 0), one_telling_token(60, 1)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = attentive_probe(train, test, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert attentive_probe(train, test, seed=3) == first


def test_r2_is_the_share_of_variance_that_is_explained():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(900, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(900, 3, generator=generator, dtype=torch.float64)
    wanted = torch.stack([features[:, 0], features[:, 1] + noise[:, 1], noise[:, 2]], dim=1)
    r2 = ridge_regression((features[:600], wanted[:600]), (features[600:], wanted[600:]))
    assert r2[0].item() == pytest.approx(1, abs=1e-3)
    assert r2[1].item() == pytest.approx(0.5, abs=0.12)
    assert abs(r2[2].item()) < 0.06


@pytest.mark.parametrize("width", [5, 60])
def test_predictions_are_those_of_scikit_learn(width):
    """Fewer features than videos and more: both ways of solving it, at every strength."""
    generator = torch.Generator().manual_seed(0)
    features, others = (torch.randn(40, width, generator=generator, dtype=torch.float64) for _ in range(2))
    wanted = features[:, :3] + torch.randn(40, 3, generator=generator, dtype=torch.float64)
    for strength, predicted in zip(STRENGTHS, ridge_path(features, wanted, others), strict=True):
        reference = Ridge(strength * 40 / 100, solver="svd").fit(features.numpy(), wanted.numpy())
        expected = torch.from_numpy(reference.predict(others.numpy()))
        torch.testing.assert_close(predicted, expected, atol=1e-6, rtol=1e-6)


def test_many_more_features_than_videos_still_find_what_is_there():
    """As when all tokens stand side by side: many features, few things behind them."""
    generator = torch.Generator().manual_seed(0)
    behind = torch.randn(300, 10, generator=generator, dtype=torch.float64)
    features = behind @ torch.randn(10, 900, generator=generator, dtype=torch.float64)
    features += torch.randn(300, 900, generator=generator, dtype=torch.float64)
    r2 = ridge_regression((features[:200], behind[:200]), (features[200:], behind[200:]))
    assert r2.min() > 0.9


def test_a_target_without_variance_is_refused():
    with pytest.raises(ValueError, match="leave it out"):
        ridge_regression((torch.randn(9, 2), torch.ones(9, 1)), (torch.randn(9, 2), torch.ones(9, 1)))


def test_parts_of_the_labels_are_stratified_nested_and_never_empty():
    labels = torch.tensor([0] * 200 + [1] * 60 + [2] * 5)
    parts = {share: set(label_subset(labels, share, seed=1).tolist()) for share in (0.01, 0.05, 0.1, 1.0)}
    assert parts[0.01] <= parts[0.05] <= parts[0.1] <= parts[1.0] == set(range(265))
    counts = labels[sorted(parts[0.05])].bincount().tolist()
    assert counts == [10, 3, 1]
    assert label_subset(labels, 0.05, seed=2).tolist() != sorted(parts[0.05])
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        label_subset(labels, 0.0, seed=0)


def test_lidar_counts_the_directions_that_tell_videos_apart():
    generator = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(400, 5, 12, generator=generator)
    everywhere = torch.randn(400, 1, 12, generator=generator)
    on_a_plane = everywhere * (torch.arange(12) < 2)
    assert lidar(everywhere + noise) == pytest.approx(12, abs=0.3)
    assert lidar(on_a_plane + noise) == pytest.approx(2, abs=0.1)
    with pytest.raises(ValueError, match="2 or more"):
        lidar(torch.randn(4, 1, 3))
