import torch

from vjepa.data.manifest import Video
from vjepa.evaluation.probes.folds import FOLDS, group_folds, random_folds


def test_every_class_is_spread_evenly_over_the_folds():
    labels = torch.arange(100) % 5
    folds = random_folds(100, labels)
    counts = torch.stack([folds[labels == label].bincount(minlength=FOLDS) for label in range(5)])
    assert (counts == 4).all()
    assert torch.equal(folds, random_folds(100, labels))


def test_folds_do_not_follow_the_order_of_the_rows():
    """Four rows in five follow another fold than the one before in turn."""
    folds = random_folds(1000)
    assert folds.bincount().tolist() == [200] * FOLDS
    assert ((folds[1:] - folds[:-1]) % FOLDS == 1).float().mean() < 0.3


def test_a_group_is_in_one_fold_and_a_class_of_one_group_in_none():
    videos = [
        Video(path=f"{label}{group}{take}.mp4", label=label, group=f"{label}{group}")
        for label, groups in (("run", 6), ("walk", 6), ("jump", 1))
        for group in range(groups)
        for take in range(2)
    ]
    folds = group_folds(videos).tolist()
    by_group = {video.group: {fold for v, fold in zip(videos, folds, strict=True) if v.group == video.group}
                for video in videos}  # fmt: skip
    assert all(len(found) == 1 for found in by_group.values())
    assert by_group["jump0"] == {-1}
    assert group_folds(videos[:2]).tolist() == [-1, -1]
