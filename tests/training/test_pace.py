"""What the log says about the speed of a run, and what is printed while a step hangs."""

import time
from types import SimpleNamespace

import pytest
import torch

from tests.tiny_run import metrics
from vjepa.objectives.jepa import JEPA
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.pace import HangWatch, Pace


def slow_batches(seconds):
    while True:
        time.sleep(seconds)
        yield "batch"


def test_the_share_of_waiting_for_data_is_measured():
    pace = Pace(SimpleNamespace(num_processes=1, device=torch.device("cpu")))
    batches = slow_batches(0.03)
    for _ in range(4):
        assert pace.next_of(batches) == "batch"
        time.sleep(0.09)
        pace.count(5)
        with pace.paused():
            time.sleep(0.1)
    found = pace.read()
    assert found["data_wait"] == pytest.approx(1 / 4, abs=0.08)
    assert found["clips_per_second"] == pytest.approx(20 / 0.48, rel=0.2)
    assert found.keys() == {"data_wait", "clips_per_second", "memory_gb"}
    assert 0.05 < found["memory_gb"] < 100
    time.sleep(0.05)
    assert pace.read()["data_wait"] == 0, "the measure did not begin again"


def test_the_process_that_waits_most_is_named():
    gathered = torch.tensor([0.1, 0.7, 0.4])
    pace = Pace(SimpleNamespace(num_processes=3, device=torch.device("cpu"), gather=lambda _: gathered))
    found = pace.read()
    assert found["data_wait"] == pytest.approx(0.4)
    assert found["data_wait_most"] == pytest.approx(0.7)
    assert found["data_wait_process"] == 1


def test_stacks_are_printed_while_no_step_ends(tmp_path):
    with (tmp_path / "stacks.txt").open("w") as file, HangWatch(0.2 / 60, file) as watch:
        for _ in range(10):
            time.sleep(0.06)
            watch.step_ended()
        assert not (tmp_path / "stacks.txt").read_text(), "steps ended in time"
        time.sleep(0.3)
        assert "test_stacks_are_printed" in (tmp_path / "stacks.txt").read_text()
        said = (tmp_path / "stacks.txt").stat().st_size
    time.sleep(0.3)
    assert (tmp_path / "stacks.txt").stat().st_size == said, "it went on after the run"


def test_a_run_whose_step_hangs_says_where(tiny_config, tmp_path, monkeypatch, capfd):
    forward = JEPA.forward

    def hangs_in_the_third_step(self, batch):
        if batch.step == 2:
            time.sleep(0.6)
        return forward(self, batch)

    monkeypatch.setattr(JEPA, "forward", hangs_in_the_third_step)
    pretrain(tiny_config("run", "--train.hang_minutes=0.007", "--optim.steps=4"))
    said = capfd.readouterr().err
    assert "in hangs_in_the_third_step" in said
    assert said.count("Timeout (0:00:00.42") == 1
    assert len(metrics(tmp_path / "run")) == 4
