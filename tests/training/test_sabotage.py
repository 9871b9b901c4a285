"""A run that is broken on purpose must raise the collapse alarm; a healthy one must not."""

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState

from vjepa.config import read_config
from vjepa.training.pretrain import pretrain


@pytest.fixture
def alarms(tmp_path):
    """Alarms of 200 steps of the debugging model on a few hundred rendered videos."""

    def run(*changes):
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
        summary = pretrain(read_config([*arguments, *changes]))
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
        return summary["alarms"]

    return run


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm(alarms):
    assert alarms("--objective.momentum=[0.999, 1.0]") == []


@pytest.mark.slow
def test_a_learning_rate_far_too_high_collapses(alarms):
    assert alarms("--objective.momentum=[0.98, 1.0]", "--optim.lr=0.02")
