"""A run that is broken on purpose raises the collapse alarm, and the cure that the alarm names mends it."""

import pytest
import torch

from tests.accelerate_state import fresh_accelerate
from tests.cure_options import cure_options
from vjepa.config import read_config
from vjepa.evaluation.collapse_alarm import Cause
from vjepa.recipes.cures import cures_of
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.accelerator import accumulation_steps
from vjepa.weights.model_folder import from_pretrained, save_pretrained

LEARNING_RATE = 2e-3  # the quickstart's


@pytest.fixture
def fresh():
    """What accelerate shares between runs of one process is forgotten."""
    yield
    fresh_accelerate()


@pytest.fixture
def summary_of(tmp_path, fresh):
    """The summary of 200 steps of the debugging model on a few hundred rendered videos."""
    runs = []

    def run(*changes):
        runs.append(tmp_path / f"run{len(runs)}")
        arguments = [
            "--config=configs/debug.yaml",
            f"--output_dir={runs[-1]}",
            f"--data.synthetic.folder={tmp_path / 'videos'}",
            f"--data.cache.folder={tmp_path / 'cache'}",
            "--data.synthetic.num_train=256",
            "--optim.steps=200",
            "--optim.batch_size=32",
            "--optim.warmup_steps=20",
            "--train.log_every=5",
            "--train.trackers=[]",
            "--train.device=cpu",
        ]
        summary = pretrain(read_config([*arguments, *changes], PretrainConfig))
        fresh_accelerate()
        return summary

    return run


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm(summary_of):
    assert summary_of("--objective.momentum=[0.98, 1.0]", f"--optim.lr={LEARNING_RATE}")["alarms"] == []


def mean_of_context(tokens_BKD, context_BK, target_BM, grid, mask_token, groups, predict_context=False):
    """What predicts without a predictor: every target is said to be the mean of what is seen."""
    return tokens_BKD.mean(dim=1, keepdim=True).expand(-1, target_BM.shape[1], -1)


def without_predictor(objective):
    objective.predictor.forward = mean_of_context


def intact(objective):
    """Nothing but the settings is broken."""


def break_objectives(monkeypatch, damage):
    """From now on, every objective that is built is damaged."""
    whole = build.build_objective

    def broken(run):
        objective = whole(run)
        damage(objective)
        return objective

    monkeypatch.setattr(build, "build_objective", broken)


SABOTAGES = {
    "ten times the learning rate": (
        Cause.LARGE_STEPS,
        intact,
        ("--objective.momentum=[0.98, 1.0]", f"--optim.lr={10 * LEARNING_RATE}"),
    ),
    "targets that follow at once": (
        Cause.FAST_TARGETS,
        without_predictor,
        ("--objective.momentum=[0.0, 0.0]", f"--optim.lr={LEARNING_RATE}"),
    ),
    "a weak VICReg": (
        Cause.WEAK_REGULARIZER,
        intact,
        (
            "--objective.target_encoder=none",
            "--objective.vicreg={variance: 0.001, covariance: 0.00004}",
            f"--optim.lr={LEARNING_RATE}",
        ),
    ),
    "a weak SIGReg": (
        Cause.WEAK_REGULARIZER,
        intact,
        (
            "--objective.target_encoder=none",
            "--objective.sigreg.weight=0.0001",
            f"--optim.lr={LEARNING_RATE}",
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_cure_that_the_alarm_names_cures(sabotage, summary_of, monkeypatch):
    """A broken run raises the alarm; the same run with the settings that the alarm names recovers."""
    cause, damage, settings = SABOTAGES[sabotage]
    break_objectives(monkeypatch, damage)
    ill = summary_of(*settings)
    assert {alarm["cause"] for alarm in ill["alarms"]} == {cause.name}
    well = summary_of(*settings, *cure_options(ill["alarms"][0]))
    assert well["alarms"] == []
    measure = "target/rank" if cause is Cause.LARGE_STEPS else "target/std"
    assert well["final"][measure] > 2 * ill["final"][measure]


@pytest.mark.parametrize(
    "settings",
    [
        ("--optim.start_lr=0.001", "--optim.lr=0.002", "--optim.final_lr=0.003"),
        ("--train.micro_batch=2", "--optim.batch_size=8"),
        ("--objective.target_encoder=init", "--init=model"),
        ("--optim.schedule_stretch=0.05", "--optim.warmup_steps=0"),
    ],
)
def test_every_cure_gives_a_run_that_starts_and_rises_to_its_peak(settings):
    for cure in cures_of(read_config(list(settings), PretrainConfig)).values():
        config = read_config([*settings, *cure_options({"cure": cure or {"seed": 0}})], PretrainConfig)
        pieces = (config.optim.batch_size, 1, config.train.micro_batch)
        assert accumulation_steps(*pieces, measures_batch=config.objective.measures_batch) >= 1
        if "optim.lr" in cure:
            assert max(config.optim.start_lr, config.optim.final_lr) <= config.optim.lr


def test_a_dead_teacher_rings_at_the_first_step_and_the_cure_trains_another(tiny_config, tmp_path, fresh):
    """Targets that are the same for every clip: a teacher that says always the same."""
    pretrain(tiny_config("teacher"))
    fresh_accelerate()
    teacher = from_pretrained(tmp_path / "teacher")
    for parameter in teacher.encoder.transformer.norm.parameters():
        torch.nn.init.zeros_(parameter)
    save_pretrained(tmp_path / "dead", teacher.state_dict(), teacher.config)
    frozen = ("--objective.target_encoder=frozen", "--objective.teacher_steps=2")
    ill = pretrain(tiny_config("ill", *frozen, f"--objective.teacher={tmp_path / 'dead'}"))
    fresh_accelerate()
    (alarm,) = ill["alarms"]
    assert "the same for every clip" in alarm["message"]
    assert alarm["cause"] == Cause.CONSTANT_TARGETS.name
    well = pretrain(tiny_config("well", *frozen, *cure_options(alarm)))
    assert well["alarms"] == []


@pytest.mark.slow
def test_the_variance_hinge_holds_without_momentum_and_predictor(summary_of, monkeypatch):
    """Targets of the encoder itself as it is now, and no predictor: nothing but the hinge works."""
    break_objectives(monkeypatch, without_predictor)
    settings = ("--objective.momentum=[0.0, 0.0]", f"--optim.lr={LEARNING_RATE}")
    held = summary_of(*settings, "--objective.vicreg.variance=1.0")
    assert held["alarms"] == []
    assert held["final"]["target/std"] > 10 * summary_of(*settings)["final"]["target/std"]
