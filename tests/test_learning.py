"""The claims of the README and of configs/tiny.

What is learnt without labels beats what an untrained encoder gives.
"""

import pytest

from tests.accelerate_state import fresh_accelerate
from vjepa.config import read_config
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
            f"--data.cache_dir={tmp_path / 'cache'}",
        ]
        return pretrain(read_config([*arguments, *folders, "--train.trackers=[]"], PretrainConfig))

    yield run
    fresh_accelerate()


@pytest.mark.slow
def test_the_quickstart_learns_motion(learn):
    """Some seven minutes on two cores."""
    summary = learn(QUICKSTART)
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.1
    assert summary["alarms"] == []


@pytest.mark.slow
def test_views_embedded_alike_learn_motion(learn):
    """Some minutes on two cores."""
    summary = learn(QUICKSTART, "--config=configs/tiny/views.yaml")
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert summary["final"]["relative_error"] < 0.8
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
