"""Ten losses of a tiny run, at full precision: what a change to the code must not change.

Where a change is meant, write the file anew and say why in the commit:
    REWRITE_GOLDEN=1 pytest tests/training/test_golden.py
"""

import os
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState

from tests.training.conftest import metrics
from vjepa.training.pretrain import pretrain

LOSSES = Path(__file__).parents[1] / "golden" / "vjepa.txt"


def test_losses_are_what_they_were(tiny_config, tmp_path):
    pretrain(tiny_config("run", "--optim.steps=10"))
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    losses = [record["loss"] for record in metrics(tmp_path / "run")]
    if "REWRITE_GOLDEN" in os.environ:
        LOSSES.write_text("".join(f"{loss!r}\n" for loss in losses))
    expected = [float(line) for line in LOSSES.read_text().splitlines()]
    # Other processors round otherwise; ten steps let that grow to about a millionth.
    assert losses == pytest.approx(expected, rel=2e-5)
