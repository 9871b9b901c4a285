"""Accuracies against scikit-learn, their intervals, and files of scores."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, recall_score, top_k_accuracy_score

from vjepa.evaluation.probes.linear import balanced_accuracy
from vjepa.evaluation.recognition.metrics import classification_report, number_labels
from vjepa.evaluation.recognition.scores import read_scores, write_scores
from vjepa.plots.confusion import draw_confusion

CLASSES = [f"class {n}" for n in range(7)]


def scored(videos=300, signal=1.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (videos,), generator=generator)  # nobody shows the seventh
    scores = torch.randn(videos, 7, generator=generator)
    scores[torch.arange(videos), labels] += signal
    return scores, labels


def test_figures_are_scikit_learn_s():
    scores, labels = scored()
    report = classification_report(scores, labels, CLASSES)
    predicted = scores.argmax(dim=1)
    assert report.top1.value == pytest.approx((predicted == labels).double().mean().item())
    assert report.top5.value == pytest.approx(
        top_k_accuracy_score(labels, scores.numpy(), k=5, labels=range(7))
    )
    assert report.mean_class.value == pytest.approx(balanced_accuracy(predicted, labels))
    assert report.macro_f1.value == pytest.approx(
        f1_score(labels, predicted, labels=range(6), average="macro")
    )
    assert np.array_equal(report.confusion_XX, confusion_matrix(labels, predicted, labels=range(7)))
    assert report.to_json()["top1"][0] == report.top1.value
    assert "| class 6 | 0 | - |" in report.per_class_table()
    assert f"| top-1 | {100 * report.top1.value:.1f} |" in report.table()


def test_unseen_classes_are_missed_as_scikit_learn_counts_them():
    scores, labels = scored()
    truth = [f"class {n}" for n in labels.tolist()]
    truth[:30] = ["never seen"] * 30
    numbers, unseen = number_labels(truth, CLASSES)
    report = classification_report(scores, numbers, CLASSES, unseen=unseen)
    predicted = [CLASSES[n] for n in scores.argmax(dim=1)]
    names = sorted(set(truth))
    assert report.top1.value == pytest.approx(
        np.mean([a == b for a, b in zip(truth, predicted, strict=True)])
    )
    assert report.mean_class.value == pytest.approx(
        recall_score(truth, predicted, labels=names, average="macro")
    )
    assert report.macro_f1.value == pytest.approx(f1_score(truth, predicted, labels=names, average="macro"))
    wide = torch.cat([scores, torch.full((len(scores), 1), -100.0)], dim=1)
    assert report.top5.value == pytest.approx(
        top_k_accuracy_score(numbers, wide.numpy(), k=5, labels=range(8))
    )
    assert (report.unseen, report.unseen_videos) == (("never seen",), 30)
    with pytest.raises(ValueError, match="no label of the test split is a class of the model"):
        number_labels(["x", "y"], CLASSES)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = classification_report(*scored(5000, seed=99), CLASSES).top1.value
    reports = [classification_report(*scored(150, seed=seed), CLASSES) for seed in range(60)]
    covered = np.mean([report.top1.low <= truth <= report.top1.high for report in reports])
    assert 0.85 <= covered <= 1.0
    assert (
        classification_report(*scored(), CLASSES, seed=1).top1
        == classification_report(*scored(), CLASSES, seed=1).top1
    )


def test_videos_of_one_source_tell_less_than_as_many_of_their_own():
    scores, labels = scored(40)
    tenfold = scores.repeat(10, 1), labels.repeat(10)
    groups = [f"source {row % 40}" for row in range(400)]
    alone = classification_report(*tenfold, CLASSES)
    grouped = classification_report(*tenfold, CLASSES, groups)
    original = classification_report(scores, labels, CLASSES)
    assert grouped.units == 40
    assert alone.top1.value == grouped.top1.value == pytest.approx(original.top1.value)
    width = grouped.top1.high - grouped.top1.low
    assert width > 2 * (alone.top1.high - alone.top1.low)
    assert width == pytest.approx(original.top1.high - original.top1.low, abs=0.03)
    single = classification_report(*tenfold, CLASSES, ["one"] * 400)
    assert np.isnan(single.top1.low)
    assert "| top-5 |" in single.table()
    assert "| - |" in single.table()


def test_what_is_no_test_is_refused():
    scores, labels = scored(10)
    with pytest.raises(ValueError, match=r"2 labels are no class, e\.g\. -1"):
        classification_report(scores, torch.cat([labels[:8], torch.tensor([-1, 7])]), CLASSES)
    with pytest.raises(ValueError, match=r"shape \(10, 7\) for 9 videos"):
        classification_report(scores, labels[:9], CLASSES)
    with pytest.raises(ValueError, match="not all finite"):
        classification_report(scores.index_fill(0, torch.tensor([3]), torch.nan), labels, CLASSES)


def test_scores_come_back_from_their_file(tmp_path):
    scores, labels = scored(4)
    probabilities = scores.softmax(dim=1)
    names = [CLASSES[label] for label in labels]
    write_scores(tmp_path / "s.csv", ["a, b.mp4", "c", "d", "e"], names, probabilities, CLASSES)
    found = read_scores(tmp_path / "s.csv")
    assert found.paths == ["a, b.mp4", "c", "d", "e"]
    assert (found.labels, found.classes) == (names, CLASSES)
    torch.testing.assert_close(found.scores_VX, probabilities, atol=1e-6, rtol=1e-5)
    (tmp_path / "other.csv").write_text("path,label\n")
    with pytest.raises(ValueError, match="begins with the columns path, label"):
        read_scores(tmp_path / "other.csv")


@pytest.mark.parametrize("classes", [2, 90])
def test_a_confusion_plot_is_drawn(classes, tmp_path):
    draw_confusion(np.eye(classes, dtype=np.int64), [f"c{n}" for n in range(classes)], tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000
