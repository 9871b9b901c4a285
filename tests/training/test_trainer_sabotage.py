"""A run that is broken on purpose must raise the collapse alarm; a healthy one must not."""

import pytest
import torch

from tests.accelerate_state import fresh_accelerate
from vjepa.config import read_config
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain

LEARNING_RATE = 2e-3  # the quickstart's


@pytest.fixture
def fresh():
    """What accelerate shares between runs of one process is forgotten."""
    yield
    fresh_accelerate()


@pytest.fixture
def alarms(tmp_path, fresh):
    """Alarms of 200 steps of the debugging model on a few hundred rendered videos."""

    def run(*changes, build_objective=None):
        arguments = [
            "--config=configs/debug.yaml",
            f"--output_dir={tmp_path / 'run'}",
            f"--data.synthetic.folder={tmp_path / 'videos'}",
            f"--data.cache_dir={tmp_path / 'cache'}",
            "--data.synthetic.num_train=256",
            "--optim.steps=200",
            "--optim.batch_size=32",
            "--optim.warmup_steps=20",
            "--train.log_every=5",
            "--train.trackers=[]",
            "--train.device=cpu",
        ]
        return pretrain(read_config([*arguments, *changes], PretrainConfig), build_objective)["alarms"]

    return run


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm(alarms):
    assert alarms("--objective.momentum=[0.98, 1.0]", f"--optim.lr={LEARNING_RATE}") == []


@pytest.mark.slow
def test_ten_times_the_learning_rate_collapses(alarms):
    assert alarms("--objective.momentum=[0.98, 1.0]", f"--optim.lr={10 * LEARNING_RATE}")


class MeanOfContext(torch.nn.Module):
    """No predictor at all: every target is said to be the mean of what is seen."""

    def forward(self, tokens_BKD, context_BK, target_BM, grid, mask_token, groups, seen):
        return tokens_BKD.mean(dim=1, keepdim=True).expand(-1, target_BM.shape[1], -1)


@pytest.mark.slow
def test_without_predictor_and_with_momentum_zero_embeddings_collapse(alarms):
    def sabotaged(run):
        objective = build.build_objective(run)
        objective.predictor = MeanOfContext()
        return objective

    found = alarms("--objective.momentum=[0.0, 0.0]", build_objective=sabotaged)
    assert any("fell to" in alarm for alarm in found)


def test_constant_targets_ring_at_the_first_step(tiny_config, fresh):
    """Targets that are the same for every clip: a teacher that says always the same."""

    def sabotaged(run):
        objective = build.build_objective(run)
        with torch.no_grad():
            for parameter in objective.target_encoder.transformer.norm.parameters():
                parameter.zero_()
        return objective

    summary = pretrain(tiny_config("run", "--objective.momentum=[1.0, 1.0]"), sabotaged)
    assert any("the same for every clip" in alarm for alarm in summary["alarms"])


RECIPES = {
    "ema": ("--objective.momentum=[0.97, 0.998]",),
    "frozen": ("--config=configs/tiny/salt.yaml",),
    "sigreg": ("--config=configs/tiny/sigreg.yaml",),
    "vicreg": ("--config=configs/tiny/vicreg.yaml",),
    "levels, context and images": ("--config=configs/tiny/vjepa2_1.yaml",),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_way_of_preventing_collapse_learns_without_an_alarm(recipe, tmp_path, fresh):
    """Three to ten minutes each on two cores."""
    summary = pretrain(
        read_config(
            [
                "--config=configs/pretrain/quickstart.yaml",
                "--optim.steps=1000",
                *RECIPES[recipe],
                f"--output_dir={tmp_path / 'run'}",
                f"--data.synthetic.folder={tmp_path / 'videos'}",
                f"--data.cache_dir={tmp_path / 'cache'}",
                "--train.trackers=[]",
            ],
            PretrainConfig,
        )
    )
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.05
    assert summary["alarms"] == []
