from functools import partial

import pytest
import torch

from vjepa.data.manifest import Video
from vjepa.evaluation.features.extract import probe_classes
from vjepa.evaluation.probes.attentive import attentive_probe
from vjepa.evaluation.probes.knn import knn_probe
from vjepa.evaluation.probes.linear import balanced_accuracy, linear_probe, ridge_probe


def clusters(count, spread, seed, dimensions=8):
    """Three classes around three corners, a third of the samples each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.eye(3, dimensions)
    return centres[labels] + spread * torch.randn(count, dimensions, generator=generator), labels


def test_separate_classes_are_told_apart():
    assert ridge_probe(clusters(120, 0.05, 0), clusters(90, 0.05, 1)) == 1.0


@pytest.mark.parametrize("probe", [ridge_probe, linear_probe, knn_probe, partial(attentive_probe, seed=0)])
def test_videos_without_labels_are_named(probe):
    features, labels = clusters(9, 0.1, 0)
    unlabelled = features, torch.where(labels == 2, -1, labels)
    for parts in ((unlabelled, (features, labels)), ((features, labels), unlabelled)):
        with pytest.raises(ValueError, match="3 of 9 videos have no label"):
            probe(*parts)


def test_noise_is_at_chance():
    features, labels = torch.randn(600, 16, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 3
    assert ridge_probe((features[:300], labels[:300]), (features[300:], labels[300:])) == pytest.approx(
        1 / 3, abs=0.09
    )


def test_scale_and_offset_of_features_do_not_matter():
    train, test = clusters(120, 0.4, 0), clusters(90, 0.4, 1)
    moved = [(1000 * features + 7, labels) for features, labels in (train, test)]
    assert ridge_probe(*moved) == pytest.approx(ridge_probe(train, test))


@pytest.mark.parametrize("probe", [ridge_probe, linear_probe, knn_probe, partial(attentive_probe, seed=0)])
def test_small_classes_are_found_as_well_as_large_ones(probe):
    """Two classes that overlap, one with 20 times the videos: votes by number alone find the larger."""
    generator = torch.Generator().manual_seed(0)

    def videos(*counts):
        labels = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        features = 1.5 * labels.unsqueeze(1) + torch.randn(len(labels), 4, generator=generator)
        order = torch.randperm(len(labels), generator=generator)
        shape = (-1, 1, 4) if isinstance(probe, partial) else (-1, 4)
        return features[order].reshape(shape), labels[order]

    test = videos(300, 300)
    assert probe(videos(400, 20), test) > probe(videos(210, 210), test) - 0.06


def test_accuracy_is_balanced():
    labels = torch.tensor([0] * 9 + [1])
    assert balanced_accuracy(torch.zeros(10, dtype=torch.long), labels) == 0.5


def test_parts_that_do_not_go_together_are_refused():
    video = Video(path="a.mp4", label="walk")
    with pytest.raises(ValueError, match="in both"):
        probe_classes([video], [video])
    with pytest.raises(ValueError, match=r"classes run, none of which probe\.train has: it has walk"):
        probe_classes([video], [Video(path="b.mp4", label="run")])
    with pytest.raises(ValueError, match=r"no label, e\.g\. b\.mp4"):
        probe_classes([video], [Video(path="b.mp4")])
    run = [Video(path="c.mp4", label="run"), video]
    assert probe_classes(run, [Video(path="b.mp4", label="run")]) == (["run", "walk"], 2)


def test_classes_that_the_training_part_lacks_are_missed():
    known, unseen = Video(path="b.mp4", label="walk"), Video(path="d.mp4", label="fly")
    with pytest.warns(UserWarning, match=r"1 videos of probe\.test are of 1 classes that probe\.train lacks"):
        names, number = probe_classes([Video(path="a.mp4", label="walk")], [known, unseen])
    assert (names, number) == (["walk", "fly"], 1)
    train, (features, labels) = clusters(120, 0.05, 0), clusters(90, 0.05, 1)
    labels[:45] = 3  # a fourth class, half of the test split: its recall is 0
    for probe in (ridge_probe, linear_probe, knn_probe, partial(attentive_probe, seed=0)):
        shape = (-1, 1, 8) if isinstance(probe, partial) else (-1, 8)
        whole, known = (
            probe((train[0].reshape(shape), train[1]), (features[rows].reshape(shape), labels[rows]))
            for rows in (slice(0, None), slice(45, None))
        )
        assert whole == pytest.approx(0.75 * known)
        assert known > 0.4


@pytest.mark.parametrize("classes", [5, 10])
def test_the_order_of_the_videos_does_not_choose_the_penalty(classes):
    """Lists name the classes in turn: folds by row number would hold back whole classes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, 192, generator=generator)

    def videos(count):
        labels = torch.arange(count) % classes
        return centres[labels] + 4 * torch.randn(count, 192, generator=generator), labels

    train, test = videos(200), videos(200)
    order = torch.randperm(200, generator=generator)
    in_turn, at_random = ridge_probe(train, test), ridge_probe((train[0][order], train[1][order]), test)
    assert in_turn == pytest.approx(at_random, abs=0.1)
    assert in_turn > 0.6
