"""Parity with timm, whose operations take one PIL image at a time."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment

from vjepa.data.randaugment import OPERATIONS, ClipRandAugment


def frame():
    """A smooth image of 60 x 48 pixels, of all brightnesses."""
    rows, columns = np.mgrid[0:48, 0:60]
    channels = [2 * columns + 2 * rows, 4 * columns, 255 - 5 * rows]
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


def timms(name, level):
    """The frame after timm's operation, with the sign that its directed operations draw as positive."""
    arguments = auto_augment.LEVEL_TO_ARG[name]
    random.seed(1)  # The first number is below one half: not negated.
    given = () if arguments is None else arguments(level, {})
    image = auto_augment.NAME_TO_OP[name](
        Image.fromarray(frame()), *given, fillcolor=(128, 128, 128), resample=Image.Resampling.BILINEAR
    )
    return np.asarray(image)


def test_the_operations_are_timms():
    assert list(OPERATIONS) == auto_augment._RAND_INCREASING_TRANSFORMS


@pytest.mark.parametrize("level", [0, 3, 7, 9.5])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_timms(name, level):
    clip = torch.from_numpy(frame()).permute(2, 0, 1).expand(3, -1, -1, -1)
    changed = OPERATIONS[name](clip, level / 10)
    assert changed.dtype == torch.uint8
    assert (changed == changed[:1]).all()
    difference = np.abs(changed[0].permute(1, 2, 0).numpy().astype(int) - timms(name, level))
    # Resampling and rounding differ at edges: by half a pixel in shifts, by one row in shears.
    assert np.median(difference) <= 2
    assert (difference > 8).mean() < (0.06 if name.startswith(("Shear", "Translate", "Rotate")) else 0.02)


def test_half_of_the_operations_that_are_drawn_are_applied(monkeypatch):
    """Those of timm have a probability of .5, and a strength that varies by .5."""
    strengths = []
    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, lambda clip, share: strengths.append(share) or clip)
    torch.manual_seed(0)
    clip = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    augment = ClipRandAugment(4, 7)
    for _ in range(500):
        augment(clip)
    assert len(strengths) == pytest.approx(1000, abs=80)
    found = 10 * np.abs(strengths)
    assert (found.mean(), found.std()) == (pytest.approx(7, abs=0.05), pytest.approx(0.5, abs=0.05))
    assert np.mean(np.sign(strengths)) == pytest.approx(0, abs=0.1)


def test_wrong_arguments_are_refused():
    for operations, strength in ((0, 5), (2, 11)):
        with pytest.raises(ValueError, match="randaugment is"):
            ClipRandAugment(operations, strength)
