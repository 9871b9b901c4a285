"""Read-outs that choose their level: by what generalises to other groups, without the test videos."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from vjepa.evaluation.probes.levels import knn_read_out, level_features, ridge_read_out
from vjepa.evaluation.probes.linear import STRENGTHS, balanced_accuracy, ridge_class_scores

READ_OUTS = pytest.mark.parametrize("read_out", [ridge_read_out, knn_read_out])


def videos(count, seed, blocks):
    """Features of two classes after each block: `blocks` has the distance of the classes there."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    signs = (2 * labels - 1).float()[:, None, None] * torch.tensor(blocks)[None, :, None]
    return signs * torch.ones(6) + torch.randn(count, len(blocks), 6, generator=generator), labels


def folds(count):
    return torch.arange(count) // 2 % 5


@READ_OUTS
def test_the_level_that_holds_the_classes_is_found(read_out):
    train, labels = videos(80, 0, [0.0, 2.0, 0.0])
    test, wanted = videos(60, 1, [0.0, 2.0, 0.0])
    found = read_out(train, labels, folds(80), test)
    assert found.level == "block 2"
    assert balanced_accuracy(found.classes_V, wanted) > 0.95


def test_levels_side_by_side_are_taken_where_each_holds_a_part():
    """Three classes: the one block tells the first from the rest, the other the second."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    features = 0.3 * torch.randn(240, 2, 4, generator=generator)
    features[:, 0, 0] += (labels == 0).float() * 3
    features[:, 1, 1] += (labels == 1).float() * 3
    found = ridge_read_out(features[:180], labels[:180], folds(180), features[180:])
    assert found.level in ("last 2 side by side", "mean of the last 2")
    assert balanced_accuracy(found.classes_V, labels[180:]) > 0.95


@READ_OUTS
def test_a_level_that_knows_the_group_alone_is_not_taken(read_out):
    """The first block shows who is filmed, the second weakly what is done; each person does one thing."""
    generator = torch.Generator().manual_seed(0)
    people = torch.arange(20).repeat_interleave(6)
    labels = people % 2
    features = torch.randn(120, 2, 20, generator=generator)
    features[:, 1] += 0.5 * (2 * labels - 1)[:, None]
    features[torch.arange(120), 0, people] += 30
    assert read_out(features, labels, people // 2 % 5, features).level == "block 2"
    # If the clips of a person were divided, the first block would look better.
    assert read_out(features, labels, torch.arange(120) % 5, features).level != "block 2"


@READ_OUTS
@pytest.mark.parametrize("fold", [[-1, -1], [0, 0, 1], [-1, 0, 1], [0, 0, 0, 0]])
@pytest.mark.filterwarnings("error")
def test_too_little_to_validate_is_read_out_of_the_last_block(read_out, fold):
    train, labels = videos(len(fold), 0, [5.0, 5.0])
    found = read_out(train, labels, torch.tensor(fold), videos(20, 1, [5.0, 5.0])[0])
    assert found.level == "block 2"
    assert found.classes_V.tolist() == [0, 1] * 10


def test_levels_are_blocks_and_the_last_together():
    features = torch.randn(3, 5, 2)
    levels = level_features(features)
    assert list(levels)[:5] == ["block 5", "block 4", "block 3", "block 2", "block 1"]
    assert torch.equal(levels["block 1"], features[:, 0])
    assert torch.equal(levels["last 2 side by side"], torch.cat([features[:, 3], features[:, 4]], dim=1))
    torch.testing.assert_close(levels["mean of the last 4"], features[:, 1:].mean(dim=1))
    assert list(level_features(features[:, :1])) == ["block 1"]


@pytest.mark.parametrize("rows", [slice(0, 40), slice(15, 40)])
def test_class_scores_are_those_of_scikit_learn(rows):
    """Classes of equal size, and then not: the latter weigh the same all the same."""
    train, labels = (part[rows] for part in sorted_videos(40))
    test, _ = videos(30, 1, [0.4])
    scale = StandardScaler().fit(train[:, 0].double().numpy())
    # torch divides the variance by one less than the number of videos, scikit-learn by the number.
    count = len(train)
    ratio = ((count - 1) / count) ** 0.5
    known, others = (scale.transform(part[:, 0].double().numpy()) * ratio for part in (train, test))
    wanted = torch.eye(2, dtype=torch.float64)[labels].numpy()
    weights = compute_sample_weight("balanced", labels.numpy())
    for strength, scores in zip(
        STRENGTHS, ridge_class_scores((train[:, 0], labels), test[:, 0]), strict=True
    ):
        reference = Ridge(strength * count / 100, solver="svd").fit(known, wanted, weights)
        expected = torch.from_numpy(reference.predict(others))
        torch.testing.assert_close(scores, expected, atol=1e-8, rtol=1e-6)


def sorted_videos(count):
    """The same as `videos`, the first class first."""
    features, labels = videos(count, 0, [0.4])
    order = labels.argsort(stable=True)
    return features[order], labels[order]
