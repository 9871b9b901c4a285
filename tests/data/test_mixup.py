"""Mixing of neighbours: the labels tell what the pixels show, however the batch is cut."""

import pytest
import torch

from vjepa.data.mixup import MixPairs

CLASSES = 4


def batch(samples=8, repeats=1):
    """Clip b is a constant grey of its own."""
    count = samples * repeats
    greys = torch.linspace(0, 240, count).round()
    video = greys.view(-1, 1, 1, 1, 1).expand(-1, 2, 3, 16, 16).to(torch.uint8).contiguous()
    return video, torch.arange(count) % CLASSES, greys


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_a_cut_batch_is_mixed_like_the_whole(mixup, cutmix):
    mix = MixPairs(CLASSES, mixup=mixup, cutmix=cutmix, seed=1)
    video, labels, _ = batch(repeats=2)
    whole = mix(video, labels, range(16, 24), repeats=2)
    parts = [
        mix(video[s : s + 8], labels[s : s + 8], range(16 + s // 2, 20 + s // 2), repeats=2) for s in (0, 8)
    ]
    for number in (0, 1):
        assert torch.equal(whole[number], torch.cat([part[number] for part in parts]))
    other = MixPairs(CLASSES, mixup=mixup, cutmix=cutmix, seed=2)(video, labels, range(16, 24), repeats=2)
    assert not torch.equal(whole[0], other[0])


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_shares_are_those_of_the_pixels(mixup, cutmix):
    video, labels, greys = batch()
    mixed, shares = MixPairs(CLASSES, mixup=mixup, cutmix=cutmix, seed=0)(video, labels, range(8))
    assert mixed.dtype == torch.uint8
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(8))
    for row in range(8):
        own, other = greys[row], greys[row ^ 1]
        share = shares[row, labels[row]]
        expected = share * own + (1 - share) * other
        assert mixed[row].float().mean() == pytest.approx(expected.item(), abs=0.51)
    assert (mixed == mixed[:, :1]).all()  # the same in all frames
    flat = mixed.flatten(1)
    assert (flat == flat[:, :1]).all() == (cutmix == 0)  # a blend is even, a box is not


def test_pairs_must_be_whole_and_labelled():
    mix = MixPairs(CLASSES, mixup=0.8, cutmix=0.0, seed=0)
    video, labels, _ = batch(4)
    with pytest.raises(ValueError, match="not whole pairs"):
        mix(video[:3], labels[:3], range(3))
    with pytest.raises(ValueError, match="not whole pairs"):
        mix(video, labels, range(1, 5))
    with pytest.raises(ValueError, match="without a label"):
        mix(video, torch.tensor([0, 1, -1, 2]), range(4))
    with pytest.raises(ValueError, match="one of them above 0"):
        MixPairs(CLASSES, mixup=0.0, cutmix=0.0, seed=0)
