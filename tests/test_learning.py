"""The claims of the README and of configs/tiny.

What is learnt without labels beats what an untrained encoder gives.
"""

import itertools
import shutil

import pytest

from tests.accelerate_state import fresh_accelerate
from tests.cure_options import cure_options
from vjepa.config import read_config
from vjepa.evaluation.collapse_alarm import Cause
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain

QUICKSTART = "--config=configs/pretrain/quickstart.yaml"


@pytest.fixture
def learn(tmp_path):
    """The summary of a run with videos of its own."""

    def run(*arguments):
        folders = [
            f"--output_dir={tmp_path / 'run'}",
            f"--data.synthetic.folder={tmp_path / 'videos'}",
            f"--data.cache.folder={tmp_path / 'cache'}",
        ]
        return pretrain(read_config([*arguments, *folders, "--train.trackers=[]"], PretrainConfig))

    yield run
    fresh_accelerate()


@pytest.mark.slow
def test_the_quickstart_learns_motion(learn):
    """Some seven minutes on two cores."""
    summary = learn(QUICKSTART)
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.3
    assert summary["alarms"] == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ijepa", "mae"])
def test_the_small_recipes_for_images_learn_shapes(recipe, learn):
    """Some three minutes each on two cores."""
    summary = learn(QUICKSTART, f"--config=configs/tiny/{recipe}.yaml")
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert summary["final"]["relative_error"] < 0.8
    assert summary["alarms"] == []


@pytest.mark.slow
def test_levels_context_loss_and_images_learn_without_an_alarm(learn):
    """Some twenty minutes on two cores."""
    summary = learn(QUICKSTART, "--config=configs/tiny/vjepa2_1.yaml")
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert summary["alarms"] == []


TARGET_ENCODERS = {
    "ema": ("--objective.momentum=[0.98, 0.998]",),
    "frozen": ("--objective.target_encoder=frozen", "--objective.teacher_steps=400"),
    "none": ("--objective.target_encoder=none", "--objective.distance=l2"),
}
FEW_VIDEOS = ("--data.synthetic.num_train=1024", "--data.synthetic.num_test=256")
NOISY = (*FEW_VIDEOS, "--data.synthetic.render.noise=0.5", "--optim.steps=300", "--optim.warmup_steps=30")
# Uncorrelated dimensions are asked for noise where there is much of it.
QUIET = (
    *FEW_VIDEOS,
    "--data.synthetic.render.noise=0.3",
    "--data.synthetic.render.texture=0.0",
    "--optim.steps=400",
    "--optim.warmup_steps=40",
)
REGULARIZERS = {
    "": NOISY,
    "variance": (*NOISY, "--objective.vicreg={variance: 0.1, covariance: 0.0}"),
    "sigreg": (*NOISY, "--objective.sigreg.weight=0.05"),
    "variance, sigreg": (
        *NOISY,
        "--objective.vicreg={variance: 0.1, covariance: 0.0}",
        "--objective.sigreg.weight=0.05",
    ),
    "variance, covariance": (
        *QUIET,
        "--optim.steps=1000",
        "--objective.vicreg={variance: 1.0, covariance: 0.1}",
    ),
    "variance, covariance, sigreg": (
        *QUIET,
        "--objective.vicreg={variance: 1.0, covariance: 0.04}",
        "--objective.sigreg.weight=0.05",
    ),
}
# Without a target encoder nothing else holds embeddings up, and the hinge must weigh more.
WITHOUT_TARGET_ENCODER = {
    "variance, covariance": (*NOISY, "--objective.vicreg={variance: 25.0, covariance: 0.01}")
}
# Without a target encoder, the first of these collapses and the second has a test of its own.
LEFT_OUT = {("none", ""), ("none", "variance")}
SETS = [pair for pair in itertools.product(TARGET_ENCODERS, REGULARIZERS) if pair not in LEFT_OUT]


@pytest.mark.slow
@pytest.mark.parametrize(("target_encoder", "regularizers"), SETS)
def test_any_set_of_protections_learns_motion_without_an_alarm(target_encoder, regularizers, learn):
    """One to three minutes each on two cores."""
    settings = REGULARIZERS[regularizers]
    if target_encoder == "none":
        settings = WITHOUT_TARGET_ENCODER.get(regularizers, settings)
    summary = learn(QUICKSTART, *TARGET_ENCODERS[target_encoder], *settings)
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert summary["alarms"] == []


@pytest.mark.slow
def test_the_variance_hinge_alone_learns_motion_in_few_dimensions(learn):
    """The hinge asks every dimension to vary, and nothing asks dimensions to differ from each other."""
    settings = (*NOISY, "--objective.vicreg={variance: 25.0, covariance: 0.0}")
    summary = learn(QUICKSTART, *TARGET_ENCODERS["none"], *settings)
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert all("/rank fell" in alarm["message"] for alarm in summary["alarms"])
    assert {alarm["cause"] for alarm in summary["alarms"]} <= {Cause.WEAK_REGULARIZER.name}


@pytest.mark.slow
def test_a_run_without_protection_collapses_and_the_cure_that_the_alarm_names_makes_it_learn(learn, tmp_path):
    """A target encoder alone, on quiet videos; three minutes for each of two runs on two cores."""
    settings = (QUICKSTART, *TARGET_ENCODERS["ema"], *QUIET)
    ill = learn(*settings)
    assert {alarm["cause"] for alarm in ill["alarms"]} == {Cause.UNPROTECTED.name}
    fresh_accelerate()
    shutil.rmtree(tmp_path / "run")
    well = learn(*settings, *cure_options(ill["alarms"][0]))
    probe = well["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert well["alarms"] == []
