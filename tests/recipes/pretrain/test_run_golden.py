"""Ten losses of a tiny run of each method, at full precision: what a change to the code must not change.

Where a change is meant, write the files anew and say why in the commit:
    REWRITE_GOLDEN=1 pytest tests/recipes/pretrain/test_run_golden.py
"""

import os
from pathlib import Path

import pytest

from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import metrics
from tests.training.methods import METHODS, changes_of
from vjepa.recipes.pretrain.run import pretrain
from vjepa.weights.model_folder import from_pretrained

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_what_they_were(method, tiny_config, manifest, tmp_path):
    pretrain(tiny_config("run", "--optim.steps=10", *changes_of(method, manifest)))
    fresh_accelerate()
    losses = [record["loss"] for record in metrics(tmp_path / "run")]
    file = GOLDEN / f"{method}.txt"
    if "REWRITE_GOLDEN" in os.environ:
        file.write_text("".join(f"{loss!r}\n" for loss in losses))
    expected = [float(line) for line in file.read_text().splitlines()]
    # Other processors round otherwise; ten steps let that grow to about a millionth.
    assert losses == pytest.approx(expected, rel=2e-5)
    model = from_pretrained(tmp_path / "run")
    networks = [name for name in ("predictor", "decoder") if getattr(model, name) is not None]
    assert networks == ([] if method == "views" else ["decoder"] if method in PIXELS else ["predictor"])
    assert model.config["which"] == ("target_encoder" if method in EMA else "encoder")


PIXELS = {"videomae", "videomaev2", "mae"}
EMA = {
    "vjepa",
    "separate",
    "future",
    "each_step",
    "futures",
    "ijepa",
    "vjepa2_1",
    "ema+vicreg",
    "residual",
    "batch_targets",
}
