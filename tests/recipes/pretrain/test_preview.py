"""The outline of a run warns where a recipe cannot make sense, and says how long the run takes."""

import pytest
import torch
from accelerate import Accelerator

from vjepa.config import read_config
from vjepa.profiling.flops import StepCost
from vjepa.profiling.timing import gemm_rate
from vjepa.recipes.pretrain import build, preview
from vjepa.recipes.pretrain.config import PretrainConfig


def outline(num_videos, *changes):
    config = read_config(["--config", "debug", *changes], PretrainConfig)
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(config))
    return preview.describe_run(config, objective, num_videos, Accelerator(cpu=True))


def test_a_short_run_has_neither_warning_nor_estimate():
    text = outline(64)
    assert "5.0 times each of 64 videos" in text
    assert "WARNING" not in text
    assert "time:" not in text


def test_a_run_that_sees_each_video_too_often_is_warned_of():
    # The first command of a newcomer: tiny.yaml on 60 videos.
    text = outline(60, "--optim.steps=40000", "--optim.batch_size=256", "--optim.warmup_steps=0")
    assert "WARNING: each video is seen 170667 times" in text
    assert "a recipe for few videos (--config pretrain/clips)" in text


@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (1e12, "time: some 2 hours to 4 hours,"),
        (1e11, "time: some 23 hours to 39 hours,"),
        (1e9, "WARNING: time: some 97 days to 161 days,"),
    ],
)
def test_the_time_follows_from_the_operations_and_the_speed_of_the_machine(speed, said, monkeypatch):
    monkeypatch.setattr(preview, "gemm_rate", lambda precision, device: speed)
    monkeypatch.setattr(preview, "average_cost", lambda *_: StepCost(1, 1, 4.18e15 / (1000 * 16), 1.0))
    assert said in outline(10_000, "--optim.steps=1000")


def test_measuring_the_machine_draws_no_random_numbers_of_the_run():
    before = torch.get_rng_state()
    assert gemm_rate("no", torch.device("cpu")) > 1e8  # any machine multiplies faster
    assert torch.equal(torch.get_rng_state(), before)
